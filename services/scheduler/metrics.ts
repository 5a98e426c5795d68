/** What the scheduler counts. Source: kubernetes pkg/scheduler/metrics/metrics.go. */
import { Counter, Histogram, type MetricFamily, type MetricSource } from '#lib/base';

export type AttemptResult = 'scheduled' | 'unschedulable' | 'error';

/** Pods that wait, by why. */
export interface PendingPods {
  readonly active: number;
  readonly backoff: number;
  readonly unschedulable: number;
}

const BUCKETS_SECONDS = [
  0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];

export class SchedulerMetrics implements MetricSource {
  readonly #attempts = new Counter(
    'scheduler_schedule_attempts_total',
    'Number of attempts to schedule pods, by the result.',
  );
  readonly #seconds = new Histogram(
    'scheduler_scheduling_attempt_duration_seconds',
    'Scheduling attempt latency in seconds (scheduling algorithm + binding)',
    BUCKETS_SECONDS,
  );
  readonly #algorithm = new Histogram(
    'scheduler_scheduling_algorithm_duration_seconds',
    'Scheduling algorithm latency in seconds',
    BUCKETS_SECONDS,
  );
  #pending: (() => PendingPods) | undefined;

  /** Of the scheduler that runs now; undefined when it has stopped. */
  follow(pending: (() => PendingPods) | undefined): void {
    this.#pending = pending;
  }

  attempted(result: AttemptResult, profile: string, durationMs: number): void {
    this.#attempts.add({ result, profile });
    this.#seconds.observe({ result, profile }, durationMs / 1000);
  }

  decided(durationMs: number): void {
    this.#algorithm.observe({}, durationMs / 1000);
  }

  metrics(): Iterable<MetricFamily> {
    const pending = this.#pending?.();
    return [
      this.#attempts.family(),
      this.#seconds.family(),
      this.#algorithm.family(),
      {
        name: 'scheduler_pending_pods',
        help: 'Number of pending pods, by the queue type.',
        type: 'gauge',
        samples: Object.entries(pending ?? {}).map(([queue, value]) => ({ labels: { queue }, value })),
      },
    ];
  }
}
