/**
 * The aggregation layer: which group versions extension API servers serve, whether they are available, their requests, and
 * what they add to discovery and OpenAPI. Every replica looks for itself and writes the Available condition, as Kubernetes'
 * do; a request is passed on while the stored condition is True.
 * Source: k8s.io/kube-aggregator/pkg/apiserver/apiserver.go.
 */
import {
  type APIService,
  type ApiServiceRank,
  aggregateDiscovery,
  aggregateOpenApi,
  apiServiceName,
  type DeepReadonly,
  type Discovery,
  type EndpointSlice,
  type KindInfo,
  Kinds,
  type OpenApi,
  type Service,
} from '#lib/api';
import {
  type Clock,
  Counter,
  type Ctx,
  type Logger,
  type MetricFamily,
  type MetricSource,
  type Random,
  Scope,
  StatusError,
} from '#lib/base';
import type { Client, NodeStreams } from '#lib/client';
import {
  type Controller,
  DONE,
  type Informer,
  InformerFactory,
  keysFrom,
  type Outcome,
  objectsOf,
  type Source,
  startController,
} from '#lib/controller';
import type { KeyPair } from '#lib/pki';
import type { KindRegistry } from '../../kind-registry.ts';
import { publishAuthentication } from './authentication-config.ts';
import { availableCondition, LOCAL, type Verdict, verdictOfObjects, withVerdict } from './availability.ts';
import type { DelegatedApi } from './delegate.ts';
import { ensureLocalApiServices, keepCustomApiService, localApiServices } from './local-services.ts';
import { Remote } from './remote.ts';
import { EndpointDialer, type ServiceDialer } from './service-dialer.ts';

export interface AggregatorOptions {
  /** In process, as a superuser. */
  readonly client: Client;
  /** What this server serves itself, of all times the built-in ones. */
  readonly builtIn: readonly KindInfo[];
  /** Beside them those of CustomResourceDefinitions; another array after each change. */
  readonly kinds: Pick<KindRegistry, 'all' | 'onChange'>;
  /** Groups among them that an extension API server may serve instead. */
  readonly replaceable: ReadonlySet<string>;
  /** Our certificate toward extension API servers, and the authority that signed it. */
  readonly frontProxy: (KeyPair & { readonly caPem: string }) | undefined;
  /** Signs the certificates of users. */
  readonly clientCaPem: string | undefined;
  readonly nodes: () => NodeStreams | undefined;
  /** What this server serves by routes of its own. */
  readonly native: (url: string) => DelegatedApi | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const RESYNC_MS = 30_000;
const SLICES_OF_SERVICE = 'service';
const WORKERS = 2;
const PREPARE_RETRY_MS = 5_000;

export class Aggregator implements MetricSource, AsyncDisposable {
  readonly dialer: ServiceDialer;
  readonly #o: AggregatorOptions;
  readonly #scope = new Scope('aggregator');
  readonly #c: Ctx;
  readonly #apiServices: Informer<APIService>;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  #local: { readonly of: readonly KindInfo[]; readonly names: ReadonlySet<string> } | undefined;
  /** By name of the APIService. */
  readonly #remotes = new Map<string, Remote>();
  readonly #unavailable = new Counter(
    'aggregator_unavailable_apiservice_total',
    'Counter of APIServices which are marked as unavailable broken down by APIService name and reason.',
  );
  /** Merged documents, made again after every change. */
  #discovery: { readonly local: Discovery; readonly merged: Discovery } | undefined;
  #openApi: { readonly local: OpenApi; readonly merged: OpenApi } | undefined;

  constructor(o: AggregatorOptions) {
    this.#o = o;
    this.#c = { signal: this.#scope.signal, clock: o.clock, log: o.log };
    const informers = this.#scope.own(new InformerFactory(o));
    this.#apiServices = informers.informer(Kinds.apiservices);
    this.#services = informers.informer(Kinds.services);
    this.#slices = informers.informer(Kinds.endpointslices, { indexes: { [SLICES_OF_SERVICE]: sliceKeys } });
    this.dialer = new EndpointDialer({
      service: (namespace, name) => this.#services.get({ namespace, name }),
      slices: (namespace, name) => this.#slices.byIndex(SLICES_OF_SERVICE, `${namespace}/${name}`),
      nodes: o.nodes,
      random: o.random,
    });
  }

  /** Resolves when extension servers can learn whom to believe; follows the objects and makes its own in the background. */
  async start(): Promise<void> {
    const { client, clientCaPem, frontProxy } = this.#o;
    await publishAuthentication(client, { clientCaPem, requestHeaderCaPem: frontProxy?.caPem }, this.#c);
    this.#scope.own(this.#apiServices.subscribe((previous, next) => this.#follow(previous, next)));
    this.#scope.own(this.#startController());
    this.#scope.spawn('objects', (signal) => this.#prepare({ ...this.#c, signal }));
  }

  /** Who serves this URL: an extension API server, or a part of this server with routes of its own; undefined = the rest. */
  delegateOf(url = '/'): DelegatedApi | undefined {
    return this.#remoteOf(url) ?? this.#o.native(url);
  }

  discovery(local: Discovery): Discovery {
    if (this.#remotes.size === 0) return local;
    if (this.#discovery?.local !== local) {
      const remotes = [...this.#remotes.values()].map((r) => r.discovered);
      this.#discovery = { local, merged: aggregateDiscovery(local, remotes, this.#localRanks()) };
    }
    return this.#discovery.merged;
  }

  /** Documents of remote group versions are asked of their servers (`remoteOf`): only the index and v2 name them. */
  openApi(local: OpenApi): OpenApi {
    const remotes = [...this.#remotes.values()];
    if (remotes.length === 0) return local;
    if (this.#openApi?.local !== local) {
      const known = remotes.map((r) => ({
        path: `apis/${r.group}/${r.version}`,
        url: r.openApiUrl,
        swagger: r.swagger,
      }));
      this.#openApi = { local, merged: aggregateOpenApi(local, known) };
    }
    return this.#openApi.merged;
  }

  *metrics(): Iterable<MetricFamily> {
    yield this.#unavailable.family();
    yield {
      name: 'aggregator_unavailable_apiservice',
      help: 'Gauge of APIServices which are marked as unavailable broken down by APIService name.',
      type: 'gauge',
      samples: this.#apiServices
        .list()
        .map((s) => ({ labels: { name: s.metadata.name }, value: availableCondition(s)?.status === 'True' ? 0 : 1 })),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    for (const remote of this.#remotes.values()) remote[Symbol.dispose]();
    return this.#scope[Symbol.asyncDispose]();
  }

  /** By `/apis/GROUP/VERSION[/…]`, or by its OpenAPI document: no more, since everybody may ask for what is below /openapi. */
  #remoteOf(url: string): Remote | undefined {
    if (this.#remotes.size === 0) return undefined;
    const document = /^\/openapi\/v3\/apis\/([^/?]+)\/([^/?]+)(?:\?|$)/;
    const match = /^\/apis\/([^/?]+)\/([^/?]+)(?:[/?]|$)/.exec(url) ?? document.exec(url);
    return match === null ? undefined : this.#remotes.get(apiServiceName(match[1] ?? '', match[2] ?? ''));
  }

  #follow(previous: DeepReadonly<APIService> | undefined, next: DeepReadonly<APIService> | undefined): void {
    const name = next?.metadata.name ?? previous?.metadata.name ?? '';
    const known = this.#remotes.get(name);
    if (next !== undefined && this.#isRemote(next)) {
      if (known?.isReachedLike(next)) known.update(next);
      else {
        known?.[Symbol.dispose]();
        const { dialer } = this;
        const { frontProxy } = this.#o;
        const onChange = (): void => this.#changed();
        this.#remotes.set(name, new Remote({ service: next, dialer, frontProxy, onChange, c: this.#c }));
      }
    } else if (known !== undefined) {
      known[Symbol.dispose]();
      this.#remotes.delete(name);
    }
    this.#changed();
  }

  #changed(): void {
    this.#discovery = undefined;
    this.#openApi = undefined;
  }

  /** A built-in group version stays ours, whatever its APIService says, but for those that are made to be replaced. */
  #isRemote({ spec }: DeepReadonly<APIService>): boolean {
    if (spec.service === undefined) return false;
    const { group = '', version = '' } = spec;
    return !this.#isServedHere(apiServiceName(group, version)) || this.#o.replaceable.has(group);
  }

  #isServedHere(name: string): boolean {
    const all = this.#o.kinds.all();
    if (this.#local?.of !== all) {
      const names = [...this.#o.builtIn, ...all].map((k) => apiServiceName(k.group, k.version));
      this.#local = { of: all, names: new Set(names) };
    }
    return this.#local.names.has(name);
  }

  #localRanks(): readonly ApiServiceRank[] {
    return this.#apiServices
      .list()
      .filter((s) => !this.#isRemote(s))
      .map(({ spec }) => ({ ...spec, group: spec.group ?? '', version: spec.version ?? '' }));
  }

  #startController(): Controller {
    const ofService = (namespace: string, name: string): readonly string[] =>
      [...this.#remotes.values()]
        .filter(({ service: { spec } }) => spec.service?.name === name && spec.service.namespace === namespace)
        .map((r) => r.service.metadata.name);
    return startController({
      name: 'apiservice-availability',
      clock: this.#o.clock,
      random: this.#o.random,
      log: this.#o.log,
      workers: WORKERS,
      sources: [
        objectsOf(this.#apiServices),
        this.#customSource(),
        keysFrom(this.#services, (s) => ofService(s.metadata.namespace ?? '', s.metadata.name)),
        keysFrom(this.#slices, (s) => ofService(s.metadata.namespace ?? '', s.metadata.labels?.[SERVICE_NAME] ?? '')),
      ],
      reconciler: { reconcile: (name, c) => this.#reconcile(name, c) },
    });
  }

  async #reconcile(name: string, c: Ctx): Promise<Outcome> {
    const service = this.#apiServices.get({ namespace: '', name });
    const isCustom = this.#isServedHere(name) && !this.#isBuiltIn(name);
    if (await keepCustomApiService(this.#o.client, { name, service, isServed: isCustom }, c)) return DONE;
    if (service === undefined) return DONE;
    const remote = this.#remotes.get(name);
    const verdict = remote === undefined ? LOCAL : await this.#verdict(remote);
    const next = withVerdict(service, verdict, c.clock.now());
    if (verdict.status !== 'True') this.#unavailable.add({ name, reason: verdict.reason });
    if (next !== undefined)
      await this.#o.client.update<APIService>(Kinds.apiservices, next, c, { subresource: 'status' });
    if (remote === undefined) return DONE;
    if (verdict.reason === 'FailedDiscoveryCheck') throw new StatusError('Unavailable', verdict.message);
    if (verdict.status === 'True') await remote.refreshDocuments();
    return { afterMs: RESYNC_MS };
  }

  #isBuiltIn(name: string): boolean {
    return this.#o.builtIn.some((k) => apiServiceName(k.group, k.version) === name);
  }

  /** Group versions of CustomResourceDefinitions have APIServices, too, made when they come and removed when they go. */
  #customSource(): Source {
    const names = (group: string | undefined): readonly string[] => {
      const isOf = (k: { readonly group?: string | undefined }): boolean => group === undefined || k.group === group;
      const served = this.#o.kinds
        .all()
        .filter(isOf)
        .map((k) => apiServiceName(k.group, k.version));
      const known = this.#apiServices.list().filter((s) => isOf(s.spec));
      return [...new Set([...served, ...known.map((s) => s.metadata.name)])];
    };
    return {
      synced: (signal) => this.#apiServices.synced(signal),
      subscribe: (add) => {
        for (const name of names(undefined)) add(name);
        return this.#o.kinds.onChange((_name, { isServedAnew, resource }) => {
          if (isServedAnew) for (const name of names(resource.group)) add(name);
        });
      },
    };
  }

  async #verdict(remote: Remote): Promise<Verdict> {
    const { spec } = remote.service;
    const key = { namespace: spec.service?.namespace ?? '', name: spec.service?.name ?? '' };
    const slices = this.#slices.byIndex(SLICES_OF_SERVICE, `${key.namespace}/${key.name}`);
    const verdict = verdictOfObjects(spec, this.#services.get(key), slices);
    if (verdict === undefined) return await remote.check();
    remote.forgetFreshness();
    return verdict;
  }

  /** Until it has been done once: what else the server serves does not wait for it. */
  async #prepare(c: Ctx): Promise<void> {
    const { client, builtIn, replaceable } = this.#o;
    for (;;) {
      try {
        const isForeign = (spec: { readonly group?: string | undefined }): boolean => replaceable.has(spec.group ?? '');
        await ensureLocalApiServices(client, localApiServices(builtIn), isForeign, c);
        return;
      } catch (err) {
        if (c.signal.aborted) throw err;
        c.log.warn({ err }, 'making the APIServices of this server failed; tried again');
        await c.clock.sleep(PREPARE_RETRY_MS, c.signal);
      }
    }
  }
}

const SERVICE_NAME = 'kubernetes.io/service-name';

function sliceKeys(slice: DeepReadonly<EndpointSlice>): readonly string[] {
  const name = slice.metadata.labels?.[SERVICE_NAME];
  return name === undefined ? [] : [`${slice.metadata.namespace ?? ''}/${name}`];
}
