import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { etcdAccess } from './etcd-access.ts';
import type { ClusterLayout } from './layout.ts';
import { natsAccess } from './nats-access.ts';
import { bundleOf, furtherLayout, readBundle, writeShared } from './server-bundle.ts';
import { processesOf } from './up/processes.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-bundle-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function firstServer(extra: Partial<ClusterLayout> = {}): Promise<ClusterLayout> {
  const home = join(folder, 'first');
  await mkdir(join(home, 'pki'), { recursive: true });
  const files = { 'ca.crt': 'CA', 'ca.key': 'KEY', 'admin.key': 'ADMIN', 'nats.credentials': 'berth:p%40ss\n' };
  for (const [name, text] of Object.entries(files)) await writeFile(join(home, 'pki', name), text);
  for (const name of ['ca', 'cert', 'key']) await writeFile(join(folder, `etcd.${name}`), `etcd ${name}`);
  const at = (name: string): string => join(folder, `etcd.${name}`);
  return {
    version: 1,
    instance: 'berth',
    home,
    serverIp: '192.0.2.1',
    apiPort: 6443,
    gatewayPort: 6444,
    registryPort: 5000,
    etcdPort: 2479,
    etcdPeerPort: 2480,
    natsPort: 4333,
    etcdEndpoints: ['https://192.0.2.9:2379'],
    etcdTls: { ca: at('ca'), cert: at('cert'), key: at('key') },
    natsUrl: 'nats://192.0.2.9:4222',
    clusterCidr: '10.42.0.0/16',
    serviceCidr: '10.43.0.0/16',
    clusterDomain: 'cluster.local',
    logFolder: '/var/log',
    nodes: [{ name: 'a', ip: '192.0.2.1' }],
    ...extra,
  };
}

const PROGRAM = { berth: ['berth'], server: ['berth'], registry: ['registry'] };

test('a further server has the authority, etcd and NATS of the first, its figures, and no node or registry', async () => {
  const bundle = await bundleOf(await firstServer());
  const path = join(folder, 'bundle');
  await writeFile(path, JSON.stringify(bundle));
  const read = await readBundle(path);
  const home = join(folder, 'second');
  const layout = furtherLayout(read, { instance: 'berth', home, serverIp: '192.0.2.2' });
  await writeShared(read, layout);
  expect(await readFile(join(home, 'pki', 'ca.key'), 'utf8')).toBe('KEY');
  expect((await stat(join(home, 'pki', 'ca.key'))).mode & 0o777).toBe(0o600);
  await expect(stat(join(home, 'pki', 'admin.key'))).rejects.toThrow('ENOENT');
  expect(await etcdAccess(layout)).toEqual({
    endpoints: ['https://192.0.2.9:2379'],
    tls: { ca: 'etcd ca', cert: 'etcd cert', key: 'etcd key' },
  });
  expect(await natsAccess(layout)).toEqual({
    servers: ['nats://192.0.2.9:4222'],
    credentials: { user: 'berth', password: 'p@ss' },
  });
  expect(layout).toMatchObject({
    apiPort: 6443,
    gatewayPort: 6444,
    serviceCidr: '10.43.0.0/16',
    serverIp: '192.0.2.2',
  });
  expect(processesOf(layout, PROGRAM)).toMatchObject([{ name: 'server', argv: ['berth', 'server', '--home', home] }]);
});

test('beside the first on one host it has the ports of its own instance', async () => {
  const bundle = await bundleOf(await firstServer({ etcdTls: undefined as never }));
  const layout = furtherLayout(bundle, { instance: 'two', home: join(folder, 'two'), serverIp: '192.0.2.1' });
  expect(layout.apiPort).not.toBe(6443);
  expect(layout.gatewayPort).toBe(layout.apiPort + 1);
  expect(layout.registryPort).toBe(5000);
  expect(layout.etcdTls).toBeUndefined();
});

test.each([
  ['a managed etcd', { etcdEndpoints: undefined }, 'of its own, which answer on this host alone'],
  ['a managed NATS', { natsUrl: undefined }, 'of its own, which answer on this host alone'],
  ['an etcd on loopback', { etcdEndpoints: ['http://127.0.0.1:2379'] }, 'cannot be reached from another host'],
  ['a NATS on loopback', { natsUrl: 'nats://localhost:4222' }, 'cannot be reached from another host'],
])('%s is not shared', async (_what, extra, message) => {
  const layout = await firstServer(extra as Partial<ClusterLayout>);
  await expect(bundleOf(layout)).rejects.toThrow(message);
});

test('what no export has written is refused, and a name is never a path out of the folder', async () => {
  const bundle = await bundleOf(await firstServer());
  const path = join(folder, 'bundle');
  for (const text of ['', '{}', '{"version":1}', '[1]', JSON.stringify({ ...bundle, files: {} })]) {
    await writeFile(path, text);
    expect(isKind(await readBundle(path).catch((e: unknown) => e), 'Invalid')).toBe(true);
  }
  await expect(readBundle(join(folder, 'none'))).rejects.toThrow('no such file');
  const hostile = { ...bundle, files: { ...bundle.files, '../../x': 'y' } };
  const layout = furtherLayout(hostile, { instance: 'berth', home: join(folder, 'h'), serverIp: '192.0.2.2' });
  await expect(writeShared(hostile, layout)).rejects.toThrow('does not know: ../../x');
});

test('a further server of a cluster whose Secrets a KMS plugin seals uses one, too', async () => {
  const kms = { endpoint: 'unix:///run/kms.sock' };
  const path = join(folder, 'bundle');
  await writeFile(path, JSON.stringify(await bundleOf(await firstServer({ kms }))));
  const where = { instance: 'berth', home: join(folder, 'second'), serverIp: '192.0.2.2' };
  expect(furtherLayout(await readBundle(path), where).kms).toEqual(kms);
});
