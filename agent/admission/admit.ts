/**
 * Whether this node takes a pod that was bound to it, asked once, before anything is made for it. A pod that is refused fails
 * for good: its controller makes another, which may land elsewhere.
 * Source: kubernetes pkg/kubelet/lifecycle (PodAdmitHandler), pkg/kubelet/kubelet.go (rejectPod).
 */
import { release } from 'node:os';
import type { PodFailure, PodObject } from '../pods/model.ts';
import { appArmorRefusal } from '../runtime/isolation/apparmor.ts';
import type { IsolationSettings } from '../runtime/isolation/settings.ts';
import { sysctlRefusal } from './sysctls.ts';

/** undefined: it may run. One that has run before is not asked again. */
export function refusalOf(pod: PodObject, isolation: IsolationSettings): PodFailure | undefined {
  if ((pod.status?.phase ?? 'Pending') !== 'Pending' || pod.metadata.deletionTimestamp !== undefined) return undefined;
  const sysctl = sysctlRefusal(pod, isolation.allowedUnsafeSysctls, release());
  if (sysctl !== undefined) return rejected('SysctlForbidden', sysctl);
  const appArmor = appArmorRefusal(pod, isolation.host);
  return appArmor === undefined ? undefined : rejected('AppArmor', appArmor);
}

function rejected(reason: string, message: string): PodFailure {
  return { reason, message, isRejection: true };
}
