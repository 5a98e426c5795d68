/** Certificates of a real cluster that last minutes: they renew themselves while the server runs, and clients go on. */
import { X509Certificate } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readKubeconfig } from '#lib/client';
import { tendSocket, writeLayout } from '../../cli/layout.ts';
import { restartTended, tendStatus } from '../../cli/tend.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

/** Issued as of five minutes ago, so that two thirds are over 20 s after. */
const THREE_MINUTES_DAYS = 3 / (24 * 60);
const LIMIT_MS = 90_000;
let t: TestCluster;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'crt' });
});
afterAll(async () => t?.stop());

function shownAt(host: string, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
  });
}

async function adminSerial(): Promise<string> {
  const config = await readKubeconfig(t.kubeconfig);
  const pem = Buffer.from(config.users[0]?.user['client-certificate-data'] ?? '', 'base64').toString();
  return new X509Certificate(pem).serialNumber;
}

async function serials(): Promise<readonly string[]> {
  const { home, serverIp, apiPort, gatewayPort, registryPort } = t.layout;
  const ports = [apiPort, gatewayPort, registryPort];
  const etcd = await readFile(join(home, 'pki/etcd/client.crt'), 'utf8');
  const shown = await Promise.all(ports.map((p) => shownAt(serverIp, p)));
  return [...shown, new X509Certificate(etcd).serialNumber, await adminSerial()];
}

test('server, etcd and administrator have new certificates without a restart, and everything goes on', async () => {
  const { home } = t.layout;
  await writeLayout({ ...t.layout, certificateDays: THREE_MINUTES_DAYS });
  for (const name of ['server', 'admin', 'etcd/client', 'etcd/server']) await rm(join(home, `pki/${name}.crt`));
  await restartTended(tendSocket(t.layout), 'server');
  const isServed = async (): Promise<boolean> => (await t.kubectl('get', 'nodes')).stdout.includes(' Ready');
  await eventually('the server is back', 30_000, isServed);
  const before = await serials();
  const isNew = async (): Promise<boolean> => (await serials()).every((s, i) => s !== before[i]);
  await eventually('every certificate is another one', LIMIT_MS, isNew);
  expect(await isServed()).toBe(true);
  expect((await t.kubectl('create', 'configmap', 'after', '--from-literal=a=b')).code).toBe(0);
  const server = (await tendStatus(tendSocket(t.layout))).find((p) => p.name === 'server');
  expect(server?.restarts).toBe(1);
});
