/**
 * `berth server`: API server, gateway, scheduler and controllers in one process over one store. Any number may run on the
 * same store: API servers and gateways are all active, scheduler and controllers are led by an election.
 */
import { hostname } from 'node:os';
import { type Ctx, createLogger, realClock, realRandom, Scope, StatusError } from '#lib/base';
import { NatsBus } from '#lib/bus';
import { InProcessClient, type UserInfo, type WriteFence } from '#lib/client';
import { lead, WorkQueueMetrics } from '#lib/controller';
import type { KeyPair } from '#lib/pki';
import { type EtcdEndpoints, EtcdStore, type EtcdTls, LEADER_PREFIX, Maintenance, type Store } from '#lib/store';
import { type ApiServer, startApiServer } from '../../services/apiserver/main.ts';
import { startControllers } from '../../services/controllers/main.ts';
import { startEventCopies } from '../../services/events/main.ts';
import { startGateway } from '../../services/gateway/main.ts';
import { SecretTokens } from '../../services/gateway/tokens.ts';
import { SchedulerMetrics, startScheduler } from '../../services/scheduler/main.ts';
import { withoutAllocator } from '../allocator.ts';
import { auditOf } from '../audit.ts';
import { CertificateKeeper, type CertificateUser, RenewedPair } from '../certificates.ts';
import { ClusterPki } from '../cluster-pki.ts';
import { ensureEtcdPki, etcdAccess } from '../etcd-access.ts';
import { findCluster } from '../instance.ts';
import { type ClusterLayout, pkiFolder, registrySockets } from '../layout.ts';
import { natsAccess } from '../nats-access.ts';
import { refuseNodeMistakes } from '../node-options.ts';
import { untilStopped } from '../process.ts';
import { openRegistryDoor } from '../registry-door.ts';
import { openSealing, secretsKeyPath } from '../secrets-sealing.ts';
import {
  apiSettings,
  readServerConfiguration,
  ServerConfigurationKeeper,
  tokenIssuer,
} from '../server-configuration.ts';

const MASTERS = ['system:masters', 'system:authenticated'];
const LEASE_SECONDS = 5;

export interface ServerOptions {
  readonly layout: ClusterLayout;
  readonly logLevel?: string | undefined;
}

/** Reads the layout that `up` wrote. */
export async function serverCommand(o: { instance?: string; home?: string; logLevel?: string }): Promise<void> {
  refuseNodeMistakes({ logLevel: o.logLevel });
  withoutAllocator(process.env);
  const { home, layout } = await findCluster(o);
  if (layout === undefined) throw new StatusError('NotFound', `no cluster below ${home}: 'berth up' makes one`);
  await runServer({ layout, logLevel: o.logLevel });
}

export async function runServer(o: ServerOptions): Promise<void> {
  const log = createLogger({ component: 'server', level: o.logLevel });
  await using scope = new Scope('server');
  const c: Ctx = { signal: scope.signal, clock: realClock, log };
  await startServer(o.layout, scope, c);
  log.info({ port: o.layout.apiPort }, 'server ready');
  await untilStopped();
  log.info({}, 'server stopping');
}

async function startServer(layout: ClusterLayout, scope: Scope, c: Ctx): Promise<void> {
  const { clock, log } = c;
  const random = realRandom;
  const configuration = await readServerConfiguration(layout);
  const pki = new ClusterPki(pkiFolder(layout), clock, layout.certificateDays);
  await ensureEtcdPki(layout, clock, layout.certificateDays);
  const etcd = await etcdAccess(layout);
  const plain = scope.own(await EtcdStore.open(etcd, c));
  const maintenance = scope.own(new Maintenance(plain, etcd));
  scope.spawn('maintenance', (signal) => maintenance.run({ ...c, signal }));
  const sealing = await openSealing({ store: plain, keyPath: secretsKeyPath(layout), kms: layout.kms }, scope, c);
  const { store } = sealing;
  const bus = scope.own(NatsBus.connect(await natsAccess(layout), { clock, log }));
  const ca = await pki.ca();
  const serviceIp = firstAddress(layout.serviceCidr);
  const ips = [...new Set(['127.0.0.1', layout.serverIp, serviceIp])];
  const dns = [
    'localhost',
    hostname(),
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    `kubernetes.default.svc.${layout.clusterDomain}`,
  ];
  const names = { dns, ips };
  const tls = await pki.server(names);
  const hosts = [...new Set(['127.0.0.1', layout.serverIp])];
  const frontProxy = await RenewedPair.of(() => pki.frontProxy());
  const serverClient = await RenewedPair.of(() => pki.serverClient(`${layout.serverIp}:${layout.apiPort}`));
  const queueMetrics = new WorkQueueMetrics(clock);
  const schedulerMetrics = new SchedulerMetrics();
  const api = scope.own(
    await startApiServer({
      metricSources: [queueMetrics, schedulerMetrics],
      store,
      clock,
      random,
      log: log.child({ part: 'apiserver' }),
      listen: hosts.map((host) => ({ host, port: layout.apiPort })),
      tls: { ...tls, caPem: ca.certPem },
      frontProxy: withAuthority(frontProxy),
      checks: sealing.checks,
      config: {
        serviceCidr: layout.serviceCidr,
        advertise: { address: layout.serverIp, port: layout.apiPort },
        serviceAccounts: { issuers: [tokenIssuer(layout)] },
        ...apiSettings(configuration.settings),
      },
      audit: await auditOf(layout.home, bus),
    }),
  );
  const settings = new ServerConfigurationKeeper(layout, api, configuration);
  scope.spawn('configuration', (signal) => settings.run({ ...c, signal }));
  const clientOf = (name: string, fence?: () => WriteFence | undefined): InProcessClient => {
    const user: UserInfo = { name, groups: MASTERS };
    return new InProcessClient({ handler: api.handler, user, ...(fence === undefined ? {} : { fence }) });
  };
  const gatewayClient = clientOf('system:berth-gateway');
  const gateway = scope.own(
    await startGateway({
      client: gatewayClient,
      fencedClient: (fence) => clientOf('system:berth-gateway', () => fence),
      clientAs: (user) => new InProcessClient({ handler: api.handler, user }),
      apiEndpoint: `${layout.serverIp}:${layout.apiPort}`,
      host: layout.serverIp,
      port: layout.gatewayPort,
      ca,
      tls,
      serverClient,
      tokens: new SecretTokens({ client: gatewayClient, clock, log }),
      cluster: {
        clusterDomain: layout.clusterDomain,
        clusterDnsIp: nthAddress(layout.serviceCidr, 10),
        clusterCidr: layout.clusterCidr,
        serviceCidr: layout.serviceCidr,
      },
      bus,
      nodeCertificateDays: layout.certificateDays,
      clock,
      random,
      log: log.child({ part: 'gateway' }),
    }),
  );
  api.useNodeStreams(gateway);
  const users: CertificateUser[] = [api, gateway];
  // The registry is the first server's.
  if (!layout.serverIp.startsWith('127.') && layout.role === undefined) {
    const { registryPort, serverIp } = layout;
    const sockets = registrySockets(layout);
    const door = { host: serverIp, port: registryPort, sockets, tls, caPem: ca.certPem, log };
    users.push(scope.own(await openRegistryDoor(door)));
  }
  const renewEtcd = etcdCertificateUser(layout, etcd, [plain, maintenance]);
  const registryClient = await RenewedPair.of(() => pki.registry());
  const also = [renewEtcd, () => frontProxy.renew(), () => serverClient.renew(), () => registryClient.renew()];
  const certificates = new CertificateKeeper({ layout, pki, names, users, first: tls, also, random });
  scope.spawn('certificates', (signal) => certificates.run({ ...c, signal }));
  const tokenSigner = api.serviceAccountTokens;
  const led = { queueMetrics, schedulerMetrics, layout, store, bus, scope, c, clientOf, authority: ca, tokenSigner };
  leadParts(led);
}

/** The authority outlives its certificates. */
function withAuthority(pair: RenewedPair<KeyPair & { caPem: string }>): KeyPair & { readonly caPem: string } {
  return {
    get certPem() {
      return pair.certPem;
    },
    get keyPem() {
      return pair.keyPem;
    },
    caPem: pair.now.caPem,
  };
}

/** Tells who dials etcd of a renewed certificate, once; one of somebody else's etcd too, whose files somebody else renews. */
function etcdCertificateUser(
  layout: ClusterLayout,
  first: EtcdEndpoints,
  users: readonly { useTls(tls: EtcdTls): void }[],
): () => Promise<readonly KeyPair[]> {
  let { tls } = first;
  return async () => {
    const now = (await etcdAccess(layout)).tls;
    if (now === undefined || (now.cert === tls?.cert && now.ca === tls?.ca)) return [];
    for (const u of users) u.useTls(now);
    tls = now;
    return [];
  };
}

interface Led {
  readonly queueMetrics: WorkQueueMetrics;
  readonly schedulerMetrics: SchedulerMetrics;
  readonly layout: ClusterLayout;
  readonly store: Store;
  readonly bus: NatsBus;
  readonly scope: Scope;
  readonly c: Ctx;
  readonly clientOf: (name: string, fence?: () => WriteFence | undefined) => InProcessClient;
  readonly authority: KeyPair;
  readonly tokenSigner: ApiServer['serviceAccountTokens'];
}

/** Scheduler and controllers run where their election is won; their writes carry its fence. */
function leadParts(o: Led): void {
  const { store, scope, c } = o;
  const identity = `${hostname()}-${process.pid}`;
  const base = { admin: store.admin, identity, ttlSeconds: LEASE_SECONDS, random: realRandom };
  scope.spawn('scheduler', (signal) =>
    lead(
      {
        ...base,
        key: `${LEADER_PREFIX}scheduler`,
        start: ({ fence }) =>
          startScheduler({
            client: o.clientOf('system:kube-scheduler', () => fence),
            metrics: o.schedulerMetrics,
            clock: c.clock,
            random: realRandom,
            log: c.log.child({ part: 'scheduler' }),
          }),
      },
      { ...c, signal },
    ),
  );
  scope.spawn('event copies', (signal) =>
    lead(
      {
        ...base,
        key: `${LEADER_PREFIX}event-copies`,
        start: () =>
          startEventCopies({
            client: o.clientOf('system:berth-events'),
            bus: o.bus,
            clock: c.clock,
            random: realRandom,
            log: c.log.child({ part: 'events' }),
          }),
      },
      { ...c, signal },
    ),
  );
  scope.spawn('controllers', (signal) =>
    lead(
      {
        ...base,
        key: `${LEADER_PREFIX}controllers`,
        start: ({ fence }) =>
          startControllers({
            client: o.clientOf('system:kube-controller-manager', () => fence),
            queueMetrics: o.queueMetrics,
            clock: c.clock,
            random: realRandom,
            log: c.log.child({ part: 'controllers' }),
            config: {
              clusterCidr: o.layout.clusterCidr,
              caPem: o.authority.certPem,
              authority: o.authority,
              tokenSigner: o.tokenSigner,
            },
          }),
      },
      { ...c, signal },
    ),
  );
}

/** `10.43.0.0/16`, 1 -> `10.43.0.1` */
export function nthAddress(cidr: string, n: number): string {
  const parts = (cidr.split('/')[0] ?? '').split('.').map(Number);
  const value = parts.reduce((sum, p) => sum * 256 + p, 0) + n;
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

function firstAddress(cidr: string): string {
  return nthAddress(cidr, 1);
}
