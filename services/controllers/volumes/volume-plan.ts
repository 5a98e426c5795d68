/**
 * What becomes of a volume: Available, Bound, Released, Failed; and of one whose claim is gone, by its reclaim policy. Pure.
 * Source: pkg/controller/volume/persistentvolume/pv_controller.go syncVolume, reclaimVolume.
 */
import {
  type DeepReadonly,
  hostOfVolume,
  isLocalVolume,
  isSameMode,
  type PersistentVolume,
  type PersistentVolumeClaim,
  PROVISIONER_FINALIZER,
  StorageAnnotations,
} from '#lib/api';

type Claim = DeepReadonly<PersistentVolumeClaim>;
type Volume = DeepReadonly<PersistentVolume>;

export interface VolumeStatus {
  readonly phase: 'Available' | 'Bound' | 'Released' | 'Failed';
  readonly reason?: string;
  readonly message?: string;
}

export type VolumeAction =
  /** Told by a warning when it is Failed, or waits for a node, and was not so before. */
  | { readonly do: 'status'; readonly status: VolumeStatus; readonly event?: { reason: string; message: string } }
  /** Takes back what the controller filled in. */
  | { readonly do: 'unbind' }
  | { readonly do: 'finalizers'; readonly finalizers: readonly string[] }
  | { readonly do: 'warn'; readonly reason: string; readonly message: string };

export interface VolumeWorld {
  readonly volume: Volume;
  /** The one that claimRef names, uid included, as the API has it. */
  readonly claim: Claim | undefined;
  /** Of the host that has a local volume's data. */
  readonly node: 'ready' | 'notReady' | 'absent';
}

export function planVolume(w: VolumeWorld): readonly VolumeAction[] {
  return [...planFinalizers(w), ...planBinding(w)];
}

function planBinding(w: VolumeWorld): readonly VolumeAction[] {
  const { volume, claim } = w;
  const ref = volume.spec.claimRef;
  if (ref === undefined || !ref.uid) return status(volume, { phase: 'Available' });
  if (claim === undefined) return planReleased(w);
  if (!claim.spec.volumeName) {
    if (isSameMode(volume, claim)) return [];
    const message = `Cannot bind PersistentVolume to requested PersistentVolumeClaim "${claim.metadata.name}" due to incompatible volumeMode.`;
    return [{ do: 'warn', reason: 'VolumeMismatch', message }];
  }
  if (claim.spec.volumeName === volume.metadata.name) return status(volume, { phase: 'Bound' });
  // Made for a claim that has found another volume: nobody needs it.
  const isProvisioned = volume.metadata.annotations?.[StorageAnnotations.provisionedBy] !== undefined;
  if (isProvisioned && volume.spec.persistentVolumeReclaimPolicy === 'Delete') return planReleased(w);
  return [{ do: 'unbind' }];
}

function planReleased(w: VolumeWorld): readonly VolumeAction[] {
  const { volume } = w;
  if (volume.status?.phase === 'Failed') return [];
  switch (volume.spec.persistentVolumeReclaimPolicy) {
    case 'Delete':
      if (isLocalVolume(volume)) return planErasure(w);
      // Whoever made it sees that it is Released, and deletes it.
      if (volume.metadata.annotations?.[StorageAnnotations.provisionedBy] !== undefined)
        return status(volume, { phase: 'Released' });
      return failed(
        volume,
        'VolumeFailedDelete',
        `error getting deleter volume plugin for volume "${volume.metadata.name}": no deletable volume plugin matched`,
      );
    case 'Recycle':
      return failed(volume, 'VolumeFailedRecycle', 'No recycler plugin found for the volume!');
    default:
      return status(volume, { phase: 'Released' });
  }
}

/** Its node's agent erases the data, and then the object goes (services/gateway/erasure.ts). While it cannot, say so. */
function planErasure({ volume, node }: VolumeWorld): readonly VolumeAction[] {
  const host = hostOfVolume(volume) ?? '';
  if (node === 'ready') return status(volume, { phase: 'Released' });
  const [reason, why] =
    node === 'absent' ? ['NodeNotFound', 'which does not exist'] : ['NodeNotReady', 'which is not ready'];
  const message = `waiting for node "${host}", ${why}, to delete the data of the volume`;
  return status(volume, { phase: 'Released', reason, message }, { reason: 'VolumeFailedDelete', message });
}

function failed(volume: Volume, reason: string, message: string): readonly VolumeAction[] {
  return status(volume, { phase: 'Failed', message }, { reason, message });
}

function status(
  volume: Volume,
  wanted: VolumeStatus,
  event?: { reason: string; message: string },
): readonly VolumeAction[] {
  const { phase, reason = '', message = '' } = volume.status ?? {};
  if (phase === wanted.phase && reason === (wanted.reason ?? '') && message === (wanted.message ?? '')) return [];
  return [{ do: 'status', status: wanted, ...(event === undefined ? {} : { event }) }];
}

/**
 * A local volume of policy Delete stays until its data is gone, whoever deletes the object first (KEP-2644); not where there is
 * no node any more that could delete it, and somebody has said by deleting the volume that it may go.
 */
function planFinalizers({ volume, node }: VolumeWorld): readonly VolumeAction[] {
  if (!isLocalVolume(volume)) return [];
  const before = volume.metadata.finalizers ?? [];
  const isKept = before.includes(PROVISIONER_FINALIZER);
  const isGoing = volume.metadata.deletionTimestamp !== undefined;
  const isDelete = volume.spec.persistentVolumeReclaimPolicy === 'Delete';
  const isOrphan = isGoing && node === 'absent' && volume.status?.phase !== 'Bound';
  if (isKept && (!isDelete || isOrphan))
    return [{ do: 'finalizers', finalizers: before.filter((f) => f !== PROVISIONER_FINALIZER) }];
  if (!isKept && isDelete && !isGoing) return [{ do: 'finalizers', finalizers: [...before, PROVISIONER_FINALIZER] }];
  return [];
}
