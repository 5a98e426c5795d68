import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { Authority } from './authority.ts';

const REQUEST = { commonName: 'server', dnsNames: ['localhost'], usages: ['server'], days: 365 } as const;
let folder: string;
let authority: Authority;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-authority-'));
  authority = new Authority({ folder, commonName: 'berth-ca', clock: realClock, whenLost: 'refuse' });
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

test('authority: one that has issued something is never made anew, whatever becomes of its files', async () => {
  const ca = await authority.ca();
  await authority.ensure('server', { ...REQUEST, usages: ['server'] });
  for (const name of ['ca.key', 'ca.crt']) {
    const path = join(folder, name);
    const text = await readFile(path, 'utf8');
    await rm(path);
    await expect(authority.ca(), name).rejects.toMatchObject({ kind: 'Invalid' });
    await expect(authority.ensure('server', { ...REQUEST, usages: ['server'] })).rejects.toThrow(/restore them/);
    // What is there but cannot be read.
    await mkdir(path);
    await expect(authority.ca(), name).rejects.toThrow(/EISDIR/);
    await rm(path, { recursive: true });
    await writeFile(path, text);
  }
  expect(await authority.ca()).toEqual(ca);
});

test('authority: a key that was written before a crash is no authority yet; a damaged pair is issued again', async () => {
  await writeFile(join(folder, 'ca.key'), 'half');
  const ca = await authority.ca();
  const first = await authority.ensure('server', { ...REQUEST, usages: ['server'] });
  for (const [name, text] of [
    ['server.crt', ''],
    ['server.key', 'half'],
    ['server.crt', ca.certPem],
  ] as const) {
    await writeFile(join(folder, name), text);
    const again = await authority.ensure('server', { ...REQUEST, usages: ['server'] });
    expect(again.certPem).not.toBe(first.certPem);
    expect(new X509Certificate(again.certPem).subject).toBe('CN=server');
    expect(await authority.ensure('server', { ...REQUEST, usages: ['server'] })).toEqual(again);
  }
});
