/** Volumes of a pod that leaves while they are being renewed: nothing of it may come back, least of all a Secret. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Pod } from '#lib/api';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import type { CsiVolumes } from '../csi/volumes.ts';
import { RecordingKernel } from '../kernel/recording.ts';
import { openVolumes } from './open.ts';
import type { Volumes } from './volume.ts';

const clock = new VirtualClock();
const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
type Token = { readonly token: string; readonly expiresAtMs: number };

let folder: string;
let volumes: Volumes;
/** Who asked for a token and has none yet. */
let asked: ((token: Token) => void)[];
/** Calls to drivers. */
let calls: string[];
let wake: () => void;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-leaving-'));
  [asked, calls] = [[], []];
  wake = () => undefined;
  const kernel = new RecordingKernel();
  kernel.removeTree = (path) => rm(path, { recursive: true, force: true });
  const sources = {
    claim: () => undefined,
    persistentVolume: () => undefined,
    configMap: () => undefined,
    secret: () => undefined,
    serviceAccountToken: () =>
      new Promise<Token>((resolve) => {
        asked.push(resolve);
        wake();
      }),
    nodeAllocatable: () => ({}),
  };
  const storage = { folderOf: () => Promise.reject(new Error('none')) };
  const csi = {
    nextRefreshAtMs: () => 0,
    refresh: async () => void calls.push('refresh'),
    cleanup: async () => void calls.push('cleanup'),
    volumeOf: () => undefined,
    records: { pods: () => [] },
  } as unknown as CsiVolumes;
  volumes = await openVolumes({ kernel, folder, sources, storage, csi }, c);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const POD: Pod = {
  ...{ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p', namespace: 'ns', uid: 'u' } },
  spec: {
    containers: [{ name: 'main' }],
    volumes: ['one', 'two'].map((name) => ({
      name,
      projected: { sources: [{ serviceAccountToken: { path: 'token', audience: name } }] },
    })),
  },
};

/** The token that is asked for next. */
async function next(): Promise<(token: Token) => void> {
  if (asked.length === 0)
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  return asked.shift() ?? (() => undefined);
}

const TOKEN: Token = { token: 't', expiresAtMs: clock.now() + 3_600_000 };

test('an update under way goes on to no other volume', async () => {
  const updated = volumes.update(POD, c);
  const first = await next();
  const cleaned = volumes.cleanup('u', c);
  first(TOKEN);
  await cleaned;
  // Whoever asks for the second one now would write it where nobody removes it.
  for (const answer of asked) answer(TOKEN);
  await updated;
  expect(await volumes.podsOnDisk(c)).toEqual([]);
  // Nor is a driver asked to renew what it has just taken away.
  expect(calls).toEqual(['cleanup']);
});

test('nor does one that was at the last of them ask a driver', async () => {
  const updated = volumes.update(POD, c);
  (await next())(TOKEN);
  const last = await next();
  const cleaned = volumes.cleanup('u', c);
  last(TOKEN);
  await Promise.all([updated, cleaned]);
  expect(calls).toEqual(['cleanup']);
});

test('an update that begins while they are removed writes nothing; one after it, of a pod that is here again, does', async () => {
  const writing = volumes.prepare({ pod: POD, volumeName: 'one' }, c);
  const first = await next();
  const cleaned = volumes.cleanup('u', c);
  await volumes.update(POD, c);
  expect(asked).toEqual([]);
  first(TOKEN);
  await Promise.all([writing, cleaned]);
  expect(await volumes.podsOnDisk(c)).toEqual([]);
  const updated = volumes.update(POD, c);
  for (const _ of [1, 2]) (await next())(TOKEN);
  await updated;
  expect(await volumes.podsOnDisk(c)).toEqual(['u']);
});
