/**
 * Looks at what the node has left, every ten seconds, and gives it room when a threshold is due: first what nobody needs
 * (dead containers, unused images; of disk only), then one pod, whose end is waited for before the next look.
 *
 * Limits of a pod's own local storage are looked at beside that, one pod after the other, so that a walk through millions of
 * files never delays the look at memory.
 * Source: kubernetes pkg/kubelet/eviction/eviction_manager.go (synchronize), pkg/kubelet/kubelet.go (evictionMonitoringPeriod).
 */
import { Counter, type Ctx, type MetricFamily, messageOf } from '#lib/base';
import type { PodFailure, PodObject } from '../pods/model.ts';
import { storageLimitsOf, storageViolation } from './local-storage.ts';
import { EVICTED, type NodePressure } from './node-pressure.ts';
import type { PodMeter, PodPlaces } from './pod-meter.ts';
import { type DiskParts, exceededMessage, isCriticalPod, type PodUse, rankPods, type UseOf } from './ranking.ts';
import {
  isHard,
  mostUrgent,
  nextPressure,
  type Observations,
  type PressureCondition,
  SIGNAL_FACTS,
  type StarvedResource,
  type Threshold,
  thresholdMessage,
  thresholdsMet,
} from './thresholds.ts';

const INTERVAL_MS = 10_000;
/** Source: podCleanupTimeout, podCleanupPollFreq. */
const CLEANUP_TIMEOUT_MS = 30_000;
const CLEANUP_POLL_MS = 1_000;
/** Of a pod that cannot wait. Source: immediateEvictionGracePeriodSeconds. */
const IMMEDIATE_GRACE_S = 1;
const DEFAULT_GRACE_S = 30;
/** A pod that cannot be measured in this time goes first: others wait for the look. */
const WALK_LIMIT_MS = 10_000;
/** After a walk the pod is left alone for so many times its length: one of millions of files must not keep a CPU busy. */
const WALK_PAUSE = 20;
const WALK_PAUSE_MAX_MS = 300_000;
/** Pods whose files are walked at the same time. */
const WALKS_MAX = 4;

/** A pod of this node as eviction sees it. */
export interface EvictablePod {
  readonly pod: PodObject;
  readonly places: PodPlaces;
  /** Its volumes are there. */
  readonly hasVolumes: boolean;
  /** Nothing of it runs any more, and its sandbox is gone. */
  readonly isCleanedUp: boolean;
  /** False when it has ended, or ends as soon already. */
  fail(failure: PodFailure): boolean;
}

export interface EvictionOptions {
  readonly thresholds: readonly Threshold[];
  readonly transitionMs: number;
  /** Of a pod evicted for a soft threshold. */
  readonly maxPodGraceSeconds: number;
  readonly isolatesLocalStorage: boolean;
  readonly hasDedicatedImageFs: boolean;
  readonly pressure: NodePressure;
  readonly observe: (c: Ctx) => Promise<Observations>;
  readonly meter: Pick<PodMeter, 'live' | 'disk'>;
  readonly pods: () => readonly EvictablePod[];
  /** Removes dead containers and unused images. */
  readonly reclaimDisk: (c: Ctx) => Promise<void>;
  readonly onThresholdMet: (resource: StarvedResource) => void;
  /** These conditions of the node hold now and did not, or the other way round. */
  readonly onConditions: (changed: readonly PressureCondition[]) => void;
}

export class EvictionManager {
  readonly #o: EvictionOptions;
  readonly #evictions = new Counter('kubelet_evictions', 'Cumulative number of pod evictions by eviction signal');

  constructor(o: EvictionOptions) {
    this.#o = o;
  }

  metrics(): readonly MetricFamily[] {
    return [this.#evictions.family()];
  }

  /** Until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    await Promise.all([this.#watchNode(c), this.#watchStorage(c)]);
  }

  async #watchNode(c: Ctx): Promise<void> {
    for (;;) {
      const evicted = await this.look(c).catch((e: unknown) => {
        c.signal.throwIfAborted();
        c.log.warn({ err: messageOf(e) }, 'looking at the node for pressure failed');
        return undefined;
      });
      if (evicted === undefined) await c.clock.sleep(INTERVAL_MS, c.signal);
      else await this.#cleanedUp(evicted, c);
    }
  }

  /** One look at the node; the pod that was evicted. */
  async look(c: Ctx): Promise<EvictablePod | undefined> {
    const { pressure, thresholds, transitionMs } = this.#o;
    const seen = await this.#o.observe(c);
    const before = pressure.state.conditions;
    pressure.state = nextPressure(pressure.state, thresholds, seen, { nowMs: c.clock.monotonic(), transitionMs });
    const now = pressure.state.conditions;
    const changed = [...now.filter((x) => !before.includes(x)), ...before.filter((x) => !now.includes(x))];
    if (changed.length > 0) {
      c.log.info({ conditions: now }, 'the pressure on the node changed');
      this.#o.onConditions(changed);
    }
    const urgent = mostUrgent(pressure.state.due);
    if (urgent === undefined) return undefined;
    const { resource } = SIGNAL_FACTS[urgent.signal];
    this.#o.onThresholdMet(resource);
    if (await this.#reclaimed(urgent, c)) return undefined;
    return this.#evictOne(urgent, seen, c);
  }

  /**
   * True when that was enough for this threshold: no pod may go for another one, which the next look is for. With a disk of its
   * own for images, that of pods has nothing that could go.
   */
  async #reclaimed(urgent: Threshold, c: Ctx): Promise<boolean> {
    const { signal } = urgent;
    const isImages = signal.startsWith('imagefs.');
    if (!isImages && !(signal.startsWith('nodefs.') && !this.#o.hasDedicatedImageFs)) return false;
    await this.#o.reclaimDisk(c).catch((e: unknown) => {
      c.signal.throwIfAborted();
      c.log.warn({ err: messageOf(e) }, 'making room on the disk failed');
    });
    return thresholdsMet([urgent], await this.#o.observe(c), { withReclaim: true }).length === 0;
  }

  async #evictOne(urgent: Threshold, seen: Observations, c: Ctx): Promise<EvictablePod | undefined> {
    const { resource } = SIGNAL_FACTS[urgent.signal];
    const candidates = new Map(this.#o.pods().map((p) => [p.pod, p]));
    const uses = await this.#measure([...candidates.values()], resource, c);
    const useOf: UseOf = (pod) => uses.get(pod);
    const low = `The node was low on resource: ${resource}. ${thresholdMessage(resource, this.#o.pressure.state.due, seen)}`;
    for (const pod of rankPods([...candidates.keys()], resource, useOf, this.#partsOf(urgent))) {
      const message = `${low}${exceededMessage(pod, resource, useOf(pod))}`;
      const found = candidates.get(pod);
      if (found === undefined || isCriticalPod(pod)) continue;
      const graceSeconds = this.#graceOf(urgent, pod);
      if (!found.fail({ reason: EVICTED, message, graceSeconds, isDisruption: true })) continue;
      this.#evictions.add({ eviction_signal: urgent.signal });
      c.log.info({ name: pod.metadata.name, namespace: pod.metadata.namespace, resource, graceSeconds }, 'pod evicted');
      return found;
    }
    c.log.warn({ resource }, 'no pod of the node can be evicted');
    return undefined;
  }

  async #measure(
    pods: readonly EvictablePod[],
    resource: StarvedResource,
    c: Ctx,
  ): Promise<ReadonlyMap<PodObject, PodUse>> {
    const isLive = resource === 'memory' || resource === 'pids';
    const out = new Map<PodObject, PodUse>();
    const left = [...pods];
    const work = async (): Promise<void> => {
      for (let p = left.pop(); p !== undefined; p = left.pop()) {
        const { meter } = this.#o;
        const use = await (isLive
          ? meter.live(p.places, c)
          : meter.disk(p.places, { inodes: resource === 'inodes', limitMs: WALK_LIMIT_MS }, c));
        if (use !== undefined) out.set(p.pod, use);
      }
    };
    await Promise.all(Array.from({ length: WALKS_MAX }, work));
    return out;
  }

  /** With a disk of its own for images, containers' layers are there, logs and volumes are not. */
  #partsOf({ signal }: Threshold): DiskParts {
    if (!this.#o.hasDedicatedImageFs) return { rootfs: true, logs: true, volumes: true };
    const isImages = signal.startsWith('imagefs.');
    return { rootfs: isImages, logs: !isImages, volumes: !isImages };
  }

  #graceOf(t: Threshold, pod: PodObject): number {
    if (isHard(t)) return IMMEDIATE_GRACE_S;
    const own = pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_S;
    return Math.max(Math.min(this.#o.maxPodGraceSeconds, own), IMMEDIATE_GRACE_S);
  }

  async #cleanedUp(pod: EvictablePod, c: Ctx): Promise<void> {
    for (let waitedMs = 0; waitedMs < CLEANUP_TIMEOUT_MS; waitedMs += CLEANUP_POLL_MS) {
      await c.clock.sleep(CLEANUP_POLL_MS, c.signal);
      if (pod.isCleanedUp) return;
    }
    c.log.warn({ name: pod.pod.metadata.name }, 'timed out waiting for an evicted pod to be cleaned up');
  }

  async #watchStorage(c: Ctx): Promise<void> {
    if (!this.#o.isolatesLocalStorage) return;
    /** By uid: not before this instant. */
    let due = new Map<string, number>();
    for (;;) {
      await c.clock.sleep(INTERVAL_MS, c.signal);
      const next = new Map<string, number>();
      for (const p of this.#o.pods()) {
        const uid = p.pod.metadata.uid ?? '';
        const beginMs = c.clock.monotonic();
        const dueMs = due.get(uid) ?? beginMs;
        if (dueMs <= beginMs && p.hasVolumes) await this.#checkStorage(p, c);
        const tookMs = c.clock.monotonic() - beginMs;
        next.set(uid, Math.max(dueMs, beginMs + Math.min(tookMs * WALK_PAUSE, WALK_PAUSE_MAX_MS)));
      }
      due = next;
    }
  }

  async #checkStorage(p: EvictablePod, c: Ctx): Promise<void> {
    const limits = storageLimitsOf(p.pod);
    if (limits === undefined || isCriticalPod(p.pod)) return;
    try {
      const request = limits.isWhole ? { inodes: false } : { inodes: false, volumesOnly: limits.volumes };
      const use = await this.#o.meter.disk(p.places, request, c);
      const violation = use === undefined ? undefined : storageViolation(p.pod, use, this.#o);
      if (violation === undefined) return;
      const { signal, message } = violation;
      if (p.fail({ reason: EVICTED, message, graceSeconds: IMMEDIATE_GRACE_S }))
        this.#evictions.add({ eviction_signal: signal });
    } catch (e) {
      c.signal.throwIfAborted();
      c.log.warn({ err: messageOf(e), uid: p.pod.metadata.uid }, 'measuring the files of a pod failed');
    }
  }
}
