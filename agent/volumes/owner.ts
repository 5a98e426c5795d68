/**
 * Whose the files of a pod's own volumes are. Pure. Under a user namespace they are written with the ids that it has outside: a volume
 * that lives and dies with the pod needs no idmapped mount then, which tmpfs, where secrets lie, has only since Linux 6.3.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { hostId, type IdRange } from '../user-namespaces/ranges.ts';

export interface VolumeOwner {
  /** The pod's root. */
  readonly uid: number;
  /** The fsGroup, or the pod's root. */
  readonly gid: number;
  /** Files are readable by the group, folders hand it on. */
  readonly isShared: boolean;
  /** Of a user that the pod names. Throws Invalid for one that its namespace has not. */
  readonly uidOf: (id: number) => number;
}

/** Throws Invalid for a fsGroup that the pod's user namespace has not. */
export function volumeOwner(pod: DeepReadonly<Pod>, ids: IdRange | undefined): VolumeOwner {
  const group = pod.spec?.securityContext?.fsGroup;
  return {
    uid: hostId(ids, 0, 'user'),
    gid: hostId(ids, group ?? 0, 'fsGroup'),
    isShared: group !== undefined,
    uidOf: (id) => hostId(ids, id, 'runAsUser'),
  };
}
