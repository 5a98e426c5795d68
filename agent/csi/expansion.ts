/**
 * Grows what a driver's controller has grown: a claim whose volume has more than the claim says gets the rest done on the node it
 * is mounted on, and then says so. While a driver fails it is tried again, later each time.
 * Source: kubernetes pkg/volume/util/operationexecutor/node_expander.go, operation_generator.go (nodeExpandVolume).
 */
import {
  capacityOfVolume,
  claimNameOf,
  compareQuantity,
  type DeepReadonly,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  parseQuantity,
  quantityToNumber,
} from '#lib/api';
import { backoffMs, type Ctx, messageOf, type Random, Wake } from '#lib/base';
import type { ClaimRef } from '../session/session.ts';
import { capability } from './request.ts';
import type { CsiSources, CsiVolumes, ReadyVolume } from './volumes.ts';

export interface CsiExpansionOptions {
  readonly volumes: CsiVolumes;
  readonly sources: Pick<CsiSources, 'claim' | 'persistentVolume'>;
  /** The claim has that much now. */
  claimResized(claim: ClaimRef, storage: string, c: Ctx): Promise<void>;
  event(pod: DeepReadonly<Pod>, type: 'Normal' | 'Warning', reason: string, message: string): void;
  readonly random: Random;
}

interface Growth {
  readonly claim: DeepReadonly<PersistentVolumeClaim>;
  readonly volume: DeepReadonly<PersistentVolume>;
  readonly storage: string;
}

const POLICY = { initialMs: 1_000, maxMs: 120_000 };

export class CsiExpansion {
  readonly #o: CsiExpansionOptions;
  readonly #wake = new Wake();
  /** Path of a volume -> how often it has failed, and when it is tried again. */
  readonly #failed = new Map<string, { readonly count: number; readonly retryAtMs: number }>();

  constructor(o: CsiExpansionOptions) {
    this.#o = o;
  }

  /** Until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    using _ = this.#o.volumes.changes.subscribe(() => this.#wake.kick());
    for (;;) {
      this.#wake.clear();
      await this.#look(c);
      const retries = [...this.#failed.values()].map((f) => f.retryAtMs);
      await this.#wake.sleepUntil(retries.length === 0 ? undefined : Math.min(...retries), c);
    }
  }

  async #look(c: Ctx): Promise<void> {
    const all = [...this.#o.volumes.ready()];
    const paths = new Set(all.map((r) => r.path));
    for (const path of this.#failed.keys()) if (!paths.has(path)) this.#failed.delete(path);
    for (const ready of all) {
      const growth = this.#due(ready);
      const failed = this.#failed.get(ready.path);
      if (growth === undefined) this.#failed.delete(ready.path);
      else if ((failed?.retryAtMs ?? 0) <= c.clock.now()) await this.#grow(ready, growth, c);
    }
  }

  #due(ready: ReadyVolume): Growth | undefined {
    const { pod, volumeName } = ready;
    const source = pod.spec?.volumes?.find((v) => v.name === volumeName);
    const name = source === undefined ? undefined : claimNameOf(pod, source);
    if (name === undefined) return undefined;
    const claim = this.#o.sources.claim(pod.metadata.namespace ?? '', name);
    const volume = this.#o.sources.persistentVolume(claim?.spec.volumeName ?? '');
    const has = claim?.status?.capacity?.['storage'];
    const storage = volume?.spec.capacity?.['storage'];
    if (claim === undefined || volume === undefined || has === undefined || storage === undefined) return undefined;
    if (volume.metadata.name !== ready.volume.specName) return undefined;
    return compareQuantity(parseQuantity(has), capacityOfVolume(volume)) < 0 ? { claim, volume, storage } : undefined;
  }

  async #grow(ready: ReadyVolume, { claim, volume, storage }: Growth, c: Ctx): Promise<void> {
    const { volumes } = this.#o;
    const { namespace = '', name, uid = '' } = claim.metadata;
    try {
      const isDone = await volumes.locked(
        ready.volume,
        async (driver) => {
          if (!driver.can.has('EXPAND_VOLUME')) return false;
          const { handle } = ready.volume;
          const isStaged = driver.can.has('STAGE_UNSTAGE_VOLUME');
          const request = {
            volume_id: handle,
            volume_path: ready.path,
            capacity_range: { required_bytes: Math.ceil(quantityToNumber(parseQuantity(storage))) },
            staging_target_path: isStaged ? volumes.records.stagingPath(driver.name, handle) : '',
            volume_capability: capability(ready.volume, driver.can, ready.pod.spec?.securityContext?.fsGroup),
            secrets: volumes.secret('NodeExpandSecretRef', ready.volume.expandSecret),
          };
          await volumes.call(driver, driver.service.NodeExpandVolume, request, c);
          return true;
        },
        c,
      );
      await this.#o.claimResized({ namespace, name, uid }, storage, c);
      this.#failed.delete(ready.path);
      if (isDone)
        this.#o.event(
          ready.pod,
          'Normal',
          'FileSystemResizeSuccessful',
          `MountVolume.NodeExpandVolume succeeded for volume "${volume.metadata.name}"`,
        );
      /* Until the claim comes back so, it still looks due. */
      this.#failed.set(ready.path, { count: 0, retryAtMs: c.clock.now() + POLICY.maxMs });
    } catch (e) {
      c.signal.throwIfAborted();
      const count = (this.#failed.get(ready.path)?.count ?? 0) + 1;
      this.#failed.set(ready.path, { count, retryAtMs: c.clock.now() + backoffMs(POLICY, count - 1, this.#o.random) });
      const message = `MountVolume.NodeExpandVolume failed for volume "${volume.metadata.name}" : ${messageOf(e)}`;
      this.#o.event(ready.pod, 'Warning', 'VolumeResizeFailed', message);
    }
  }
}
