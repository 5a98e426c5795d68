import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLogger } from '#lib/base';
import { Coalesced } from './coalesced.ts';
import { allocate, release } from './ipam.ts';
import { LedgerFile } from './ledger-file.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-ledger-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const open = async (cidr = '10.42.1.0/24'): Promise<LedgerFile> => {
  const file = await LedgerFile.open(folder, silentLogger);
  file.useBlock(cidr, silentLogger);
  return file;
};
const path = (): string => join(folder, 'addresses.json');

test('an address is on disk before it is given, also when many are asked for at once', async () => {
  const file = await open();
  const given = await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const { ip } = await file.change((l) => allocate(l, { id: `s${i}`, hostPorts: [] }));
      expect(await readFile(path(), 'utf8')).toContain(`"s${i}":{"ip":"${ip}"`);
      return ip;
    }),
  );
  expect(new Set(given).size).toBe(50);
  const again = await open();
  expect(again.ledger).toEqual(file.ledger);
  await again.change((l) => ({ ledger: release(l, 's7') }));
  expect((await open()).ledger.held.has('s7')).toBe(false);
  expect(await readdir(folder)).toEqual(['addresses.json']);
});

test('before the block is known, what is held can be seen and released', async () => {
  await (await open()).change((l) => allocate(l, { id: 'a', hostPorts: [] }));
  const file = await LedgerFile.open(folder, silentLogger);
  expect([...file.ledger.held.keys()]).toEqual(['a']);
  await file.change((l) => ({ ledger: release(l, 'a') }));
  expect((await open()).ledger.held.size).toBe(0);
});

test('a damaged file (power loss) is moved aside and counts as empty', async () => {
  await writeFile(path(), '{"version":1,"ci');
  const file = await open();
  expect(file.ledger.held.size).toBe(0);
  expect(await readdir(folder)).toEqual(['addresses.json.damaged']);
});

test('another pod block: taken over when nothing is held, kept in view otherwise', async () => {
  const file = await open();
  await file.change((l) => allocate(l, { id: 'a', hostPorts: [] }));
  expect((await open('10.42.9.0/24')).ledger.held.get('a')?.ip).toBe('10.42.1.2');
  await file.change((l) => ({ ledger: release(l, 'a') }));
  expect((await open('10.42.9.0/24')).ledger.cidr).toBe('10.42.9.0/24');
});

test('when the disk refuses, the change is refused, and the next one is tried anew', async () => {
  const file = await open();
  await rm(folder, { recursive: true });
  await expect(file.change((l) => allocate(l, { id: 'a', hostPorts: [] }))).rejects.toMatchObject({
    kind: 'Unavailable',
  });
});

test('Coalesced: at most one run at a time, and one more for all who asked meanwhile', async () => {
  let running = 0;
  let runs = 0;
  const gates: (() => void)[] = [];
  const work = new Coalesced(async () => {
    runs++;
    expect(++running).toBe(1);
    await new Promise<void>((resolve) => gates.push(resolve));
    running--;
  });
  const first = work.request();
  const others = [work.request(), work.request(), work.request()];
  gates[0]?.();
  await first;
  await new Promise((resolve) => setImmediate(resolve));
  expect(runs).toBe(2);
  gates[1]?.();
  await Promise.all(others);
  expect(runs).toBe(2);
});
