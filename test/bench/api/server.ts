/** The API server alone as a process of its own, as `berth server` runs it: TLS, audit file, RBAC, fairness, no controllers. */
import { readFile } from 'node:fs/promises';
import { realClock as clock, createLogger, realRandom as random } from '#lib/base';
import type { KeyPair } from '#lib/pki';
import { EtcdStore } from '#lib/store';
import { startApiServer } from '../../../services/apiserver/main.ts';

export interface BenchServerConfig {
  readonly etcd: string;
  readonly port: number;
  readonly tls: KeyPair;
  readonly caPem: string;
  readonly auditPath: string;
}

const o = JSON.parse(await readFile(process.argv[2] ?? '', 'utf8')) as BenchServerConfig;
const log = createLogger({ component: 'bench', level: 'warn' });
const store = await EtcdStore.open({ endpoints: [o.etcd] }, { signal: new AbortController().signal, clock, log });
const api = await startApiServer({
  store,
  clock,
  random,
  log,
  listen: [{ host: '127.0.0.1', port: o.port }],
  tls: { ...o.tls, caPem: o.caPem },
  audit: { file: { path: o.auditPath } },
  config: {
    serviceCidr: '10.43.0.0/16',
    advertise: { address: '127.0.0.1', port: o.port },
    // Nothing makes service accounts here but the bench itself.
    serviceAccountWaitMs: 0,
  },
});
process.once('SIGTERM', async () => {
  await api[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
  process.exit(0);
});
