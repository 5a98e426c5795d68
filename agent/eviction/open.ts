/** Puts eviction together for one node: what it reads, what it may end, and what it can take back before. */
import type { NodeCondition } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { CgroupAmount } from '../kernel/kernel.ts';
import { nodeEvent } from '../node.ts';
import type { PodDeps } from '../pods/deps.ts';
import type { PodManager } from '../pods/manager.ts';
import { containersOf } from '../pods/model.ts';
import type { PodWorker } from '../pods/worker.ts';
import type { NodeSettings } from '../resources/node-settings.ts';
import { type EvictablePod, EvictionManager } from './manager.ts';
import type { NodePressure } from './node-pressure.ts';
import { hasDedicatedImageFs, type NodeReadingsOptions, observeNode } from './node-readings.ts';
import { PodMeter, placesOf } from './pod-meter.ts';
import { thresholdsOf } from './thresholds.ts';

export interface OpenEvictionOptions {
  readonly pods: PodDeps;
  readonly manager: PodManager;
  readonly pressure: NodePressure;
  readonly settings: NodeSettings;
  /** Bytes that all pods together may use. */
  readonly podsMemoryBytes: CgroupAmount | undefined;
  /** Folders on the disk of pods, and on that of images. */
  readonly folder: string;
  readonly imagesFolder: string;
}

export async function openEviction(o: OpenEvictionOptions): Promise<EvictionManager> {
  const { pods: d, settings } = o;
  const { cgroups, programs } = d.kernel;
  const readings: NodeReadingsOptions = {
    cgroups,
    podsCgroup: d.settings.cgroupParent,
    podsMemoryBytes: typeof o.podsMemoryBytes === 'number' ? o.podsMemoryBytes : undefined,
    folder: o.folder,
    imagesFolder: o.imagesFolder,
  };
  return new EvictionManager({
    thresholds: thresholdsOf(settings),
    transitionMs: settings.evictionPressureTransitionPeriodMs,
    maxPodGraceSeconds: settings.evictionMaxPodGracePeriod,
    isolatesLocalStorage: settings.localStorageCapacityIsolation,
    hasDedicatedImageFs: await hasDedicatedImageFs(o),
    pressure: o.pressure,
    observe: (c) => observeNode(readings, c),
    meter: new PodMeter({ cgroups, programs }),
    pods: () => evictablePods(d, o.imagesFolder, o.manager),
    reclaimDisk: (c) => reclaimDisk(d, o.manager, settings.imageGc.minimumAgeMs, c),
    onThresholdMet: (resource) => {
      const message = `Attempting to reclaim ${resource}`;
      d.session.event(
        nodeEvent(d.settings.nodeName, { type: 'Warning', reason: 'EvictionThresholdMet', message }, d.clock),
      );
    },
    onConditions: (changed) => {
      for (const event of conditionEvents(d.settings.nodeName, o.pressure.conditions(''), changed))
        d.session.event(nodeEvent(d.settings.nodeName, event, d.clock));
    },
  });
}

/** As the kubelet tells them: `Node n status is now: NodeHasDiskPressure`. */
export function conditionEvents(
  node: string,
  conditions: readonly NodeCondition[],
  changed: readonly string[],
): readonly { readonly type: 'Normal'; readonly reason: string; readonly message: string }[] {
  return conditions
    .filter((c) => changed.includes(c.type))
    .map((c) => {
      const reason = (c.reason ?? '').replace('Kubelet', 'Node');
      return { type: 'Normal', reason, message: `Node ${node} status is now: ${reason}` };
    });
}

export function evictablePods(d: PodDeps, imagesFolder: string, manager: PodManager): readonly EvictablePod[] {
  return [...manager.workers()].map((w) => evictable(d, imagesFolder, w));
}

function evictable(d: PodDeps, imagesFolder: string, w: PodWorker): EvictablePod {
  const runs = (): boolean => containersOf(w.pod).some(({ spec }) => w.attempt(spec.name)?.state.phase === 'running');
  return {
    pod: w.pod,
    places: placesOf(d, imagesFolder, w),
    hasVolumes: w.hasVolumes,
    get isCleanedUp() {
      return !w.hasVolumes && !runs();
    },
    fail: (failure) => w.fail(failure),
  };
}

/** Writable layers of containers that have ended, then images that nobody has used for `minAgeMs`: one may be about to be. */
export async function reclaimDisk(d: PodDeps, manager: PodManager, minAgeMs: number, c: Ctx): Promise<void> {
  for (const w of [...manager.workers()]) {
    for (const { spec } of containersOf(w.pod)) {
      const ended = [w.attempt(spec.name), w.previousAttempt(spec.name)];
      for (const a of ended) if (a?.state.phase === 'exited') await d.images.removeRoot(a.id, c);
    }
  }
  const freedBytes = await d.images.collect({ freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs }, c);
  c.log.info({ freedBytes }, 'unused images removed: the disk is short of room');
}
