/** What a pull tells while it lasts and when it has ended. Source: kubernetes pkg/kubelet/images/image_manager.go (words). */
import { expect, test } from 'vitest';
import { type Ctx, sha256, silentLogger, VirtualClock } from '#lib/base';
import type { Image, PullOptions } from '../images/images.ts';
import type { PodDeps } from './deps.ts';
import type { PodObject } from './model.ts';
import type { PodEvents } from './pod-events.ts';
import { pullByPolicy } from './steps/image.ts';

const LAYER = sha256('layer');

function setUp() {
  const clock = new VirtualClock();
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
  const told: string[] = [];
  const say = (reason: string, message: string): void => void told.push(`${reason}: ${message}`);
  const events: PodEvents = { normal: say, warning: say };
  let finish: (image: Image) => void = () => undefined;
  let onProgress: PullOptions['onProgress'];
  const images = {
    find: async () => undefined,
    pull: (_reference: string, o: PullOptions) => {
      onProgress = o.onProgress;
      return new Promise<Image>((resolve) => {
        finish = resolve;
      });
    },
  };
  const d = { clock, images } as unknown as PodDeps;
  const pod = { metadata: { name: 'p' }, spec: { containers: [] } } as unknown as PodObject;
  const start = (policy = 'IfNotPresent') => pullByPolicy(d, { pod, reference: 'r.io/a:1', policy, events }, c);
  const progress = (doneBytes: number) =>
    onProgress?.({ layer: LAYER, phase: 'downloading', doneBytes, totalBytes: 40_000_000 });
  return { clock, told, start, progress, finish: () => finish({ sizeBytes: 123 } as Image) };
}

test('a pull says how far it is after ten seconds, then after twice as long each time, and no more once it has ended', async () => {
  const { clock, told, start, progress, finish } = setUp();
  const pulling = start();
  await clock.advance(0);
  await clock.advance(9_999);
  expect(told).toEqual(['Pulling: Pulling image "r.io/a:1"']);
  progress(10_000_000);
  await clock.advance(1);
  expect(told[1]).toBe('Pulling: Pulling image "r.io/a:1": 10.0 of 40.0 MB, 0 of 1 layers');
  await clock.advance(19_999);
  expect(told).toHaveLength(2);
  progress(40_000_000);
  await clock.advance(1);
  expect(told[2]).toBe('Pulling: Pulling image "r.io/a:1": 40.0 of 40.0 MB, 1 of 1 layers, unpacking');
  await clock.advance(31_234);
  finish();
  await pulling;
  expect(told[3]).toBe(
    'Pulled: Successfully pulled image "r.io/a:1" in 1m1.234s (1m1.234s including waiting). Image size: 123 bytes.',
  );
  await clock.advance(3_600_000);
  expect(told).toHaveLength(4);
});

test('a pull without end is told a bounded number of times', async () => {
  const { clock, told, start } = setUp();
  void start().catch(() => undefined);
  for (let i = 0; i < 100; i++) await clock.advance(3_600_000);
  expect(told).toHaveLength(11);
});

test('Never without the image is told by its own reason', async () => {
  const { told, start } = setUp();
  await expect(start('Never')).rejects.toMatchObject({ reason: 'ErrImageNeverPull' });
  expect(told).toEqual(['ErrImageNeverPull: Container image "r.io/a:1" is not present with pull policy of Never']);
});
