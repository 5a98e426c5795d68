/** Which volumes of drivers the pods of a node want attached, from one set of informers; and whom a change concerns. */
import {
  type CSIDriver,
  claimNameOf,
  type DeepReadonly,
  isAttachRequired,
  isFullyBound,
  Kinds,
  keyText,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type VolumeAttachment,
} from '#lib/api';
import { changesOf, type Informer, type InformerFactory, isEqualJson, type Source } from '#lib/controller';
import { BY_NODE, nodeIndex } from '../indexes.ts';
import type { WantedVolume } from './plan.ts';

const ATTACHMENT_BY_NODE = 'attachmentNode';
const ATTACHMENT_BY_VOLUME = 'attachmentVolume';
const POD_BY_CLAIM = 'claim';

export class Observed {
  readonly #pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #nodes: Informer<Node>;
  readonly #drivers: Informer<CSIDriver>;
  readonly #attachments: Informer<VolumeAttachment>;

  constructor(informers: InformerFactory) {
    this.#pods = informers.informer(Kinds.pods, { indexes: { ...nodeIndex, [POD_BY_CLAIM]: claimKeysOf } });
    this.#claims = informers.informer(Kinds.persistentvolumeclaims);
    this.#volumes = informers.informer(Kinds.persistentvolumes);
    this.#nodes = informers.informer(Kinds.nodes);
    this.#drivers = informers.informer(Kinds.csidrivers);
    this.#attachments = informers.informer(Kinds.volumeattachments, {
      indexes: {
        [ATTACHMENT_BY_NODE]: (a) => [a.spec.nodeName],
        [ATTACHMENT_BY_VOLUME]: (a) => [a.spec.source.persistentVolumeName ?? ''],
      },
    });
  }

  /** Keys are nodes. `onAttachment`: by this name one is in the cache. */
  sources(onAttachment: (name: string) => void): readonly Source[] {
    return [
      changesOf(this.#pods, (previous, next) =>
        claimKeysOf(next ?? previous).length === 0 || isSamePod(previous, next) ? [] : nodesOf(previous, next),
      ),
      changesOf(this.#claims, (previous, next) =>
        previous?.spec.volumeName === next?.spec.volumeName ? [] : this.#nodesOfClaim(textOf(next ?? previous)),
      ),
      changesOf(this.#volumes, (previous, next) =>
        isEqualJson(previous?.spec, next?.spec) ? [] : [...this.#nodesOfVolume(previous), ...this.#nodesOfVolume(next)],
      ),
      changesOf(this.#nodes, (previous, next) =>
        isEqualJson(factsOf(previous), factsOf(next)) ? [] : [(next ?? previous)?.metadata.name ?? ''],
      ),
      changesOf(this.#attachments, (previous, next) => {
        if (next !== undefined) onAttachment(next.metadata.name);
        const { spec } = next ?? previous ?? {};
        const volume = this.#volumes.get({ namespace: '', name: spec?.source.persistentVolumeName ?? '' });
        return [spec?.nodeName ?? '', ...this.#nodesOfVolume(volume)];
      }),
      changesOf(this.#drivers, () => this.#nodes.list().map((n) => n.metadata.name)),
    ];
  }

  node(name: string): DeepReadonly<Node> | undefined {
    return this.#nodes.get({ namespace: '', name });
  }

  attachmentsTo(nodeName: string): readonly DeepReadonly<VolumeAttachment>[] {
    return this.#attachments.byIndex(ATTACHMENT_BY_NODE, nodeName);
  }

  attachmentsOf(volumeName: string): readonly DeepReadonly<VolumeAttachment>[] {
    return this.#attachments.byIndex(ATTACHMENT_BY_VOLUME, volumeName);
  }

  wantedOn(nodeName: string): readonly WantedVolume[] {
    const found = new Map<string, { volume: DeepReadonly<PersistentVolume>; pods: DeepReadonly<Pod>[] }>();
    for (const pod of this.#pods.byIndex(BY_NODE, nodeName)) {
      if (hasEnded(pod)) continue;
      for (const key of claimKeysOf(pod)) {
        const volume = this.#volumeOfClaim(key);
        const driver = volume?.spec.csi?.driver;
        if (volume === undefined || driver === undefined) continue;
        if (!isAttachRequired(this.#drivers.get({ namespace: '', name: driver }))) continue;
        const known = found.get(volume.metadata.name) ?? { volume, pods: [] };
        known.pods.push(pod);
        found.set(volume.metadata.name, known);
      }
    }
    return [...found.values()];
  }

  #volumeOfClaim(key: string): DeepReadonly<PersistentVolume> | undefined {
    const [namespace = '', name = ''] = key.split('/');
    const claim = this.#claims.get({ namespace, name });
    if (claim === undefined || !isFullyBound(claim)) return undefined;
    const volume = this.#volumes.get({ namespace: '', name: claim.spec.volumeName ?? '' });
    return volume?.spec.claimRef?.uid === claim.metadata.uid ? volume : undefined;
  }

  #nodesOfClaim(key: string): string[] {
    return nodesOf(...this.#pods.byIndex(POD_BY_CLAIM, key));
  }

  #nodesOfVolume(volume: DeepReadonly<PersistentVolume> | undefined): string[] {
    const ref = volume?.spec.claimRef;
    if (ref === undefined) return [];
    return this.#nodesOfClaim(keyText({ namespace: ref.namespace ?? '', name: ref.name ?? '' }));
  }
}

function claimKeysOf(pod: DeepReadonly<Pod> | undefined): readonly string[] {
  if (pod === undefined) return [];
  const namespace = pod.metadata.namespace ?? '';
  return (pod.spec.volumes ?? []).flatMap((v) => {
    const name = claimNameOf(pod, v);
    return name === undefined ? [] : [keyText({ namespace, name })];
  });
}

function textOf(o: DeepReadonly<PersistentVolumeClaim> | undefined): string {
  return keyText({ namespace: o?.metadata.namespace ?? '', name: o?.metadata.name ?? '' });
}

function hasEnded({ status }: DeepReadonly<Pod>): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

function isSamePod(a: DeepReadonly<Pod> | undefined, b: DeepReadonly<Pod> | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.metadata.uid === b.metadata.uid && a.spec.nodeName === b.spec.nodeName && hasEnded(a) === hasEnded(b);
}

function nodesOf(...pods: readonly (DeepReadonly<Pod> | undefined)[]): string[] {
  return pods.flatMap((p) => (p?.spec.nodeName ? [p.spec.nodeName] : []));
}

/** Of a node, what decides. */
function factsOf(node: DeepReadonly<Node> | undefined): object | undefined {
  if (node === undefined) return undefined;
  const { volumesInUse, volumesAttached, conditions } = node.status ?? {};
  const isReady = conditions?.find((x) => x.type === 'Ready')?.status;
  return {
    volumesInUse: volumesInUse ?? [],
    volumesAttached: volumesAttached ?? [],
    isReady,
    taints: node.spec?.taints ?? [],
  };
}
