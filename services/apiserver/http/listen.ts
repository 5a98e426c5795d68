/** Builds the HTTP front over an Api and listens. */
import { release } from 'node:process';
import { discoveryOf, type KindInfo, METRICS_KINDS, openApiOf } from '#lib/api';
import type { Ctx, MetricSource } from '#lib/base';
import type { NodeStreams, RequestBase } from '#lib/client';

import { createHttpServer, type HttpServer, type TlsOptions } from '#lib/http';
import { admitConnect } from '../admission/requests.ts';
import type { Api } from '../api.ts';
import { Authenticator } from '../authn/authenticator.ts';
import type { Health } from '../health.ts';
import type { KindRegistry } from '../kind-registry.ts';
import { Metrics } from '../metrics.ts';
import type { ApiServerDeps, ListenAddress } from '../server.ts';
import type { Aggregator } from './aggregate/aggregator.ts';
import type { Auditor } from './audit/auditor.ts';
import { FlowFilter } from './fairness/filter.ts';
import type { FlowControl } from './fairness/flow-control.ts';
import { Front } from './front.ts';
import { JWKS_PATH } from './issuer.ts';
import { PathRoutes } from './paths.ts';
import { isProxyUrl, ProxyRoutes } from './proxy/forward.ts';
import { proxyObjects } from './proxy/objects.ts';
import { StreamRoutes } from './streams.ts';
import { WatchPace } from './watch-pace.ts';

/** What we claim to be: clients switch features on it. */
const GIT_VERSION = 'v1.36.0+berth';

export interface Listeners {
  readonly addresses: readonly ListenAddress[];
  /** For connections to come. */
  useCertificate(pair: Pick<TlsMaterial, 'certPem' | 'keyPem'>): void;
  close(): Promise<void>;
}

type TlsMaterial = NonNullable<ApiServerDeps['tls']>;

export interface ListenOptions {
  readonly deps: ApiServerDeps;
  readonly api: Api;
  readonly health: Health;
  readonly aggregator: Aggregator;
  /** What the rest of this process counts. */
  readonly families: readonly MetricSource[];
  readonly nodes: () => NodeStreams | undefined;
  readonly stopping: AbortSignal;
  readonly flows: FlowControl;
  readonly auditor: Auditor | undefined;
}

export async function listen(o: ListenOptions): Promise<Listeners> {
  const { tls } = o.deps;
  const front = newFront(o);
  const servers: HttpServer[] = [];
  const addresses: ListenAddress[] = [];
  for (const address of o.deps.listen) {
    const server = createHttpServer({
      handler: (req, res) => front.handle(req, res),
      upgrade: (req, socket, head) => front.upgrade(req, socket, head),
      upgradeProtocols: ['websocket', 'spdy/3.1'],
      passesUpgrade: (req) => isProxyUrl(req.url ?? ''),
      clock: o.deps.clock,
      log: o.deps.log,
      ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
    });
    servers.push(server);
    addresses.push({ host: address.host, port: (await server.listen(address)).port });
  }
  return {
    addresses,
    useCertificate: (pair) => {
      if (tls !== undefined) for (const s of servers) s.setTls(tlsOptions({ ...tls, ...pair }));
    },
    close: async () => {
      await Promise.all(servers.map((s) => s.close()));
    },
  };
}

function tlsOptions(tls: TlsMaterial): TlsOptions {
  return { key: tls.keyPem, cert: tls.certPem, ca: tls.caPem, requestCert: true };
}

function newFront(o: ListenOptions): Front {
  const { deps, api } = o;
  const { core } = api;
  const flows = new FlowFilter({
    flows: o.flows,
    loadOf: (group, resource) => {
      const kind = core.kinds.of({ group, resource });
      if (kind === undefined) return undefined;
      const { size, watcherCount } = core.cache.of(kind);
      return { objects: size, watchers: watcherCount };
    },
  });
  const { aggregator } = o;
  const metrics = new Metrics({
    *objects() {
      for (const r of core.cache.resources()) {
        const kind = core.kinds.of(r.kind);
        if (kind !== undefined) yield { kind, count: r.size, watchers: r.watcherCount };
      }
    },
    kindOf: (group, version, resource) =>
      core.kinds.byResource(group, version, resource) ??
      METRICS_KINDS.find((k) => k.group === group && k.version === version && k.resource === resource),
    lines: [flows, core.webhookMetrics, ...(o.auditor === undefined ? [] : [o.auditor])],
    families: [aggregator, ...o.families],
    version: GIT_VERSION,
    clock: deps.clock,
  });
  const discovery = perKinds(core.kinds, (kinds) => discoveryOf([...kinds, ...METRICS_KINDS]));
  const openApi = perKinds(core.kinds, (kinds) => openApiOf([...kinds, ...METRICS_KINDS], GIT_VERSION));
  const paths = new PathRoutes({
    discovery: () => aggregator.discovery(discovery()),
    openApi: () => aggregator.openApi(openApi()),
    health: o.health,
    metrics,
    issuer: { issuer: core.tokens.accounts.issuer, jwksUri: jwksUriOf(deps), keys: core.tokens.keys },
    version: versionInfo(),
  });
  return new Front({
    api,
    authenticator: new Authenticator({ tokens: core.tokens, authorizer: core.authorizer }),
    paths,
    streams: new StreamRoutes({ api, nodes: o.nodes }),
    aggregator,
    proxy: new ProxyRoutes({
      objects: (c) => proxyObjects(core, c),
      nodes: o.nodes,
      admit: (base, path, c) => admitProxy(api, base, path, c),
      random: deps.random,
    }),
    metrics,
    pace: new WatchPace(deps.clock),
    flows,
    auditor: o.auditor,
    clock: deps.clock,
    random: deps.random,
    log: deps.log,
    stopping: o.stopping,
  });
}

function jwksUriOf({ config }: ApiServerDeps): string {
  const { address, port } = config.advertise;
  const host = address.includes(':') ? `[${address}]` : address;
  return config.serviceAccounts?.jwksUri ?? `https://${host}:${port}${JWKS_PATH}`;
}

/** Made anew when a kind comes, changes or goes; a server that nobody asks never makes them (they cost time and memory). */
function perKinds<T>(registry: KindRegistry, make: (kinds: readonly KindInfo[]) => T): () => T {
  let of: readonly KindInfo[] | undefined;
  let made: T | undefined;
  return () => {
    const kinds = registry.all();
    if (made === undefined || of !== kinds) made = make(kinds);
    of = kinds;
    return made;
  };
}

function versionInfo(): object {
  return {
    major: '1',
    minor: '36',
    gitVersion: GIT_VERSION,
    gitCommit: 'berth',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: `${release.name} ${process.version}`,
    compiler: 'typescript',
    platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}

export function storeHealth(api: Api): { name: string; isLiveness: boolean; check: (c: Ctx) => Promise<void> } {
  return {
    name: 'etcd',
    isLiveness: false,
    check: async (c) => void (await api.core.storage.store.admin.health(c)),
  };
}

const PROXY_OPTIONS: Readonly<Record<string, string>> = {
  pods: 'PodProxyOptions',
  services: 'ServiceProxyOptions',
  nodes: 'NodeProxyOptions',
};

async function admitProxy(api: Api, base: RequestBase, path: string, c: Ctx): Promise<void> {
  const kind = PROXY_OPTIONS[base.kind.resource] ?? '';
  await admitConnect(api.core, api.target(base), { kind, options: path === '' ? {} : { path } }, c);
}
