import { X509Certificate } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realRandom, VirtualClock } from '#lib/base';
import { ClusterPki } from './cluster-pki.ts';
import { ensureEtcdPki, etcdAccess, etcdServerFiles } from './etcd-access.ts';
import { type ClusterLayout, pkiFolder } from './layout.ts';
import { ensureNatsAccess, natsAccess, natsConfigPath, splitNatsUrl } from './nats-access.ts';
import { processesOf } from './up/processes.ts';

const DAY_MS = 24 * 3600 * 1000;

let home: string;
let clock: VirtualClock;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'berth-access-'));
  clock = new VirtualClock();
});
afterEach(async () => rm(home, { recursive: true, force: true }));

const layout = (more: Partial<ClusterLayout> = {}): ClusterLayout =>
  ({ version: 1, home, etcdPort: 1, etcdPeerPort: 2, natsPort: 3, nodes: [], ...more }) as unknown as ClusterLayout;
const commandOf = (l: ClusterLayout, name: string): readonly string[] =>
  processesOf(l, { berth: ['berth'], server: ['berth'], registry: ['registry'] }).find((p) => p.name === name)?.argv ??
  [];
const certificate = async (path: string): Promise<X509Certificate> => new X509Certificate(await readFile(path, 'utf8'));

test("managed etcd: its authority is its own, and neither a node's certificate nor the admin's is signed by it", async () => {
  await ensureEtcdPki(layout(), clock);
  const pki = new ClusterPki(pkiFolder(layout()), clock);
  const files = etcdServerFiles(layout());
  const ca = await certificate(files.ca);
  for (const pair of [await pki.ca(), await pki.node('a'), await pki.admin()])
    expect(new X509Certificate(pair.certPem).verify(ca.publicKey)).toBe(false);
  const { endpoints, tls } = await etcdAccess(layout());
  expect(endpoints).toEqual(['https://127.0.0.1:1']);
  expect(new X509Certificate(tls?.cert ?? '').verify(ca.publicKey)).toBe(true);
  const server = await certificate(files.cert);
  // Extended key usage: serverAuth, and clientAuth for etcd's own gateway.
  expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2']);
});

test('managed etcd: clients and peers must show a certificate, and only root reads the keys', async () => {
  await ensureEtcdPki(layout(), clock);
  const argv = commandOf(layout(), 'etcd');
  for (const flag of ['--client-cert-auth', '--peer-client-cert-auth']) expect(argv).toContain(flag);
  expect(argv.filter((a) => a.includes('http:'))).toEqual([]);
  const folder = join(home, 'pki/etcd');
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  const keys = (await readdir(folder)).filter((f) => f.endsWith('.key'));
  expect(keys).toEqual(['ca.key', 'client.key', 'server.key']);
  for (const k of keys) expect((await stat(join(folder, k))).mode & 0o777).toBe(0o600);
});

test('managed etcd: certificates stay while they serve, and are made anew when they end soon or the authority is another', async () => {
  const read = async (): Promise<string> => (await etcdAccess(layout())).tls?.cert ?? '';
  await ensureEtcdPki(layout(), clock);
  const first = await read();
  await clock.advance(300 * DAY_MS);
  await ensureEtcdPki(layout(), clock);
  expect(await read()).toBe(first);
  await clock.advance(10 * DAY_MS);
  await ensureEtcdPki(layout(), clock);
  const second = await read();
  expect(second).not.toBe(first);
  await rm(join(home, 'pki/etcd/ca.key'));
  await ensureEtcdPki(layout(), clock);
  const ca = await certificate(etcdServerFiles(layout()).ca);
  expect(new X509Certificate(await read()).verify(ca.publicKey)).toBe(true);
});

test('etcd of somebody else: nothing is made, its own files are used', async () => {
  const external = layout({ etcdEndpoints: ['http://10.0.0.1:2379'] });
  await ensureEtcdPki(external, clock);
  expect(await readdir(home)).toEqual([]);
  expect(await etcdAccess(external)).toEqual({ endpoints: ['http://10.0.0.1:2379'] });
  const files = { ca: join(home, 'none'), cert: join(home, 'none'), key: join(home, 'none') };
  await expect(etcdAccess(layout({ ...external, etcdTls: files }))).rejects.toThrow(`${files.ca} cannot be read`);
});

test('managed NATS: a password is made once, stands in files that only root reads, and on no command line', async () => {
  await ensureNatsAccess(layout(), undefined, realRandom);
  const first = await natsAccess(layout());
  await ensureNatsAccess(layout(), undefined, realRandom);
  expect(await natsAccess(layout())).toEqual(first);
  expect(first).toMatchObject({ servers: ['nats://127.0.0.1:3'], credentials: { user: 'berth' } });
  const password = (first.credentials as { password: string }).password;
  expect(password).toMatch(/^[0-9a-f]{48}$/);
  expect(await readFile(natsConfigPath(layout()), 'utf8')).toContain(`password: "${password}"`);
  for (const file of ['nats.conf', 'nats.credentials'])
    expect((await stat(join(home, 'pki', file))).mode & 0o777).toBe(0o600);
  expect(commandOf(layout(), 'nats')).toEqual(['nats-server', '-c', natsConfigPath(layout())]);
});

test('NATS of somebody else: credentials come out of the URL into a file, stay when none is named, and go with a URL without', async () => {
  const external = layout({ natsUrl: 'nats://10.0.0.1:4222' });
  const given = 'nats://me:p%40ss:1@10.0.0.1:4222';
  expect(splitNatsUrl(given)).toEqual({ url: external.natsUrl, userInfo: 'me:p%40ss:1' });
  await ensureNatsAccess(external, given, realRandom);
  const known = { servers: [external.natsUrl], credentials: { user: 'me', password: 'p@ss:1' } };
  expect(await natsAccess(external)).toEqual(known);
  await ensureNatsAccess(external, undefined, realRandom);
  expect(await natsAccess(external)).toEqual(known);
  await ensureNatsAccess(external, 'tls://secret@10.0.0.1:4222', realRandom);
  expect((await natsAccess(external)).credentials).toEqual({ token: 'secret' });
  await ensureNatsAccess(external, external.natsUrl, realRandom);
  expect(await natsAccess(external)).toEqual({ servers: [external.natsUrl] });
});
