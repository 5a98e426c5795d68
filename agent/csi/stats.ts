/**
 * How full claims' volumes are, by the words of their drivers: asked when somebody reads the metrics and the last round is a minute
 * old; what is shown is that of the last round. Source: kubernetes pkg/kubelet/metrics/collectors/volume_stats.go, pkg/volume/csi/
 * csi_metrics.go.
 */
import { claimNameOf } from '#lib/api';
import { type Ctx, type MetricFamily, messageOf, type Scope } from '#lib/base';
import type { VolumeUsage } from './protocol.ts';
import type { CsiVolumes, ReadyVolume } from './volumes.ts';

type Usages = readonly VolumeUsage[];

const KEEP_MS = 60_000;
const CALL_MS = 10_000;

/** Of which unit, and which figure of it. */
const FIGURES = [
  ['kubelet_volume_stats_available_bytes', 'Number of available bytes in the volume', 'BYTES', 'available'],
  ['kubelet_volume_stats_capacity_bytes', 'Capacity in bytes of the volume', 'BYTES', 'total'],
  ['kubelet_volume_stats_used_bytes', 'Number of used bytes in the volume', 'BYTES', 'used'],
  ['kubelet_volume_stats_inodes', 'Maximum number of inodes in the volume', 'INODES', 'total'],
  ['kubelet_volume_stats_inodes_free', 'Number of free inodes in the volume', 'INODES', 'available'],
  ['kubelet_volume_stats_inodes_used', 'Number of used inodes in the volume', 'INODES', 'used'],
] as const;

export class CsiStats {
  readonly #volumes: CsiVolumes;
  readonly #scope: Scope;
  readonly #c: Ctx;
  /** `namespace/claim` -> what its driver said. */
  #usages: ReadonlyMap<string, Usages> = new Map();
  #askedAtMs: number | undefined;
  #isAsking = false;

  /** `scope` owns what is asked beside an answer. */
  constructor(volumes: CsiVolumes, scope: Scope, c: Ctx) {
    this.#volumes = volumes;
    this.#scope = scope;
    this.#c = c;
  }

  metrics(): readonly MetricFamily[] {
    const now = this.#c.clock.monotonic();
    const isDue = this.#askedAtMs === undefined || now - this.#askedAtMs >= KEEP_MS;
    if (isDue && !this.#isAsking) {
      this.#isAsking = true;
      this.#scope.spawn('volume statistics', (signal) => this.#round({ ...this.#c, signal }));
    }
    return FIGURES.map(([name, help, unit, figure]) => ({
      name,
      help,
      type: 'gauge' as const,
      samples: [...this.#usages].flatMap(([claim, usages]) => {
        const [namespace = '', persistentvolumeclaim = ''] = claim.split('/');
        const usage = usages.find((u) => u.unit === unit);
        return usage === undefined ? [] : [{ labels: { namespace, persistentvolumeclaim }, value: usage[figure] }];
      }),
    }));
  }

  /** One after the other: a driver that hangs costs its own volumes ten seconds each, and nobody waits for it. */
  async #round(c: Ctx): Promise<void> {
    const next = new Map<string, Usages>();
    try {
      for (const ready of this.#volumes.ready()) {
        const claim = claimOf(ready);
        if (claim === undefined || next.has(claim)) continue;
        const usages = await this.#ask(ready, c);
        if (usages.length > 0) next.set(claim, usages);
      }
      this.#usages = next;
    } finally {
      this.#askedAtMs = c.clock.monotonic();
      this.#isAsking = false;
    }
  }

  async #ask({ volume, path }: ReadyVolume, c: Ctx): Promise<Usages> {
    const driver = this.#volumes.driver(volume.driver);
    if (driver?.can.has('GET_VOLUME_STATS') !== true) return [];
    const isStaged = driver.can.has('STAGE_UNSTAGE_VOLUME');
    const request = {
      volume_id: volume.handle,
      volume_path: path,
      staging_target_path: isStaged ? this.#volumes.records.stagingPath(volume.driver, volume.handle) : '',
    };
    try {
      return (await driver.client.call(driver.service.NodeGetVolumeStats, request, CALL_MS, c)).usage;
    } catch (e) {
      c.signal.throwIfAborted();
      c.log.debug({ err: messageOf(e), volume: volume.specName }, 'a driver did not say how full a volume is');
      return [];
    }
  }
}

/** undefined = a volume of the pod's own. */
function claimOf({ pod, volumeName }: ReadyVolume): string | undefined {
  const source = pod.spec?.volumes?.find((v) => v.name === volumeName);
  const name = source === undefined ? undefined : claimNameOf(pod, source);
  return name === undefined ? undefined : `${pod.metadata.namespace ?? ''}/${name}`;
}
