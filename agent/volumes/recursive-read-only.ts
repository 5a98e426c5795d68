/**
 * Mounts that are read only with all that is mounted below them. Pure.
 * Source: KEP-3857; kubernetes pkg/kubelet/kubelet_pods.go (resolveRecursiveReadOnly, convertToAPIContainerStatuses).
 */
import type { DeepReadonly, VolumeMount, VolumeMountStatus } from '#lib/api';
import { StatusError } from '#lib/base';

/** Throws Invalid where it is asked for and cannot be had. */
export function isRecursiveReadOnly(m: DeepReadonly<VolumeMount>, isSupported: boolean): boolean {
  const mode = m.recursiveReadOnly ?? 'Disabled';
  if (mode === 'Disabled') return false;
  const refused = (why: string): StatusError =>
    new StatusError('Invalid', `volume "${m.name}" requested recursive read-only mode, but it is ${why}`);
  if (m.readOnly !== true) throw refused('not read-only');
  if ((m.mountPropagation ?? 'None') !== 'None')
    throw refused(`not compatible with propagation "${m.mountPropagation}"`);
  if (mode === 'IfPossible') return isSupported;
  if (mode !== 'Enabled') throw new StatusError('Invalid', `unknown recursive read-only mode "${mode}"`);
  if (!isSupported) throw refused('not supported by the runtime');
  return true;
}

/** What a container's status says of its mounts. */
export function volumeMountStatuses(
  mounts: readonly DeepReadonly<VolumeMount>[],
  isSupported: boolean,
): VolumeMountStatus[] {
  return mounts.map((m) => {
    const mode = m.recursiveReadOnly ?? 'Disabled';
    const isRecursive = mode === 'Enabled' || (mode === 'IfPossible' && isSupported);
    const status = { name: m.name, mountPath: m.mountPath };
    if (m.readOnly !== true) return status;
    return { ...status, readOnly: true, recursiveReadOnly: isRecursive ? 'Enabled' : 'Disabled' };
  });
}
