/**
 * How long pods take to start: from their arrival at this node to where their phase is Running: each container has begun once, pulls
 * and init containers are included. Told as the kubelet tells it. Source: kubernetes pkg/kubelet/metrics/metrics.go
 * (pod_start_duration_seconds), kubelet.go (SyncPod), kubelet_pods.go (getPhase).
 */
import { Histogram, type MetricFamily } from '#lib/base';
import type { PodObject } from './model.ts';

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
  /** Pods that do not run yet, by uid: when they came (ms since the epoch), and which of their containers have begun. */
  readonly #starting = new Map<string, { readonly arrivedAtMs: number; readonly begun: Set<string> }>();

  /** A pod that is new to this node. */
  arrived(uid: string, atMs: number): void {
    this.#starting.set(uid, { arrivedAtMs: atMs, begun: new Set() });
  }

  /** One of its containers runs, an init container is none: the last that begins for the first time counts. */
  began(pod: PodObject, container: string, atMs: number): void {
    const uid = pod.metadata.uid ?? '';
    const starting = this.#starting.get(uid);
    if (starting === undefined) return;
    starting.begun.add(container);
    if (starting.begun.size < pod.spec.containers.length) return;
    this.#starting.delete(uid);
    this.#durations.observe({}, Math.max(0, atMs - starting.arrivedAtMs) / 1000);
  }

  /** It went, begun or not. */
  gone(uid: string): void {
    this.#starting.delete(uid);
  }

  family(): MetricFamily {
    return this.#durations.family();
  }
}
