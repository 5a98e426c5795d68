import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256, silentLogger, VirtualClock } from '#lib/base';
import { planCollect } from './gc.ts';
import { type ImageRecord, isNameless, Records } from './records.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-records-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const [A, B] = [sha256('a'), sha256('b')];

function record(reference: string, id = A, more: Partial<ImageRecord> = {}): Omit<ImageRecord, 'lastUsedMs'> {
  return {
    ...{ reference, id, repoDigest: `r.io/x@${id}`, sizeBytes: 1, topDigest: id, manifestDigest: id },
    ...{ layers: [], documents: [id] },
    config: { user: '', env: [], entrypoint: [], cmd: [], workingDir: '', stopSignal: '', volumes: [], labels: {} },
    ...more,
  };
}

async function open(): Promise<Records> {
  return Records.open(await mkdtemp(join(folder, 'r-')), new VirtualClock(), silentLogger);
}

const names = (r: Records): string[] => r.all().map((x) => `${x.reference} ${x.id === A ? 'A' : 'B'}`);

test('records: a kept image whose name another takes stays under its id; a name takes it from there', async () => {
  const records = await open();
  await records.put(record('r.io/x:1', A, { isKept: true }));
  await records.put(record('r.io/x:1', B, { isKept: true }));
  expect(names(records)).toEqual(['r.io/x:1 B', `${A} A`]);
  expect(records.all().map(isNameless)).toEqual([false, true]);
  await records.put(record('r.io/y:1', A, { isKept: true }));
  expect(names(records)).toEqual(['r.io/x:1 B', 'r.io/y:1 A']);
});

test('records: what nobody keeps is gone with its name, and what has another name is not nameless', async () => {
  const records = await open();
  await records.put(record('r.io/x:1', A));
  await records.put(record('r.io/x:1', B));
  expect(names(records)).toEqual(['r.io/x:1 B']);
  await records.put(record('r.io/y:1', A, { isKept: true }));
  await records.put(record('r.io/y:2', A, { isKept: true }));
  await records.untag('r.io/y:1');
  expect(names(records)).toEqual(['r.io/x:1 B', 'r.io/y:2 A']);
  await records.untag('r.io/y:2');
  await records.untag('r.io/nothing:1');
  expect(names(records)).toEqual(['r.io/x:1 B', `${A} A`]);
  await records.untag(A);
  expect(names(records)).toHaveLength(2);
});

test('records: an image that is pulled again by a pod stays kept; digests of registries gather; all is on disk', async () => {
  const at = await mkdtemp(join(folder, 'r-'));
  const records = await Records.open(at, new VirtualClock(), silentLogger);
  await records.put(record('r.io/x:1', A, { isKept: true, taggedAtMs: 7, registryDigests: [A] }));
  await records.put(record('r.io/x:1', A, { isTracked: true, registryDigests: [B] }));
  const again = await Records.open(at, new VirtualClock(), silentLogger);
  for (const r of [records.get('r.io/x:1'), again.get('r.io/x:1')])
    expect(r).toMatchObject({ isKept: true, taggedAtMs: 7, registryDigests: [A, B], isTracked: true });
});

test('collection: what a person keeps is never taken, however old', async () => {
  const records = await open();
  await records.put(record('r.io/x:1', A, { isKept: true }));
  await records.put(record('r.io/z:1', B));
  const plan = planCollect(records.all(), [], { nowMs: Number.MAX_SAFE_INTEGER, minAgeMs: 0 });
  expect(plan.map((r) => r.reference)).toEqual(['r.io/z:1']);
});
