/**
 * How long pods take to start: from their arrival at this node to the start of their first container's process, pulls included.
 * Told as the kubelet tells it. Source: kubernetes pkg/kubelet/metrics/metrics.go (pod_start_duration_seconds).
 */
import { Histogram, type MetricFamily } from '#lib/base';

/** Seconds. The kubelet's, and finer ones below its first. */
const BOUNDS = [
  0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200,
  1800, 2700, 3600,
];

export class StartTimes {
  readonly #durations = new Histogram(
    'kubelet_pod_start_duration_seconds',
    'Duration in seconds from kubelet seeing a pod for the first time to the pod starting to run',
    BOUNDS,
  );
  /** Pods that have not begun: ms since the epoch. */
  readonly #arrivedAtMs = new Map<string, number>();

  /** A pod that is new to this node. */
  arrived(uid: string, atMs: number): void {
    this.#arrivedAtMs.set(uid, atMs);
  }

  /** One of its containers runs: only the first counts. */
  began(uid: string, atMs: number): void {
    const arrived = this.#arrivedAtMs.get(uid);
    if (arrived === undefined) return;
    this.#arrivedAtMs.delete(uid);
    this.#durations.observe({}, Math.max(0, atMs - arrived) / 1000);
  }

  /** It went, begun or not. */
  gone(uid: string): void {
    this.#arrivedAtMs.delete(uid);
  }

  family(): MetricFamily {
    return this.#durations.family();
  }
}
