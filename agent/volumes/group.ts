/** Whether a pod's fsGroup needs nothing done. Source: kubernetes pkg/volume/volume_linux.go (skipPermissionChange). */
import { stat } from 'node:fs/promises';
import type { DeepReadonly, Pod } from '#lib/api';

const FOLDER_MODE = 0o2770;

/** The pod asks to look at the volume's root only, and that is the group's already. */
export async function isLeftToGroup(pod: DeepReadonly<Pod>, root: string, groupId: number): Promise<boolean> {
  if (pod.spec?.securityContext?.fsGroupChangePolicy !== 'OnRootMismatch') return false;
  const { gid, mode } = await stat(root);
  return gid === groupId && (mode & FOLDER_MODE) === FOLDER_MODE;
}
