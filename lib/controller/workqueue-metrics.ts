/**
 * What the work queues of this process do, by name, as client-go names it. A queue that begins anew (a new term of the
 * leader) goes on where the last one of its name ended.
 * Source: k8s.io/component-base/metrics/prometheus/workqueue/metrics.go.
 */
import { type Clock, Counter, Histogram, type Labels, type MetricFamily, type MetricSource } from '#lib/base';

/** What one queue tells. Keys are those of the queue. */
export interface QueueMeter {
  added(key: string): void;
  retried(): void;
  began(key: string): void;
  done(key: string): void;
  /** The queue is closed. */
  ended(): void;
}

const BUCKETS_SECONDS = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10];

interface Live {
  readonly waiting: Map<string, number>;
  readonly working: Map<string, number>;
}

export class WorkQueueMetrics implements MetricSource {
  readonly #clock: Clock;
  readonly #live = new Map<string, Live>();
  readonly #adds = new Counter('workqueue_adds_total', 'Total number of adds handled by workqueue');
  readonly #retries = new Counter('workqueue_retries_total', 'Total number of retries handled by workqueue');
  readonly #waited = new Histogram(
    'workqueue_queue_duration_seconds',
    'How long in seconds an item stays in workqueue before being requested.',
    BUCKETS_SECONDS,
  );
  readonly #worked = new Histogram(
    'workqueue_work_duration_seconds',
    'How long in seconds processing an item from workqueue takes.',
    BUCKETS_SECONDS,
  );

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  queue(name: string): QueueMeter {
    const labels = { name };
    const live: Live = { waiting: new Map(), working: new Map() };
    this.#live.set(name, live);
    const since = (from: number): number => (this.#clock.monotonic() - from) / 1000;
    return {
      added: (key) => {
        this.#adds.add(labels);
        if (!live.waiting.has(key)) live.waiting.set(key, this.#clock.monotonic());
      },
      retried: () => this.#retries.add(labels),
      began: (key) => {
        const from = live.waiting.get(key);
        live.waiting.delete(key);
        live.working.set(key, this.#clock.monotonic());
        if (from !== undefined) this.#waited.observe(labels, since(from));
      },
      done: (key) => {
        const from = live.working.get(key);
        live.working.delete(key);
        if (from !== undefined) this.#worked.observe(labels, since(from));
      },
      ended: () => {
        if (this.#live.get(name) === live) this.#live.delete(name);
      },
    };
  }

  metrics(): Iterable<MetricFamily> {
    const now = this.#clock.monotonic();
    const gauge = (name: string, help: string, value: (l: Live) => number): MetricFamily => ({
      name,
      help,
      type: 'gauge',
      samples: [...this.#live].map(([queue, live]) => ({
        labels: { name: queue } satisfies Labels,
        value: value(live),
      })),
    });
    const seconds = (l: Live): number[] => [...l.working.values()].map((from) => (now - from) / 1000);
    return [
      gauge('workqueue_depth', 'Current depth of workqueue', (l) => l.waiting.size),
      this.#adds.family(),
      this.#retries.family(),
      this.#waited.family(),
      this.#worked.family(),
      gauge(
        'workqueue_unfinished_work_seconds',
        'How many seconds of work has been done that is in progress and has not been observed by work_duration.',
        (l) => seconds(l).reduce((sum, s) => sum + s, 0),
      ),
      gauge(
        'workqueue_longest_running_processor_seconds',
        'How many seconds has the longest running processor for workqueue been running.',
        (l) => seconds(l).reduce((most, s) => Math.max(most, s), 0),
      ),
    ];
  }
}
