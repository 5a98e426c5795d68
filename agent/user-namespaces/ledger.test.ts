import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RangeLedger } from './ledger.ts';
import { defaultPool, IDS_PER_POD } from './ranges.ts';

const POOL = { ...defaultPool(IDS_PER_POD), idsPerPod: IDS_PER_POD, start: 0 };
let folder: string;
const open = (pool = POOL): Promise<RangeLedger> => RangeLedger.open(folder, pool);
const stored = async (): Promise<string[]> =>
  Object.keys((JSON.parse(await readFile(join(folder, 'user-namespaces.json'), 'utf8')) as { held: object }).held);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-ranges-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('a range is on disk before it is given, stays the pod’s over restarts, and is free after its end', async () => {
  const ledger = await open();
  const [a, b] = await Promise.all([ledger.allocate('a'), ledger.allocate('b')]);
  expect((await stored()).sort()).toEqual(['a', 'b']);
  expect(a).not.toEqual(b);
  const next = await open();
  expect(next.rangeOf('a')).toEqual(a);
  expect(await next.allocate('a')).toEqual(a);
  expect([...next.pods()].sort()).toEqual(['a', 'b']);
  await next.release('a');
  await next.release('nobody');
  expect(await stored()).toEqual(['b']);
  expect(next.rangeOf('a')).toBeUndefined();
  expect(await next.allocate('c')).toEqual(a);
});

test('with other settings the ranges that are held stay what they are, and nobody gets a part of one', async () => {
  const ledger = await open();
  await ledger.allocate('a');
  const b = await ledger.allocate('b');
  const ids = 2 * IDS_PER_POD;
  const next = await open({ ...defaultPool(ids), idsPerPod: ids, start: 0 });
  expect(next.rangeOf('b')).toEqual(b);
  /* a has 65536 to 131071, b what is next: of the wider ranges the first begins where b does. */
  expect(await next.allocate('c')).toEqual({ first: 2 * ids, count: ids });
});

test('what cannot be written is not given: the same call again tries again', async () => {
  const ledger = await open();
  await rm(folder, { recursive: true });
  await expect(ledger.allocate('a')).rejects.toMatchObject({ kind: 'Unavailable' });
  folder = await mkdtemp(join(tmpdir(), 'berth-ranges-'));
  const other = await open();
  await expect(other.allocate('a')).resolves.toMatchObject({ first: 65_536 });
});

test.each(['', '{', '{"version":2}', '{"version":1,"held":{"a":{"first":0,"count":65536}}}', 'null'])(
  'a damaged file %j ends the start: ids of running pods would be given to others',
  async (text) => {
    await writeFile(join(folder, 'user-namespaces.json'), text);
    await expect(open()).rejects.toMatchObject({ kind: 'Invalid' });
  },
);
