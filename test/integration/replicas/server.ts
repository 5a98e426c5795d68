/** One server of a cluster as a process of its own: API and gateway on the etcd that its configuration names. */
import { readFile } from 'node:fs/promises';
import { realClock as clock, createLogger, realRandom as random } from '#lib/base';
import { InProcessClient, type UserInfo } from '#lib/client';
import { issue } from '#lib/pki';
import { EtcdStore } from '#lib/store';
import { startApiServer } from '../../../services/apiserver/main.ts';
import { startGateway } from '../../../services/gateway/main.ts';
import { serverSubject } from '../../../services/gateway/subjects.ts';
import { SecretTokens } from '../../../services/gateway/tokens.ts';

export interface ReplicaConfig {
  readonly etcd: string;
  readonly apiPort: number;
  readonly gatewayPort: number;
  readonly ca: { readonly certPem: string; readonly keyPem: string };
}

const path = process.argv[2] ?? '';
const o = JSON.parse(await readFile(path, 'utf8')) as ReplicaConfig;
const log = createLogger({ component: 'replica', level: 'warn' });
const c = { signal: new AbortController().signal, clock, log };
const store = await EtcdStore.open({ endpoints: [o.etcd] }, c);
const self = `127.0.0.1:${o.apiPort}`;
const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1'] };
const tls = await issue(o.ca, { commonName: 'berth-server', ...names, usages: ['server'], days: 1 });
const serviceCidr = '10.43.0.0/16';
const api = await startApiServer({
  store,
  clock,
  random,
  log,
  listen: [{ host: '127.0.0.1', port: o.apiPort }],
  tls: { ...tls, caPem: o.ca.certPem },
  config: { serviceCidr, advertise: { address: '127.0.0.1', port: o.apiPort }, serviceAccountWaitMs: 0 },
});
const user: UserInfo = { name: 'system:berth-gateway', groups: ['system:masters', 'system:authenticated'] };
const client = new InProcessClient({ handler: api.handler, user });
const gateway = await startGateway({
  client,
  fencedClient: (fence) => new InProcessClient({ handler: api.handler, user, fence: () => fence }),
  apiEndpoint: self,
  host: '127.0.0.1',
  port: o.gatewayPort,
  ca: o.ca,
  tls,
  serverClient: await issue(o.ca, { ...serverSubject(self), usages: ['client'], days: 1 }),
  tokens: new SecretTokens({ client, clock, log }),
  cluster: { clusterDomain: 'cluster.local', clusterDnsIp: '10.43.0.10', clusterCidr: '10.42.0.0/16', serviceCidr },
  clock,
  random,
  log,
});
api.useNodeStreams(gateway);
process.stdout.write('ready\n');
