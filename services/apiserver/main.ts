/**
 * Wires the API server: watch cache, storage, admission, authorization, handlers, listeners. Several replicas may run on
 * one store: nothing here is led, every write is a compare-and-swap.
 */
import { setMaxListeners } from 'node:events';
import { type Ctx, raceAbort, Scope, StatusError } from '#lib/base';
import { InProcessClient } from '#lib/client';
import { AdmissionChain } from './admission/chain.ts';
import { NamespaceLifecycle } from './admission/namespace-lifecycle.ts';
import { TaintNodesByCondition } from './admission/nodes.ts';
import { DefaultTolerationSeconds, PriorityAdmission, ServiceAccountAdmission } from './admission/pods.ts';
import { AddressAllocator } from './allocator/addresses.ts';
import { NodePortAllocator } from './allocator/node-ports.ts';
import { runRepair } from './allocator/repair.ts';
import { Api } from './api.ts';
import { AuthorizerUnion } from './authz/authorizer.ts';
import { NodeRules, PublicRules, Superusers } from './authz/built-in.ts';
import { EndpointsKeeper } from './bootstrap/endpoints.ts';
import { ensureBootstrapObjects, keepBootstrapObjects } from './bootstrap/objects.ts';
import { StoredKinds } from './cache/stored-kinds.ts';
import { WatchCache } from './cache/watch-cache.ts';
import type { Core } from './core.ts';
import { Health } from './health.ts';
import type { ResourceHooks } from './hooks.ts';
import { listen, storeHealth } from './http/listen.ts';
import { namespaceHooks } from './kinds/namespaces.ts';
import { podHooks } from './kinds/pods.ts';
import { ServiceHooks } from './kinds/services.ts';
import type { ApiServer, ApiServerDeps } from './server.ts';
import { Storage } from './storage.ts';

export type { ApiServer, ApiServerConfig, ApiServerDeps, BearerVerifier, ListenAddress } from './server.ts';

const DEFAULT_TOLERATION_SECONDS = 3;
const EVENT_TTL_SECONDS = 3_600;
const NODE_PORTS = { from: 30_000, to: 32_767 };
const LEAVE_MS = 2_000;
const SERVICE_ACCOUNT_WAIT_MS = 5_000;

/** Resolves when the cache is filled, the bootstrap objects exist and the listeners accept. */
export async function startApiServer(deps: ApiServerDeps): Promise<ApiServer> {
  const scope = new Scope('apiserver');
  try {
    const c: Ctx = { signal: scope.signal, clock: deps.clock, log: deps.log };
    const api = new Api(await openCore(deps, scope, c));
    const user = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] };
    const client = new InProcessClient({ handler: api, user, userAgent: 'berth-apiserver' });
    await ensureBootstrapObjects(client, deps.config, c);
    scope.spawn('bootstrap objects', (signal) => keepBootstrapObjects(client, deps.config, { ...c, signal }));
    const endpoints = await keepEndpoints(deps, client, scope, c);
    const nodes = { streams: deps.nodeStreams };
    const health = new Health([
      { name: 'ping', isLiveness: true, check: () => undefined },
      storeHealth(api),
      { name: 'watch-cache', isLiveness: false, check: () => api.core.cache.requireFed() },
      ...(deps.checks ?? []),
    ]);
    const stopping = new AbortController();
    // One listener for each watch: their number is not a leak.
    setMaxListeners(0, stopping.signal);
    const listeners = await listen({ deps, api, health, nodes: () => nodes.streams, stopping: stopping.signal });
    const stop = async (): Promise<void> => {
      health.stop();
      await leave(endpoints, c);
      stopping.abort(new StatusError('Unavailable', 'the server is shutting down'));
      await listeners.close();
      await scope[Symbol.asyncDispose]();
    };
    let stopped: Promise<void> | undefined;
    return {
      handler: api,
      addresses: listeners.addresses,
      useCertificate: (pair) => listeners.useCertificate(pair),
      useNodeStreams: (streams) => {
        nodes.streams = streams;
      },
      [Symbol.asyncDispose]: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

/** Endpoints on loopback would mean every pod itself, and the API refuses them: such a server is for its own host only. */
async function keepEndpoints(
  deps: ApiServerDeps,
  client: InProcessClient,
  scope: Scope,
  c: Ctx,
): Promise<EndpointsKeeper | undefined> {
  const self = deps.config.advertise;
  if (self.address.startsWith('127.')) {
    deps.log.warn({ address: self.address }, 'the advertised address is loopback: no endpoints for `kubernetes`');
    return undefined;
  }
  const keeper = new EndpointsKeeper({ client, self });
  await keeper.announce(c);
  scope.spawn('endpoints', (signal) => keeper.run({ ...c, signal }));
  return keeper;
}

/** Bounded: a store that does not answer must not keep a server from stopping. */
async function leave(endpoints: EndpointsKeeper | undefined, c: Ctx): Promise<void> {
  const limit = new AbortController();
  const timer = c.clock.after(LEAVE_MS, () => limit.abort());
  try {
    await raceAbort(endpoints?.leave({ ...c, signal: limit.signal }) ?? Promise.resolve(), limit.signal);
  } catch (err) {
    c.log.warn({ err }, 'the endpoints of `kubernetes` keep this address until its lease ends');
  } finally {
    timer.cancel();
  }
}

async function openCore(deps: ApiServerDeps, scope: Scope, c: Ctx): Promise<Core> {
  const { store, clock, random, log, config } = deps;
  const kinds = new StoredKinds();
  const cache = scope.own(await WatchCache.open({ store, kinds, clock, log, freeze: config.freeze === true }, c));
  const storage = new Storage({ store, cache });
  const admission = new AdmissionChain([
    new NamespaceLifecycle(storage),
    new ServiceAccountAdmission({ storage, clock, waitMs: config.serviceAccountWaitMs ?? SERVICE_ACCOUNT_WAIT_MS }),
    new TaintNodesByCondition(),
    new PriorityAdmission(storage),
    new DefaultTolerationSeconds(config.defaultTolerationSeconds ?? DEFAULT_TOLERATION_SECONDS),
  ]);
  const addresses = new AddressAllocator({ storage, cidr: config.serviceCidr, clock, random });
  const range = config.nodePortRange ?? NODE_PORTS;
  const ports = new NodePortAllocator({ storage, range, clock, random });
  scope.spawn('repair', (signal) => runRepair({ storage, addresses, ports }, { ...c, signal }));
  const hooks = new Map<string, ResourceHooks>([
    ['/services', new ServiceHooks({ addresses, ports })],
    ['/pods', podHooks],
    ['/namespaces', namespaceHooks],
  ]);
  return {
    storage,
    cache,
    kinds,
    clock,
    random,
    log,
    authorizer: new AuthorizerUnion([new Superusers(), new NodeRules(), new PublicRules()]),
    admission,
    hooks,
    validation: { nodePortRange: { first: range.from, last: range.to } },
    eventTtlSeconds: config.eventTtlSeconds ?? EVENT_TTL_SECONDS,
  };
}
