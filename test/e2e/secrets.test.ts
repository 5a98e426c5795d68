/** Secrets of a real cluster: sealed in its etcd, read by stock kubectl, a new key for all of them while it runs. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EtcdStore } from '#lib/store';
import { etcdAccess } from '../../cli/etcd-access.ts';
import { tendSocket } from '../../cli/layout.ts';
import { restartTended } from '../../cli/tend.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';

const CLEAR = 'c0rrect-h0rse-battery';
let t: TestCluster;

beforeAll(async () => {
  t = await startCluster({ name: 'sec' });
});
afterAll(async () => t?.stop());

async function read(): Promise<string> {
  const { stdout } = await t.kubectl('get', 'secret', 'db', '-o', 'jsonpath={.data.password}');
  return Buffer.from(stdout, 'base64').toString();
}

test('a Secret made by kubectl is in etcd only sealed, and in no log of the cluster', async () => {
  expect((await t.kubectl('create', 'secret', 'generic', 'db', `--from-literal=password=${CLEAR}`)).code).toBe(0);
  expect(await read()).toBe(CLEAR);
  await using store = await EtcdStore.open(await etcdAccess(t.layout), t.ctx);
  const entry = await store.get('/registry/core/secrets/default/db', t.ctx);
  expect(entry?.isSealed).toBe(true);
  const encoded = Buffer.from(CLEAR).toString('base64');
  for (const e of (await store.list('/', {}, t.ctx)).entries)
    for (const clear of [CLEAR, encoded]) expect(`${e.key} ${e.value.toString('latin1')}`).not.toContain(clear);
  const log = await readFile(join(t.layout.home, 'log/server.log'), 'utf8');
  for (const clear of [CLEAR, encoded]) expect(log).not.toContain(clear);
  expect((await stat(join(t.layout.home, 'pki/secrets.keys'))).mode & 0o777).toBe(0o600);
});

test('berth secrets rotate: a new key for all values while the server runs, and it is still there after a restart', async () => {
  const keyFile = join(t.layout.home, 'pki/secrets.keys');
  const before = await readFile(keyFile, 'utf8');
  const rotated = await t.berth('secrets', 'rotate', '--home', t.layout.home);
  expect([rotated.code, rotated.stderr]).toEqual([0, '']);
  expect(rotated.stdout).toMatch(/^New key [0-9a-f]{16}: \d+ values? sealed anew/);
  expect(await readFile(keyFile, 'utf8')).not.toBe(before);
  expect(await read()).toBe(CLEAR);
  const status = await t.berth('secrets', 'status', '--home', t.layout.home);
  expect(status.stdout).toMatch(/ retired +\S+ +0\n.* sealing +\S+ +[1-9]/);
  expect(status.stdout).not.toContain('unsealed');
  await restartTended(tendSocket(t.layout), 'server');
  await eventually('the Secret is read after a restart', 30_000, async () => (await read()) === CLEAR);
});
