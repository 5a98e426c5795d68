/**
 * Volumes of pods that have got a node: what the plugin chose is promised at once, in memory, so that the next pod of the same
 * turn does not choose it too; then it is written, and awaited until every claim is bound. Only then is the pod bound.
 *
 * Life of a reservation: `reserve` -> `bind` (writes, waits) -> `release`, whatever became of it. A claim that two pods share
 * is promised to one node for both.
 * Source: kubernetes plugins/volumebinding/binder.go (AssumePodVolumes, BindPodVolumes, checkBindings).
 */
import {
  type CSINode,
  type DeepReadonly,
  isFullyBound,
  isReachableFrom,
  Kinds,
  keyText,
  type PersistentVolume,
  type PersistentVolumeClaim,
  StorageAnnotations,
  type StorageClass,
  withClaim,
} from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { Informer } from '#lib/controller';
import type { StorageView } from './framework.ts';
import type { NodeInfo } from './node-info.ts';
import { chooseVolumes, claimsOf, type VolumeChoice } from './plugins/volume-binding.ts';
import type { PodInfo } from './pod-info.ts';

type Claim = DeepReadonly<PersistentVolumeClaim>;
type Volume = DeepReadonly<PersistentVolume>;

/** As Kubernetes' VolumeBindingArgs.bindTimeoutSeconds. */
const BIND_MS_MAX = 600_000;

export interface Reservation {
  readonly uid: string;
  readonly node: NodeInfo;
  readonly choice: VolumeChoice;
}

export interface StorageCaches {
  readonly claims: Informer<PersistentVolumeClaim>;
  readonly volumes: Informer<PersistentVolume>;
  readonly classes: Informer<StorageClass>;
  readonly csiNodes: Informer<CSINode>;
}

export class PodVolumes implements StorageView, Disposable {
  readonly #client: Client;
  readonly #caches: StorageCaches;
  readonly #subscriptions: Disposable[] = [];
  /** Volume -> key of the claim it is promised to. */
  readonly #taken = new Map<string, string>();
  /** Key of a claim -> its node, and the pods for which it was promised. */
  readonly #promised = new Map<string, { readonly node: string; readonly pods: Set<string> }>();
  /** Called at each change of the claim of that key, and when its pod is gone. */
  readonly #waiting = new Map<string, Set<() => void>>();
  readonly #unwanted = new Set<string>();

  constructor(client: Client, caches: StorageCaches) {
    this.#client = client;
    this.#caches = caches;
  }

  /** `onChange`: something changed that a pod may be waiting for. */
  start(onChange: () => void): void {
    const { claims, volumes, classes, csiNodes } = this.#caches;
    this.#subscriptions.push(
      claims.subscribe((previous, next) => {
        const claim = next ?? previous;
        if (claim === undefined) return;
        for (const look of this.#waiting.get(keyOf(claim)) ?? []) look();
        onChange();
      }),
      volumes.subscribe(onChange),
      classes.subscribe(onChange),
      csiNodes.subscribe(onChange),
    );
  }

  async synced(signal: AbortSignal): Promise<void> {
    for (const i of Object.values(this.#caches)) await i.synced(signal);
  }

  claim(namespace: string, name: string): Claim | undefined {
    return this.#caches.claims.get({ namespace, name });
  }

  volume(name: string): Volume | undefined {
    return this.#caches.volumes.get({ namespace: '', name });
  }

  volumes(): readonly Volume[] {
    return this.#caches.volumes.list();
  }

  storageClass(name: string): DeepReadonly<StorageClass> | undefined {
    return this.#caches.classes.get({ namespace: '', name });
  }

  volumesMax(nodeName: string, driver: string): number | undefined {
    const node = this.#caches.csiNodes.get({ namespace: '', name: nodeName });
    return node?.spec.drivers?.find((d) => d.name === driver)?.allocatable?.count;
  }

  selectedNode(claim: Claim): string | undefined {
    return this.#promised.get(keyOf(claim))?.node ?? claim.metadata.annotations?.[StorageAnnotations.selectedNode];
  }

  isTaken(volume: Volume, claim: Claim): boolean {
    const holder = this.#taken.get(volume.metadata.name);
    return holder !== undefined && holder !== keyOf(claim);
  }

  /** undefined = nothing is to be written for this pod. Right after the decision, in the same turn. */
  reserve(p: PodInfo, node: NodeInfo): Reservation | undefined {
    const claims = claimsOf(p, this);
    if (claims === undefined || 'refused' in claims || claims.delayed.length === 0) return undefined;
    const choice = chooseVolumes(claims, node, this);
    if ('reasons' in choice) return undefined;
    for (const { claim, volume } of choice.bindings) this.#taken.set(volume.metadata.name, keyOf(claim));
    for (const claim of choice.provisioned) {
      const known = this.#promised.get(keyOf(claim));
      if (known === undefined) this.#promised.set(keyOf(claim), { node: node.name, pods: new Set([p.uid]) });
      else known.pods.add(p.uid);
    }
    return { uid: p.uid, node, choice };
  }

  /** Resolves when all claims are bound to volumes that the node reaches; throws when they cannot be any more. */
  async bind(r: Reservation, c: Ctx): Promise<void> {
    const written = new Map<string, bigint>();
    for (const { claim, volume } of r.choice.bindings) {
      const next = withClaim(volume, claim);
      if (next !== undefined) await this.#client.update(Kinds.persistentvolumes, next, c);
      written.set(keyOf(claim), 0n);
    }
    for (const claim of r.choice.provisioned) {
      const { selectedNode } = StorageAnnotations;
      const latest = this.#caches.claims.get({
        namespace: claim.metadata.namespace ?? '',
        name: claim.metadata.name,
      });
      if (latest === undefined || latest.metadata.uid !== claim.metadata.uid) throw gone(claim);
      const isSaid = latest.metadata.annotations?.[selectedNode] === r.node.name;
      const annotations = { ...latest.metadata.annotations, [selectedNode]: r.node.name };
      const said = isSaid
        ? latest
        : await this.#client.update(
            Kinds.persistentvolumeclaims,
            { ...latest, metadata: { ...latest.metadata, annotations } },
            c,
          );
      written.set(keyOf(claim), revisionOf(said));
    }
    await this.#allBound(r, written, c);
  }

  release(r: Reservation): void {
    this.#unwanted.delete(r.uid);
    for (const { claim, volume } of r.choice.bindings)
      if (this.#taken.get(volume.metadata.name) === keyOf(claim)) this.#taken.delete(volume.metadata.name);
    for (const claim of r.choice.provisioned) {
      const known = this.#promised.get(keyOf(claim));
      known?.pods.delete(r.uid);
      if (known?.pods.size === 0) this.#promised.delete(keyOf(claim));
    }
  }

  /** The pod is gone: nobody needs to wait for its volumes. */
  podGone(uid: string): void {
    if (this.#waiting.size === 0) return;
    this.#unwanted.add(uid);
    for (const looks of [...this.#waiting.values()]) for (const look of [...looks]) look();
    this.#unwanted.delete(uid);
  }

  [Symbol.dispose](): void {
    for (const s of this.#subscriptions) s[Symbol.dispose]();
  }

  #allBound(r: Reservation, written: ReadonlyMap<string, bigint>, c: Ctx): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = (settle: () => void): void => {
        timer.cancel();
        c.signal.removeEventListener('abort', onAbort);
        for (const key of written.keys()) {
          const looks = this.#waiting.get(key);
          looks?.delete(look);
          if (looks?.size === 0) this.#waiting.delete(key);
        }
        settle();
      };
      const look = (): void => {
        try {
          if (this.#isBound(r, written)) end(resolve);
        } catch (e) {
          end(() => reject(e));
        }
      };
      const onAbort = (): void => end(() => reject(c.signal.reason));
      const timer = c.clock.after(BIND_MS_MAX, () =>
        end(() => reject(new StatusError('DeadlineExceeded', 'timed out waiting for the volumes of the pod'))),
      );
      for (const key of written.keys()) {
        const looks = this.#waiting.get(key);
        if (looks === undefined) this.#waiting.set(key, new Set([look]));
        else looks.add(look);
      }
      c.signal.addEventListener('abort', onAbort, { once: true });
      if (c.signal.aborted) onAbort();
      else look();
    });
  }

  /** Throws when what was chosen cannot come to be any more. */
  #isBound(r: Reservation, written: ReadonlyMap<string, bigint>): boolean {
    if (this.#unwanted.has(r.uid)) throw new StatusError('NotFound', 'the pod is gone');
    let isComplete = true;
    const claims = [...r.choice.bindings.map((b) => b.claim), ...r.choice.provisioned];
    for (const claim of claims) {
      const { namespace = '', name, uid } = claim.metadata;
      const latest = this.#caches.claims.get({ namespace, name });
      if (latest === undefined || latest.metadata.uid !== uid || latest.metadata.deletionTimestamp !== undefined)
        throw gone(claim);
      if (!isFullyBound(latest)) {
        isComplete = false;
        // The cache may still have it as it was before our own write.
        const isSeen = revisionOf(latest) >= (written.get(keyOf(claim)) ?? 0n);
        const said = latest.metadata.annotations?.[StorageAnnotations.selectedNode];
        if (r.choice.provisioned.includes(claim) && isSeen && said !== r.node.name)
          throw new StatusError('Conflict', `selectedNode annotation reset for PVC "${name}"`);
        continue;
      }
      const volume = this.volume(latest.spec.volumeName ?? '');
      if (volume === undefined) continue; // Bound a moment ago: the other cache is behind.
      if (!isReachableFrom(volume, r.node))
        throw new StatusError(
          'Conflict',
          `pv "${volume.metadata.name}" node affinity doesn't match node "${r.node.name}"`,
        );
    }
    return isComplete;
  }
}

function gone(claim: Claim): StatusError {
  return new StatusError('Conflict', `persistentvolumeclaim "${claim.metadata.name}" is gone or being deleted`);
}

function keyOf({ metadata }: Claim): string {
  return keyText({ namespace: metadata.namespace ?? '', name: metadata.name });
}

function revisionOf({ metadata }: Claim): bigint {
  return BigInt(metadata.resourceVersion ?? '0');
}
