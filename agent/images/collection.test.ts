import { expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { DEFAULT_IMAGE_GC_SETTINGS, type ImageGcSettings } from '../resources/image-gc-settings.ts';
import { runCollection } from './collection.ts';

const GI = 1 << 30;

interface Asked {
  readonly freeGi: number;
  readonly minAgeMs: number;
}

/** Runs for some intervals on a disk of 100 Gi. */
async function run(o: {
  availableGi: number;
  freedGi?: number;
  settings?: Partial<ImageGcSettings>;
  intervals?: number;
}): Promise<{ asked: Asked[]; warnings: string[] }> {
  const clock = new VirtualClock();
  const abort = new AbortController();
  const c: Ctx = { signal: abort.signal, clock, log: silentLogger };
  const asked: Asked[] = [];
  const warnings: string[] = [];
  const ended = runCollection(
    {
      images: {
        collect: async ({ freeBytes, minAgeMs }) => {
          asked.push({ freeGi: freeBytes === Number.MAX_SAFE_INTEGER ? Infinity : freeBytes / GI, minAgeMs });
          return (o.freedGi ?? 0) * GI;
        },
      },
      settings: { ...DEFAULT_IMAGE_GC_SETTINGS, ...o.settings },
      disk: async () => ({ capacity: 100 * GI, available: o.availableGi * GI }),
      warn: (reason) => void warnings.push(reason),
    },
    c,
  ).catch(() => undefined);
  for (let i = 0; i < (o.intervals ?? 1); i++) await clock.advance(300_000);
  abort.abort();
  await ended;
  return { asked, warnings };
}

test.each<[string, Parameters<typeof run>[0], Asked[], string[]]>([
  ['a disk with room is left alone', { availableGi: 16 }, [], []],
  [
    'a full one is brought to the low threshold',
    { availableGi: 15, freedGi: 5 },
    [{ freeGi: 20, minAgeMs: 120_000 }],
    [],
  ],
  ['not enough is told', { availableGi: 10, freedGi: 9 }, [{ freeGi: 20, minAgeMs: 120_000 }], ['FreeDiskSpaceFailed']],
  [
    'thresholds and age of the settings',
    {
      availableGi: 45,
      freedGi: 10,
      settings: { imageGCHighThresholdPercent: 55, imageGCLowThresholdPercent: 50, imageMinimumGCAgeMs: 7 },
    },
    [{ freeGi: 50, minAgeMs: 7 }],
    [],
  ],
  ['none at 100', { availableGi: 0, settings: { imageGCHighThresholdPercent: 100 } }, [], []],
  [
    'the oldest go with room left',
    { availableGi: 90, settings: { imageMaximumGCAgeMs: 1000 } },
    [{ freeGi: Infinity, minAgeMs: 1000 }],
    [],
  ],
])('%s', async (_, o, asked, warnings) => {
  expect(await run(o)).toEqual({ asked, warnings });
});

test('only what fails again is a failed collection', async () => {
  const { warnings } = await run({ availableGi: 1, intervals: 2 });
  expect(warnings).toEqual(['FreeDiskSpaceFailed', 'FreeDiskSpaceFailed', 'ImageGCFailed']);
});
