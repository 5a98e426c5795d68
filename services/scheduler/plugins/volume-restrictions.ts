/** A claim of access mode ReadWriteOncePod is one pod's in the whole cluster (KEP-2485). Source: kubernetes plugins/volumerestrictions. */
import { claimNameOf } from '#lib/api';
import type { ClusterSnapshot, FilterPlugin } from '../framework.ts';
import type { PodInfo } from '../pod-info.ts';

const REASON = ['node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode'];

export const volumeRestrictions: FilterPlugin = {
  name: 'VolumeRestrictions',
  wakesOn: new Set(['node-added', 'pod-removed', 'storage-changed']),
  prepare(p, s) {
    const exclusive = claimsOf(p).filter(
      (name) => s.storage.claim(p.namespace, name)?.spec.accessModes?.includes('ReadWriteOncePod') === true,
    );
    if (exclusive.length === 0) return undefined;
    return isUsed(p, s, new Set(exclusive)) ? () => REASON : undefined;
  },
};

function isUsed(p: PodInfo, s: ClusterSnapshot, names: ReadonlySet<string>): boolean {
  for (const node of s.nodes)
    for (const other of node.pods.values())
      if (other.uid !== p.uid && other.namespace === p.namespace && claimsOf(other).some((n) => names.has(n)))
        return true;
  return false;
}

function claimsOf({ pod }: PodInfo): readonly string[] {
  return (pod.spec.volumes ?? []).flatMap((v) => claimNameOf(pod, v) ?? []);
}
