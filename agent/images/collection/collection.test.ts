import { expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import type { CollectRequest } from '../images.ts';
import { collectImages, collectOnce } from './collector.ts';
import { type DiskState, planCollection } from './plan.ts';
import { DEFAULT_IMAGE_GC, imageGcSettings } from './settings.ts';

const GB = 1e9;
const disk = (usedGb: number, files = 0, freeFiles = 0): DiskState => ({
  capacityBytes: 100 * GB,
  availableBytes: (100 - usedGb) * GB,
  files,
  freeFiles,
});

test.each([
  ['below the high threshold nothing goes', disk(84), undefined],
  ['at the high threshold it is made free down to the low one', disk(85), { bytes: 20 * GB, files: 0 }],
  ['inodes count as bytes do', disk(10, 1000, 100), { bytes: 20 * GB, files: 200 }],
  ['more is said to be free than there is', { ...disk(0), availableBytes: 200 * GB }, undefined],
  ['a disk without inodes', disk(50, 0, 0), undefined],
])('plan: %s (image_gc_manager.go)', (_name, state, free) => {
  expect(planCollection(state, DEFAULT_IMAGE_GC, 0).free).toEqual(free);
});

test('plan: the maximum age counts once the collector has run for as long', () => {
  const s = { ...DEFAULT_IMAGE_GC, maximumAgeMs: 1000 };
  expect(planCollection(disk(1), s, 1000).unusedForMs).toBeUndefined();
  expect(planCollection(disk(1), s, 1001).unusedForMs).toBe(1000);
  expect(planCollection(disk(1), DEFAULT_IMAGE_GC, 1e9).unusedForMs).toBeUndefined();
});

test('settings: the kubelet’s fields and defaults', () => {
  const mistakes: string[] = [];
  expect(imageGcSettings({}, mistakes)).toEqual(DEFAULT_IMAGE_GC);
  const given = {
    imageGCHighThresholdPercent: 90,
    imageGCLowThresholdPercent: 50,
    imageMinimumGCAge: '5m',
    imageMaximumGCAge: '168h',
  };
  expect(imageGcSettings(given, mistakes)).toEqual({
    highThresholdPercent: 90,
    lowThresholdPercent: 50,
    minimumAgeMs: 300_000,
    maximumAgeMs: 604_800_000,
  });
  expect(mistakes).toEqual([]);
});

test.each([
  [{ imageGCHighThresholdPercent: 101 }, 'imageGCHighThresholdPercent: must be a whole number from 0 to 100'],
  [{ imageGCLowThresholdPercent: '8' }, 'imageGCLowThresholdPercent: must be a whole number from 0 to 100'],
  [{ imageGCLowThresholdPercent: 85 }, 'imageGCLowThresholdPercent: 85 must be less than'],
  [{ imageMinimumGCAge: 5 }, 'imageMinimumGCAge: must be a duration such as'],
  [{ imageMaximumGCAge: '1m' }, 'imageMaximumGCAge: must be greater than imageMinimumGCAge'],
])('settings: %j is refused', (fields, message) => {
  const mistakes: string[] = [];
  imageGcSettings(fields, mistakes);
  expect(mistakes.join('\n')).toContain(message);
});

test('collector: looks every five minutes; a disk that stays full is told by an event of the node', async () => {
  const clock = new VirtualClock();
  const stop = new AbortController();
  const c: Ctx = { signal: stop.signal, clock, log: silentLogger };
  const asked: CollectRequest[] = [];
  const events: { reason?: string | undefined; message?: string | undefined }[] = [];
  let state = disk(50);
  const o = {
    images: {
      collect: async (r: CollectRequest) => {
        asked.push(r);
        return 7;
      },
    },
    folder: '/nowhere',
    settings: DEFAULT_IMAGE_GC,
    nodeName: 'n1',
    event: (e: { reason?: string | undefined; message?: string | undefined }) => void events.push(e),
    disk: async () => state,
  };
  const running = collectImages(o, c);
  const turn = async (): Promise<void> => {
    await clock.advance(300_000);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  await turn();
  expect(asked).toEqual([{ freeBytes: 0, freeFiles: 0, minAgeMs: 120_000, unusedForMs: undefined }]);
  expect(events).toEqual([]);
  state = disk(95);
  await turn();
  expect(asked[1]).toMatchObject({ freeBytes: 20 * GB });
  expect(events).toMatchObject([
    {
      reason: 'FreeDiskSpaceFailed',
      involvedObject: { kind: 'Node', name: 'n1' },
      message: expect.stringMatching(/\(95% of 93\.1 GiB used\)\. Failed to free .*\(freed 7 bytes\)/),
    },
  ]);
  state = { ...disk(0), capacityBytes: 0 };
  await collectOnce(o, 0, c);
  expect(events[1]).toMatchObject({ reason: 'InvalidDiskCapacity' });
  stop.abort(new Error('stopped'));
  await expect(running).rejects.toThrow('stopped');
});
