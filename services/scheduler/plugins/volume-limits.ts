/**
 * A node takes no more volumes of a CSI driver than the driver says in its CSINode; a volume that several pods of a node use counts
 * once. Source: kubernetes plugins/nodevolumelimits/csi.go.
 */
import { claimNameOf, classOfClaim, isFullyBound } from '#lib/api';
import { FITS, type FilterPlugin, type StorageView } from '../framework.ts';
import type { NodeInfo } from '../node-info.ts';
import type { PodInfo } from '../pod-info.ts';

const REASON = ['node(s) exceed max volume count'];

export const volumeLimits: FilterPlugin = {
  name: 'NodeVolumeLimits',
  wakesOn: new Set(['node-added', 'pod-removed', 'storage-changed']),
  prepare(p, s) {
    const wanted = volumesOf(p, s.storage);
    if (wanted.size === 0) return undefined;
    return (n) => (isOverLimit(n, wanted, s.storage) ? REASON : FITS);
  },
};

/** Volume -> its driver. One that is still to be made is named by its claim. */
function volumesOf(p: PodInfo, storage: StorageView): ReadonlyMap<string, string> {
  const out = new Map<string, string>();
  for (const v of p.pod.spec.volumes ?? []) {
    const name = claimNameOf(p.pod, v);
    const claim = name === undefined ? undefined : storage.claim(p.namespace, name);
    if (claim === undefined) continue;
    if (isFullyBound(claim)) {
      const csi = storage.volume(claim.spec.volumeName ?? '')?.spec.csi;
      if (csi !== undefined) out.set(`${csi.driver}^${csi.volumeHandle}`, csi.driver);
    } else {
      const driver = storage.storageClass(classOfClaim(claim))?.provisioner;
      if (driver !== undefined) out.set(`claim ${p.namespace}/${name ?? ''}`, driver);
    }
  }
  return out;
}

function isOverLimit(n: NodeInfo, wanted: ReadonlyMap<string, string>, storage: StorageView): boolean {
  const limited = [...new Set(wanted.values())].flatMap((driver) => {
    const max = storage.volumesMax(n.name, driver);
    return max === undefined ? [] : [{ driver, max }];
  });
  if (limited.length === 0) return false;
  const all = new Map(wanted);
  for (const other of n.pods.values()) for (const [id, driver] of volumesOf(other, storage)) all.set(id, driver);
  return limited.some(({ driver, max }) => [...all.values()].filter((d) => d === driver).length > max);
}
