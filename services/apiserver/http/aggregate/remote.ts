/** One APIService with a service behind it: how it is reached, and what it last said of itself. */
import {
  type APIService,
  type DeepReadonly,
  type RemoteGroupVersion,
  remoteSwagger,
  resourcesOfList,
  type SwaggerPart,
} from '#lib/api';
import { type Ctx, messageOf, raceAbort, StatusError } from '#lib/base';
import type { UserInfo } from '#lib/client';
import type { KeyPair } from '#lib/pki';
import { availableCondition, failedDiscovery, PASSED, type Verdict } from './availability.ts';
import { Backend, type BackendRequest } from './backend.ts';
import type { DelegatedApi, DelegatedCall, DelegatedUpgrade } from './delegate.ts';
import { identityHeaders } from './headers.ts';
import { proxyRequest, proxyUpgrade } from './proxy.ts';
import type { ServiceDialer } from './service-dialer.ts';

/** Sees whatever the extension server has to say of itself. */
const AGGREGATOR: UserInfo = { name: 'system:kube-aggregator', groups: ['system:masters'] };
const CHECK_MS = 6_000;
/** Side by side: one bad endpoint of several must not make the service look gone. */
const CHECKS = 5;
const DISCOVERY_BYTES_MAX = 4 << 20;
const OPENAPI_BYTES_MAX = 16 << 20;
const DOCUMENTS_MS = 60_000;

export interface RemoteOptions {
  readonly service: DeepReadonly<APIService>;
  readonly dialer: ServiceDialer;
  readonly frontProxy: KeyPair | undefined;
  /** What is known of this group version changed. */
  readonly onChange: () => void;
  readonly c: Ctx;
}

export class Remote implements DelegatedApi, Disposable {
  readonly backend: Backend;
  readonly group: string;
  readonly version: string;
  readonly #o: RemoteOptions;
  #service: DeepReadonly<APIService>;
  #resources: readonly object[] | undefined;
  #isFresh = false;
  #openApiUrl: string | undefined;
  #swagger: SwaggerPart | undefined;
  #swaggerEtag = '';
  #documentsAt = Number.NEGATIVE_INFINITY;

  constructor(o: RemoteOptions) {
    this.#o = o;
    this.#service = o.service;
    this.group = o.service.spec.group ?? '';
    this.version = o.service.spec.version ?? '';
    this.backend = new Backend({ ...o, spec: o.service.spec });
  }

  get service(): DeepReadonly<APIService> {
    return this.#service;
  }

  /** The same spec, as far as reaching it goes; another status or another priority. */
  update(service: DeepReadonly<APIService>): void {
    this.#service = service;
  }

  /** Authenticate and authorize before. */
  async serve({ req, answer, user }: DelegatedCall, c: Ctx): Promise<void> {
    this.#requireAvailable();
    await proxyRequest(this.backend, { req, res: answer.res, user }, c.signal);
  }

  async upgrade(call: DelegatedUpgrade, c: Ctx): Promise<void> {
    this.#requireAvailable();
    await proxyUpgrade(this.backend, call, c.signal);
  }

  isReachedLike(service: DeepReadonly<APIService>): boolean {
    return reach(this.#service) === reach(service);
  }

  get discovered(): RemoteGroupVersion {
    const { groupPriorityMinimum, versionPriority } = this.#service.spec;
    const { group, version } = this;
    return {
      group,
      version,
      groupPriorityMinimum,
      versionPriority,
      resources: this.#resources,
      isFresh: this.#isFresh,
    };
  }

  /** `serverRelativeURL` of its OpenAPI v3 document, if it has one. */
  get openApiUrl(): string | undefined {
    return this.#openApiUrl;
  }

  get swagger(): SwaggerPart | undefined {
    return this.#swagger;
  }

  /** Asks the service whether it serves this group version, and what. */
  async check(): Promise<Verdict> {
    const url = `https://${this.backend.host}${this.#path}`;
    const attempts = Array.from({ length: CHECKS }, () => this.#fetch(this.#path, DISCOVERY_BYTES_MAX));
    try {
      const { code, body } = await Promise.any(
        attempts.map(async (a) => {
          const answer = await a;
          if (answer.code < 200 || answer.code > 299) throw new Error(`bad status from ${url}: ${answer.code}`);
          return answer;
        }),
      );
      this.#learn(code, body);
      return PASSED;
    } catch (e) {
      this.forgetFreshness();
      const first: unknown = e instanceof AggregateError ? e.errors[0] : e;
      return failedDiscovery(`failing or missing response from ${url}: ${messageOf(first)}`);
    }
  }

  forgetFreshness(): void {
    if (!this.#isFresh) return;
    this.#isFresh = false;
    this.#o.onChange();
  }

  /** OpenAPI documents, at most once a minute. A service without them is a good service all the same. */
  async refreshDocuments(): Promise<void> {
    const now = this.#o.c.clock.monotonic();
    if (now - this.#documentsAt < DOCUMENTS_MS) return;
    this.#documentsAt = now;
    const before = [this.#openApiUrl, this.#swagger];
    try {
      await this.#refreshV3();
      await this.#refreshV2();
    } catch (e) {
      if (this.#o.c.signal.aborted) throw e;
      this.#o.c.log.debug({ name: this.#service.metadata.name, err: messageOf(e) }, 'no OpenAPI of an APIService');
    }
    if (before[0] !== this.#openApiUrl || before[1] !== this.#swagger) this.#o.onChange();
  }

  [Symbol.dispose](): void {
    this.backend[Symbol.dispose]();
  }

  /** As the stored condition says: it is the same for every replica and for those who look at the object. */
  #requireAvailable(): void {
    const condition = availableCondition(this.#service);
    if (condition?.status === 'True') return;
    const why =
      condition === undefined ? 'it has not been checked yet' : `${condition.reason ?? ''}: ${condition.message ?? ''}`;
    const name = this.#service.metadata.name;
    throw new StatusError(
      'Unavailable',
      `the server is currently unable to handle the request (APIService ${name}: ${why})`,
    );
  }

  get #path(): string {
    return `/apis/${this.group}/${this.version}`;
  }

  #learn(code: number, body: Buffer): void {
    const resources = code === 200 ? resourcesOfList(parsed(body), this) : undefined;
    const isSame = this.#isFresh && JSON.stringify(resources) === JSON.stringify(this.#resources);
    this.#resources = resources;
    this.#isFresh = resources !== undefined;
    if (!isSame) this.#o.onChange();
  }

  async #refreshV3(): Promise<void> {
    const { code, body } = await this.#fetch('/openapi/v3', DISCOVERY_BYTES_MAX);
    const key = this.#path.slice(1);
    const index = code === 200 ? parsed(body) : undefined;
    const paths = isRecord(index) && isRecord(index['paths']) ? index['paths'] : {};
    const entry = Object.hasOwn(paths, key) ? paths[key] : undefined;
    const url = isRecord(entry) ? entry['serverRelativeURL'] : undefined;
    /* Nothing but its own document: the URL is told to our clients. */
    this.#openApiUrl = typeof url === 'string' && url.startsWith(`/openapi/v3/${key}`) ? url : undefined;
  }

  async #refreshV2(): Promise<void> {
    const headers = this.#swaggerEtag === '' ? {} : { 'if-none-match': [this.#swaggerEtag] };
    const answer = await this.#fetch('/openapi/v2', OPENAPI_BYTES_MAX, headers);
    if (answer.code === 304) return;
    this.#swaggerEtag = answer.headers.etag ?? '';
    this.#swagger = answer.code === 200 ? remoteSwagger(parsed(answer.body), this.#path) : undefined;
  }

  async #fetch(
    path: string,
    bytesMax: number,
    extra: BackendRequest['headers'] = {},
  ): Promise<Awaited<ReturnType<Backend['fetch']>>> {
    const { c } = this.#o;
    const limit = new AbortController();
    const late = new StatusError('DeadlineExceeded', `timed out waiting for https://${this.backend.host}${path}`);
    const timer = c.clock.after(CHECK_MS, () => limit.abort(late));
    const signal = AbortSignal.any([c.signal, limit.signal]);
    try {
      const headers = {
        host: [this.backend.host],
        accept: ['application/json'],
        'user-agent': ['kube-aggregator'],
        ...identityHeaders(AGGREGATOR),
        ...extra,
      };
      return await raceAbort(this.backend.fetch({ method: 'GET', path, headers, signal }, bytesMax), signal);
    } finally {
      timer.cancel();
    }
  }
}

/** All of a spec that a connection depends on. */
function reach(service: DeepReadonly<APIService>): string {
  const { groupPriorityMinimum: _g, versionPriority: _v, ...rest } = service.spec;
  return JSON.stringify([service.metadata.uid, rest]);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** undefined for what is no JSON. */
function parsed(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString());
  } catch {
    // An extension server may answer anything.
    return undefined;
  }
}
