/**
 * Wires the API server: watch cache, storage, admission, authorization, handlers, listeners. Several replicas may run on
 * one store: nothing here is led, every write is a compare-and-swap.
 */
import { setMaxListeners } from 'node:events';
import { allKinds, METRICS_KINDS, NODE_METRICS, ruleTools } from '#lib/api';
import { type Ctx, raceAbort, Scope, StatusError } from '#lib/base';
import { InProcessClient, type NodeStreams } from '#lib/client';
import { InformerFactory } from '#lib/controller';
import { meteredStore } from '#lib/store';
import { CertificateApproval, CertificateSigning, CertificateSubjectRestriction } from './admission/certificates.ts';
import { AdmissionChain } from './admission/chain.ts';
import { DefaultIngressClass } from './admission/ingress.ts';
import { LimitRanger } from './admission/limit-ranger.ts';
import { NamespaceLifecycle } from './admission/namespace-lifecycle.ts';
import { NodeRestriction } from './admission/node-restriction.ts';
import { TaintNodesByCondition } from './admission/nodes.ts';
import { PodSecurity } from './admission/pod-security/plugin.ts';
import { DefaultTolerationSeconds, PriorityAdmission, ServiceAccountAdmission } from './admission/pods.ts';
import { policyDeps } from './admission/policy/deps.ts';
import { PolicyEnvironments } from './admission/policy/environment.ts';
import { expressionChecks } from './admission/policy/expressions.ts';
import { MutatingPolicies } from './admission/policy/mutating.ts';
import { TypeChecker } from './admission/policy/type-checking.ts';
import { startTypeChecking } from './admission/policy/type-checking-controller.ts';
import { ValidatingPolicies } from './admission/policy/validating.ts';
import { QuotaAdmission } from './admission/resource-quota.ts';
import { RuntimeClassAdmission } from './admission/runtime-class.ts';
import { DefaultStorageClass, PersistentVolumeClaimResize, StorageObjectInUseProtection } from './admission/storage.ts';
import { MutatingAdmissionWebhook } from './admission/webhook/mutating.ts';
import { ValidatingAdmissionWebhook } from './admission/webhook/validating.ts';
import { AddressAllocator } from './allocator/addresses.ts';
import { NodePortAllocator } from './allocator/node-ports.ts';
import { runRepair } from './allocator/repair.ts';
import { Api } from './api.ts';
import { OidcAuthenticator } from './authn/oidc/authenticator.ts';
import { StoreTokenKeys } from './authn/store-token-keys.ts';
import { makeTokenService } from './authn/token-service.ts';
import { AuthorizerUnion } from './authz/authorizer.ts';
import { Superusers } from './authz/built-in.ts';
import { NodeAuthorizer } from './authz/node/node-authorizer.ts';
import { NodeGraph } from './authz/node/node-graph.ts';
import { RbacEscalation } from './authz/rbac/escalation.ts';
import { RbacAuthorizer } from './authz/rbac/rbac.ts';
import { EndpointsKeeper } from './bootstrap/endpoints.ts';
import { ensureBootstrapObjects, keepBootstrapObjects } from './bootstrap/objects.ts';
import { ensureRbacDefaults, nodeRules } from './bootstrap/rbac.ts';
import { WatchCache } from './cache/watch-cache.ts';
import type { Core } from './core.ts';
import { definitionHooks, startDefinitions } from './custom/definitions.ts';
import { CustomVersions } from './custom/versions.ts';
import { Health } from './health.ts';
import type { ResourceHooks } from './hooks.ts';
import { Aggregator } from './http/aggregate/aggregator.ts';
import { openAudit } from './http/audit/open.ts';
import { FlowControl } from './http/fairness/flow-control.ts';
import { followConditions, followFlowControl } from './http/fairness/follow.ts';
import { listen, storeHealth } from './http/listen.ts';
import { metricsRoutes } from './http/metrics-api/metrics-api.ts';
import { NodeFigures } from './http/metrics-api/node-figures.ts';
import { KindRegistry } from './kind-registry.ts';
import { certificateRequestHooks } from './kinds/certificate-requests.ts';
import { namespaceHooks } from './kinds/namespaces.ts';
import { podHooks } from './kinds/pods.ts';
import { ServiceHooks } from './kinds/services.ts';
import type { ApiServer, ApiServerDeps } from './server.ts';
import { Storage } from './storage.ts';
import { WebhookClient } from './webhooks/client.ts';
import { webhookConversion } from './webhooks/conversion.ts';
import { WebhookMetrics } from './webhooks/metrics.ts';
import { serviceDialer } from './webhooks/service-dialer.ts';

export { parseAuditPolicy } from './http/audit/policy.ts';
export type { ApiServer, ApiServerConfig, ApiServerDeps, AuditDeps, ListenAddress } from './server.ts';

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
    const store = meteredStore(deps.store, typeOfKey, deps.clock);
    const nodes = { streams: deps.nodeStreams };
    const api = new Api(await openCore({ deps: { ...deps, store }, nodes: () => nodes.streams }, scope, c));
    const { accounts } = api.core.tokens;
    const user = { name: 'system:apiserver', groups: ['system:masters', 'system:authenticated'] };
    const client = new InProcessClient({ handler: api, user, userAgent: 'berth-apiserver' });
    await ensureBootstrapObjects(client, deps.config, c);
    await ensureRbacDefaults(client, c);
    scope.spawn('bootstrap objects', (signal) => keepBootstrapObjects(client, deps.config, { ...c, signal }));
    const flows = await openFlowControl(deps, client, scope, c);
    const auditor = openAudit(deps, c);
    scope.own(startDefinitions({ ...deps, client, core: api.core }));
    const checker = new TypeChecker({ kinds: api.core.kinds, environments: new PolicyEnvironments() });
    scope.own(
      startTypeChecking({ ...deps, client, informers: scope.own(new InformerFactory({ ...deps, client })), checker }),
    );
    const endpoints = await keepEndpoints(deps, client, scope, c);
    const aggregator = scope.own(newAggregator(deps, { client, kinds: api.core.kinds, nodes: () => nodes.streams }));
    await aggregator.start();
    const health = new Health([
      { name: 'ping', isLiveness: true, check: () => undefined },
      storeHealth(api),
      { name: 'watch-cache', isLiveness: false, check: () => api.core.cache.requireFed() },
      ...(deps.checks ?? []),
    ]);
    const stopping = new AbortController();
    // One listener for each watch: their number is not a leak.
    setMaxListeners(0, stopping.signal);
    const families = [store, ...(deps.metricSources ?? [])];
    const front = { deps, api, health, aggregator, families, nodes: () => nodes.streams, stopping: stopping.signal };
    const listeners = await listen({ ...front, flows, auditor: auditor?.auditor });
    // As Kubernetes: not ready first, all served for the delay, then no new requests, watches end, the rest may finish.
    const stop = async (): Promise<void> => {
      health.stop();
      await leave(endpoints, c);
      const delayMs = deps.config.shutdownDelayMs ?? 0;
      if (delayMs > 0) await c.clock.sleep(delayMs);
      stopping.abort(new StatusError('Unavailable', 'the server is shutting down'));
      await listeners.close();
      await scope[Symbol.asyncDispose]();
      // Last, so that what the last requests did is on record.
      await auditor?.close();
    };
    let stopped: Promise<void> | undefined;
    return {
      handler: api,
      serviceAccountTokens: accounts,
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

/** The resource, as etcd's metrics name it; the rest of the keyspace has no name. */
function typeOfKey(key: string): string {
  const [, group, resource] = /^\/registry\/([^/]+)\/([^/]+)\//.exec(key) ?? [];
  if (group === undefined || resource === undefined) return '';
  return group === 'core' ? resource : `${resource}.${group}`;
}

function newAggregator(
  deps: ApiServerDeps,
  o: { client: InProcessClient; kinds: KindRegistry; nodes: () => NodeStreams | undefined },
): Aggregator {
  const { clock, random, log, tls, frontProxy } = deps;
  const { client, kinds, nodes } = o;
  const native = metricsRoutes({ client, figures: new NodeFigures({ nodes, clock }) });
  const common = { client, kinds, clock, random, log, nodes, native, frontProxy, clientCaPem: tls?.caPem };
  const builtIn = [...allKinds(), ...METRICS_KINDS];
  return new Aggregator({ ...common, builtIn, replaceable: new Set([NODE_METRICS.group]) });
}

async function openFlowControl(
  deps: ApiServerDeps,
  client: InProcessClient,
  scope: Scope,
  c: Ctx,
): Promise<FlowControl> {
  const { clock, random, log, config } = deps;
  const flows = new FlowControl({ clock, serverSeats: config.requestSeats, waitMsMax: config.requestWaitMs });
  const informers = scope.own(new InformerFactory({ client, clock, random, log }));
  await followFlowControl(flows, informers, c);
  scope.spawn('flow schemas', (signal) => followConditions(client, informers, { ...c, signal }));
  return flows;
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

interface CoreDeps {
  readonly deps: ApiServerDeps;
  readonly nodes: () => NodeStreams | undefined;
}

async function openCore(o: CoreDeps, scope: Scope, c: Ctx): Promise<Core> {
  const { store, clock, random, log, config } = o.deps;
  const keys = await StoreTokenKeys.open({ store, clock, log }, c);
  scope.spawn('token keys', (signal) => keys.run({ ...c, signal }));
  const definitions = ruleTools();
  const kinds = new KindRegistry(definitions);
  const oidc = (config.oidc ?? []).map((i) => scope.own(new OidcAuthenticator(i, { clock, log, signal: c.signal })));
  const cache = scope.own(await WatchCache.open({ store, kinds, clock, log, freeze: config.freeze === true }, c));
  const storage = new Storage({ store, cache });
  const rbac = new RbacAuthorizer(cache);
  const nodes = new NodeAuthorizer({ graph: new NodeGraph(cache), rules: nodeRules() });
  const authorizer = new AuthorizerUnion([new Superusers(), nodes, rbac]);
  const dialer = serviceDialer({ cache, random, nodes: o.nodes });
  const client = scope.own(new WebhookClient({ dialer, c }));
  const versions = new CustomVersions({ kinds, webhook: webhookConversion({ client, random }) });
  const metrics = new WebhookMetrics();
  const webhooks = { client, metrics, random, kinds, storage, authorizer, cache, versions };
  const accountWaitMs = config.serviceAccountWaitMs ?? SERVICE_ACCOUNT_WAIT_MS;
  const environments = new PolicyEnvironments();
  const policies = policyDeps({ environments, storage, kinds, custom: versions, authorizer });
  // The order of Kubernetes; quotas come last, when nothing but the store can refuse any more.
  const admission = new AdmissionChain([
    new NamespaceLifecycle(storage),
    new LimitRanger(storage),
    new ServiceAccountAdmission({ storage, clock, random, waitMs: accountWaitMs }),
    new NodeRestriction({ storage, authorizer }),
    new TaintNodesByCondition(),
    new PodSecurity(storage),
    new PriorityAdmission(storage),
    new DefaultTolerationSeconds(config.defaultTolerationSeconds ?? DEFAULT_TOLERATION_SECONDS),
    new DefaultStorageClass(storage),
    new StorageObjectInUseProtection(),
    new PersistentVolumeClaimResize(storage),
    new RuntimeClassAdmission(storage),
    new CertificateApproval(authorizer),
    new CertificateSigning(authorizer),
    new CertificateSubjectRestriction(),
    new DefaultIngressClass(storage),
    new RbacEscalation({ authorizer, rbac, storage }),
    new MutatingPolicies(policies),
    new MutatingAdmissionWebhook(webhooks),
    new ValidatingPolicies(policies),
    new ValidatingAdmissionWebhook(webhooks),
    new QuotaAdmission(storage),
  ]);
  const addresses = new AddressAllocator({ storage, cidr: config.serviceCidr, clock, random });
  const range = config.nodePortRange ?? NODE_PORTS;
  const ports = new NodePortAllocator({ storage, range, clock, random });
  // What is served of a definition is not what watchers of its objects began with.
  scope.own(
    kinds.onChange((_name, { isServedAnew, resource }) => {
      if (isServedAnew) cache.of(resource).endWatchers();
    }),
  );
  scope.spawn('repair', (signal) => runRepair({ storage, addresses, ports }, { ...c, signal }));
  const hooks = new Map<string, ResourceHooks>([
    ['/services', new ServiceHooks({ addresses, ports })],
    ['/pods', podHooks],
    ['/namespaces', namespaceHooks],
    ['apiextensions.k8s.io/customresourcedefinitions', definitionHooks],
    ['certificates.k8s.io/certificatesigningrequests', certificateRequestHooks],
  ]);
  return {
    storage,
    cache,
    kinds,
    versions,
    webhookMetrics: metrics,
    clock,
    random,
    log,
    authorizer,
    tokens: makeTokenService({ storage, keys, clock, random, log, config: config.serviceAccounts ?? {}, others: oidc }),
    admission,
    hooks,
    validation: {
      nodePortRange: { first: range.from, last: range.to },
      definitions,
      expressions: expressionChecks(environments),
    },
    eventTtlSeconds: config.eventTtlSeconds ?? EVENT_TTL_SECONDS,
  };
}
