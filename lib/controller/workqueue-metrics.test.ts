import { expect, test } from 'vitest';
import { expositionText, realRandom, VirtualClock } from '#lib/base';
import { WorkQueue } from './workqueue.ts';
import { WorkQueueMetrics } from './workqueue-metrics.ts';

function metric(metrics: WorkQueueMetrics, name: string): number | undefined {
  const line = expositionText(metrics.metrics())
    .split('\n')
    .find((l) => l.startsWith(`${name}{name="q"`));
  return line === undefined ? undefined : Number(line.split(' ').at(-1));
}

test('work queue metrics: depth, adds, retries, waiting and working times of a queue by its name', async () => {
  const clock = new VirtualClock();
  const metrics = new WorkQueueMetrics(clock);
  const queue = new WorkQueue({ clock, random: realRandom, meter: metrics.queue('q') });
  queue.add('a');
  queue.add('a');
  queue.add('b');
  expect(metric(metrics, 'workqueue_depth')).toBe(2);
  expect(metric(metrics, 'workqueue_adds_total')).toBe(2);
  await clock.advance(2_000);
  expect(await queue.next()).toBe('a');
  expect(metric(metrics, 'workqueue_depth')).toBe(1);
  expect(metric(metrics, 'workqueue_queue_duration_seconds_sum')).toBe(2);
  // Added while it is worked on: waits again from now on.
  queue.add('a');
  await clock.advance(3_000);
  expect(metric(metrics, 'workqueue_longest_running_processor_seconds')).toBe(3);
  queue.done('a');
  expect(metric(metrics, 'workqueue_work_duration_seconds_sum')).toBe(3);
  expect(metric(metrics, 'workqueue_unfinished_work_seconds')).toBe(0);
  expect(metric(metrics, 'workqueue_depth')).toBe(2);
  expect(metric(metrics, 'workqueue_adds_total')).toBe(3);
  queue.addRateLimited('c');
  expect(metric(metrics, 'workqueue_retries_total')).toBe(1);
  expect(await queue.next()).toBe('b');
  expect(await queue.next()).toBe('a');
  queue[Symbol.dispose]();
  expect(metric(metrics, 'workqueue_depth')).toBeUndefined();
  expect(metric(metrics, 'workqueue_adds_total')).toBe(3);
});

test('work queue metrics: a queue that begins anew under the same name is not forgotten when the old one ends late', () => {
  const clock = new VirtualClock();
  const metrics = new WorkQueueMetrics(clock);
  const old = new WorkQueue({ clock, random: realRandom, meter: metrics.queue('q') });
  const next = new WorkQueue({ clock, random: realRandom, meter: metrics.queue('q') });
  next.add('x');
  old[Symbol.dispose]();
  expect(metric(metrics, 'workqueue_depth')).toBe(1);
});
