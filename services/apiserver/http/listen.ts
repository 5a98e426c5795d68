/** Builds the HTTP front over an Api and listens. */
import { release } from 'node:process';
import { allKinds, discoveryOf, type OpenApi, openApiOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { NodeStreams } from '#lib/client';
import { createHttpServer, type HttpServer, type TlsOptions } from '#lib/http';
import type { Api } from '../api.ts';
import { Authenticator } from '../authn/authenticator.ts';
import type { Health } from '../health.ts';
import { Metrics } from '../metrics.ts';
import type { ApiServerDeps, ListenAddress } from '../server.ts';
import { Front } from './front.ts';
import { PathRoutes } from './paths.ts';
import { StreamRoutes } from './streams.ts';

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
  readonly nodes: () => NodeStreams | undefined;
  readonly stopping: AbortSignal;
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
  const kinds = allKinds();
  const metrics = new Metrics(
    {
      *objects() {
        for (const r of core.cache.resources())
          yield { resource: r.kind.resource, count: r.size, watchers: r.watcherCount };
      },
    },
    (group, resource) => core.kinds.of({ group, resource }) !== undefined,
  );
  const paths = new PathRoutes({
    discovery: discoveryOf(kinds),
    openApi: onFirstUse(() => openApiOf(kinds, GIT_VERSION)),
    health: o.health,
    metrics,
    version: versionInfo(),
  });
  return new Front({
    api,
    authenticator: new Authenticator({ bearer: deps.bearer, authorizer: core.authorizer }),
    paths,
    streams: new StreamRoutes({ api, nodes: o.nodes }),
    metrics,
    clock: deps.clock,
    random: deps.random,
    log: deps.log,
    stopping: o.stopping,
  });
}

/** The documents cost time and memory: a server that nobody asks never makes them. */
function onFirstUse(make: () => OpenApi): OpenApi {
  let made: OpenApi | undefined;
  const get = (): OpenApi => {
    made ??= make();
    return made;
  };
  return {
    index: () => get().index(),
    document: (path) => get().document(path),
    v2: () => get().v2(),
    v2Head: () => get().v2Head(),
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
