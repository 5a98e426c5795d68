import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { Server } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger, VirtualClock } from '#lib/base';
import { newKubeconfig, readKubeconfig, writeKubeconfig } from '#lib/client';
import { issue, type KeyPair } from '#lib/pki';
import { MemoryStore } from '#lib/store';
import { startApiServer } from '../services/apiserver/main.ts';
import { serverCredentials } from '../services/gateway/identity.ts';
import { reissueAt } from './authority.ts';
import { CertificateKeeper, type CertificateUser } from './certificates.ts';
import { ClusterPki } from './cluster-pki.ts';
import { ensureEtcdPki, etcdServerFiles } from './etcd-access.ts';
import { kubeconfigPath, pkiFolder } from './layout.ts';
import { openRegistryDoor } from './registry-door.ts';

const HOUR_MS = 3_600_000;
const HOUR_DAYS = 1 / 24;
const names = { dns: ['localhost'], ips: ['127.0.0.1'] };
let home: string;
let clock: VirtualClock;
let c: Ctx;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'berth-certificates-'));
  clock = new VirtualClock(Date.now());
  c = { signal: new AbortController().signal, clock, log: silentLogger };
});
afterEach(async () => rm(home, { recursive: true, force: true }));

/** Serial number of what is shown to who dials now. */
function shownAt(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] });
    socket.once('error', reject);
    socket.once('secureConnect', () => {
      resolve(socket.getPeerCertificate().serialNumber);
      socket.destroy();
    });
  });
}

async function adminCertificate(): Promise<string> {
  const config = await readKubeconfig(kubeconfigPath({ home }));
  return Buffer.from(config.users[0]?.user['client-certificate-data'] ?? '', 'base64').toString();
}

test('certificates: API server, gateway, registry door, etcd and kubeconfig have new ones long before the old ones end', async () => {
  const layout = { home, certificateDays: HOUR_DAYS };
  const pki = new ClusterPki(pkiFolder(layout), clock, HOUR_DAYS);
  await ensureEtcdPki(layout, clock, HOUR_DAYS);
  const [ca, first, admin] = [await pki.ca(), await pki.server(names), await pki.admin()];
  const kubeconfig = newKubeconfig({ name: 'b', server: 'https://127.0.0.1:1', caPem: ca.certPem, ...admin });
  const viewer = { name: 'viewer', user: { token: 'of somebody' } };
  await writeKubeconfig(kubeconfigPath(layout), { ...kubeconfig, users: [...kubeconfig.users, viewer] });
  await using api = await startApiServer({
    store: new MemoryStore({ clock: realClock }),
    clock: realClock,
    random: realRandom,
    log: silentLogger,
    listen: [{ host: '127.0.0.1', port: 0 }],
    tls: { ...first, caPem: ca.certPem },
    config: { serviceCidr: '10.43.0.0/16', advertise: { address: '192.0.2.1', port: 6443 } },
  });
  await using door = await openRegistryDoor({
    host: '127.0.0.1',
    port: 0,
    sockets: home,
    tls: first,
    caPem: ca.certPem,
    log: silentLogger,
  });
  const gateway = serverCredentials(ca.certPem, first);
  const server = new Server();
  const gatewayPort = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', gateway.credentials, (e, port) => (e === null ? resolve(port) : reject(e)));
  });
  const users: CertificateUser[] = [api, door, { useCertificate: (pair) => gateway.use(pair) }];
  const keeper = new CertificateKeeper({ layout, pki, names, users, first, random: realRandom });
  const ports = [api.addresses[0]?.port ?? 0, door.port, gatewayPort];
  const shown = (): Promise<string[]> => Promise.all(ports.map(shownAt));
  const etcdFile = etcdServerFiles(layout).cert;
  try {
    const { serialNumber } = new X509Certificate(first.certPem);
    const etcdCert = await readFile(etcdFile, 'utf8');
    const nextAt = await keeper.renew(c);
    expect(await shown()).toEqual([serialNumber, serialNumber, serialNumber]);
    // A third of an hour and a bit (validity begins five minutes early) is left.
    expect(nextAt - clock.now()).toBeGreaterThan(HOUR_MS / 2);
    expect(nextAt - clock.now()).toBeLessThan(HOUR_MS * 0.7);
    await clock.advance(nextAt - clock.now() + 1_000);
    await keeper.renew(c);
    const second = new X509Certificate((await pki.server(names)).certPem);
    expect(second.serialNumber).not.toBe(serialNumber);
    expect(await shown()).toEqual([second.serialNumber, second.serialNumber, second.serialNumber]);
    expect(await readFile(etcdFile, 'utf8')).not.toBe(etcdCert);
    expect(await adminCertificate()).not.toBe(admin.certPem);
    expect(Date.parse(new X509Certificate(await adminCertificate()).validTo) - clock.now()).toBeGreaterThan(
      HOUR_MS * 0.9,
    );
    expect((await readKubeconfig(kubeconfigPath(layout))).clusters).toEqual(kubeconfig.clusters);
    expect((await readKubeconfig(kubeconfigPath(layout))).users[1]).toEqual(viewer);
    expect((await stat(kubeconfigPath(layout))).mode & 0o777).toBe(0o600);
  } finally {
    server.forceShutdown();
  }
});

test('certificates: looked after for three lives without a hand, never within a fifth of the end', async () => {
  const layout = { home, certificateDays: HOUR_DAYS };
  const pki = new ClusterPki(pkiFolder(layout), clock, HOUR_DAYS);
  const first = await pki.server(names);
  let shown = first.certPem;
  const useCertificate = (pair: { certPem: string }): void => {
    shown = pair.certPem;
  };
  const stop = new AbortController();
  const keeper = new CertificateKeeper({ layout, pki, names, users: [{ useCertificate }], first, random: realRandom });
  const running = keeper.run({ ...c, signal: stop.signal });
  const serials = new Set<string>();
  for (let minute = 0; minute < 180; minute++) {
    // Files are written in real time: it sleeps when it has a timer.
    await expect.poll(() => clock.nextAt(), { interval: 1 }).toBeDefined();
    const certificate = new X509Certificate(shown);
    serials.add(certificate.serialNumber);
    expect(Date.parse(certificate.validTo) - clock.now()).toBeGreaterThan(HOUR_MS / 5);
    await clock.advance(60_000);
  }
  stop.abort();
  await running;
  expect(serials.size).toBeGreaterThanOrEqual(4);
});

test('certificates: one that cannot be renewed keeps none of the others, and is tried again within seconds', async () => {
  const layout = { home, certificateDays: HOUR_DAYS };
  const pki = new ClusterPki(pkiFolder(layout), clock, HOUR_DAYS);
  const first = await pki.server(names);
  const admin = await pki.admin();
  await writeKubeconfig(
    kubeconfigPath(layout),
    newKubeconfig({ name: 'b', server: 'https://127.0.0.1:1', caPem: '', ...admin }),
  );
  let isBroken = false;
  let tries = 0;
  const other = async (): Promise<readonly KeyPair[]> => {
    tries++;
    if (isBroken) throw new Error('no space left on device');
    return [];
  };
  const stop = new AbortController();
  const keeper = new CertificateKeeper({ layout, pki, names, users: [], first, also: [other], random: realRandom });
  const running = keeper.run({ ...c, signal: stop.signal });
  await expect.poll(() => clock.nextAt()).toBeDefined();
  isBroken = true;
  await clock.advance((clock.nextAt() ?? 0) - clock.now());
  await expect.poll(() => clock.nextAt()).toBeDefined();
  expect(tries).toBe(2);
  expect(await adminCertificate()).not.toBe(admin.certPem);
  expect((clock.nextAt() ?? 0) - clock.now()).toBeLessThanOrEqual(1_000);
  isBroken = false;
  await clock.advance(1_000);
  await expect.poll(() => clock.nextAt()).toBeDefined();
  expect(tries).toBe(3);
  expect((clock.nextAt() ?? 0) - clock.now()).toBeGreaterThan(HOUR_MS / 2);
  stop.abort();
  await running;
});

test('certificates: the next look is when the first of them all is due', async () => {
  const layout = { home, certificateDays: HOUR_DAYS };
  const pki = new ClusterPki(pkiFolder(layout), clock, HOUR_DAYS);
  const ca = await pki.ca();
  const first = await pki.server(names);
  const short = await issue(ca, { commonName: 'short', usages: ['client'], days: HOUR_DAYS / 2 }, { clock });
  const also = [async (): Promise<readonly KeyPair[]> => [short]];
  const keeper = new CertificateKeeper({ layout, pki, names, users: [], first, also, random: realRandom });
  expect(await keeper.renew(c)).toBe(reissueAt(short.certPem));
});
