import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { FolderStore } from './store.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const id = 'ab'.repeat(32);
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-store-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const kernel = {
  removeTree: async (path: string) => rmSync(path, { recursive: true, force: true }),
  mounts: { below: async () => [], unmount: async () => undefined },
} as unknown as Parameters<FolderStore['load']>[0];

test('a folder without a record goes; one whose record cannot be read now is kept, and told', async () => {
  mkdirSync(join(folder, id));
  expect(await new FolderStore(folder).load(kernel, silentLogger, c)).toEqual([]);
  expect(existsSync(join(folder, id))).toBe(false);
  mkdirSync(join(folder, id, 'record.json'), { recursive: true }); // EISDIR
  await expect(new FolderStore(folder).load(kernel, silentLogger, c)).rejects.toThrow('EISDIR');
  expect(existsSync(join(folder, id))).toBe(true);
});

test('what an earlier version wrote is read, and written again as it was', async () => {
  /* Written by the store of commit 3c735b5; only laid out anew. It is never brought up to date: newer formats are further files. */
  const text = readFileSync(join(import.meta.dirname, 'record-3c735b5.json'), 'utf8');
  const written = JSON.parse(text) as { record: Record<string, unknown> };
  mkdirSync(join(folder, id));
  writeFileSync(join(folder, id, 'record.json'), text);
  const [stored, ...more] = await new FolderStore(folder).load(kernel, silentLogger, c);
  if (stored === undefined) throw new Error('it was not read');
  expect(more).toEqual([]);
  expect(stored).toMatchObject({ hasRun: true, removal: { volumes: true } });
  expect(stored.record).toMatchObject(written.record);
  await new FolderStore(folder).save(stored, { durable: false });
  expect(JSON.parse(readFileSync(join(folder, id, 'record.json'), 'utf8'))).toMatchObject(written);
});
