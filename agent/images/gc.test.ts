import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sha256, silentLogger, VirtualClock } from '#lib/base';
import { blobsInUse, layersInUse, planCollect } from './gc.ts';
import { type ImageRecord, Records } from './records.ts';

function record(name: string, o: Partial<ImageRecord> = {}): ImageRecord {
  return {
    reference: `r.io/${name}:v1`,
    id: sha256(name),
    repoDigest: `r.io/${name}@${sha256(`m${name}`)}`,
    sizeBytes: 10,
    config: {
      user: '',
      env: ['A=b'],
      entrypoint: [],
      cmd: [],
      workingDir: '',
      stopSignal: '',
      volumes: [],
      labels: {},
    },
    topDigest: sha256(`m${name}`),
    manifestDigest: sha256(`m${name}`),
    layers: [{ digest: sha256(`blob ${name}`), chainId: sha256(`chain ${name}`) }],
    documents: [sha256(`m${name}`), sha256(name)],
    isTracked: true,
    lastUsedMs: 0,
    ...o,
  };
}

test('gc: least recently used first; used and young images stay', () => {
  const records = [
    record('young', { lastUsedMs: 9_500 }),
    record('old', { lastUsedMs: 3_000 }),
    record('older', { lastUsedMs: 1_000 }),
    record('used', { lastUsedMs: 10 }),
  ];
  const roots = [{ imageId: sha256('used'), layers: [] }];
  const plan = (minAgeMs: number): string[] =>
    planCollect(records, roots, { nowMs: 10_000, minAgeMs }).map((r) => r.reference);
  expect(plan(1000)).toEqual(['r.io/older:v1', 'r.io/old:v1']);
  expect(plan(0)).toEqual(['r.io/older:v1', 'r.io/old:v1', 'r.io/young:v1']);
  expect(plan(100_000)).toEqual([]);
});

test('gc: layers are needed by records and roots, blobs by records', () => {
  const one = record('one');
  const layers = layersInUse([one], [{ imageId: sha256('gone'), layers: [sha256('chain gone')] }]);
  expect([...layers]).toEqual([sha256('chain one'), sha256('chain gone')]);
  expect([...blobsInUse([one])]).toEqual([sha256('mone'), sha256('one'), sha256('blob one')]);
});

test('records: survive a restart with their last use; what cannot be read is dropped', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-records-'));
  const clock = new VirtualClock(1_700_000_000_000);
  const records = await Records.open(folder, clock, silentLogger);
  const { lastUsedMs: _, ...one } = record('one');
  await records.put(one);
  await clock.advance(5000);
  await records.touch(sha256('one'));
  await writeFile(join(folder, 'torn.json'), '{"reference": ');
  await writeFile(join(folder, 'x.json.12.1.tmp'), 'left by a crash');
  const again = await Records.open(folder, clock, silentLogger);
  expect(again.all()).toEqual([record('one', { lastUsedMs: 1_700_000_005_000 })]);
  expect(await readdir(folder)).toHaveLength(1);
  await again.remove('r.io/one:v1');
  expect((await Records.open(folder, clock, silentLogger)).all()).toEqual([]);
  await rm(folder, { recursive: true });
});
