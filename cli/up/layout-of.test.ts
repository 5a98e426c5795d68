import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { expect, test } from 'vitest';
import { homeMistake } from '../names.ts';
import { checkPorts, layoutOf, refuseMistakes } from './layout-of.ts';

const OK = { home: '/tmp/x', serverIp: '127.0.0.1' };

test('up: files are kept absolute, for the server runs in another folder than the user who named them', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-layout-'));
  const name = (n: string): string => relative(process.cwd(), join(folder, n));
  for (const n of ['ca', 'crt', 'key']) await writeFile(join(folder, n), '');
  const tls = { etcdCa: name('ca'), etcdCert: name('crt'), etcdKey: name('key') };
  const made = await layoutOf({ ...OK, ...tls, etcdEndpoints: 'https://10.0.0.5:2379', logFolder: 'logs' });
  expect(made.etcdTls).toEqual({ ca: join(folder, 'ca'), cert: join(folder, 'crt'), key: join(folder, 'key') });
  expect(made.logFolder).toBe(join(process.cwd(), 'logs'));
  await rm(folder, { recursive: true });
});

test('up: a home that mounts and links cannot take is refused before anything is made', async () => {
  for (const home of ['/var/lib/my cluster', '/a:b', '/a,b', '/a"b', '/ä', `/${'x'.repeat(128)}`])
    expect(homeMistake(home), home).toContain(home);
  for (const home of ['/', '/var/lib/berth', '/srv/a-b_c.d/@e+f=g']) expect(homeMistake(home)).toBeUndefined();
  expect(() => refuseMistakes({ ...OK, home: '/a b' })).toThrow('--home /a b: only letters');
});

test('up: addresses that are none are refused together', async () => {
  expect(() => refuseMistakes({ ...OK, serverIp: 'here', nats: 'localhost' })).toThrow(
    /--server-ip here: an IPv4 address\n--nats localhost: a URL like nats:/,
  );
});

test('up: an address that this machine does not have is told at once, once', async () => {
  const layout = await layoutOf({ ...OK, serverIp: '203.0.113.9', instance: 'lo', nats: 'nats://x:1' });
  const refused = expect(checkPorts(layout)).rejects;
  await refused.toThrow(/^203\.0\.113\.9 is no address of this machine: .* --server-ip$/);
});
