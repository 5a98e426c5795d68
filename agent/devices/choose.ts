/**
 * Which devices a container gets. Pure. Source: kubernetes pkg/kubelet/cm/devicemanager/manager.go (devicesToAllocate).
 */
import { type DeepReadonly, parseQuantity, quantityToNumber } from '#lib/api';
import { StatusError } from '#lib/base';
import { type ContainerRole, type ContainerSpec, containersOf, type PodObject } from '../pods/model.ts';

export interface DeviceNeed {
  readonly container: string;
  readonly role: ContainerRole;
  readonly resource: string;
  readonly count: number;
}

/** What the containers of a pod ask for of these resources, in the order they start. */
export function deviceNeeds(pod: PodObject, isDevice: (resource: string) => boolean): readonly DeviceNeed[] {
  return containersOf(pod)
    .filter((x) => x.role !== 'ephemeral')
    .flatMap(({ role, spec }) =>
      Object.entries(limitsOf(spec))
        .filter(([resource]) => isDevice(resource))
        .map(([resource, text]) => ({
          container: spec.name,
          role,
          resource,
          count: quantityToNumber(parseQuantity(text)),
        }))
        .filter((need) => need.count > 0),
    );
}

function limitsOf(spec: ContainerSpec): DeepReadonly<Record<string, string>> {
  return spec.resources?.limits ?? {};
}

export interface Choice {
  readonly need: DeviceNeed;
  readonly healthy: ReadonlySet<string>;
  /** Of containers that live, of any pod. */
  readonly taken: ReadonlySet<string>;
  /** Of init containers of the same pod, which have ended by then. */
  readonly reusable: readonly string[];
}

/** Reusable ones first; what else is to be had, of which so many are to be added. Throws in the kubelet's words. */
export function available(c: Choice): {
  readonly kept: readonly string[];
  readonly free: readonly string[];
  readonly missing: number;
} {
  const { resource, count } = c.need;
  if (c.healthy.size === 0)
    throw new StatusError('Conflict', `no healthy devices present; cannot allocate unhealthy devices ${resource}`);
  const kept = c.reusable.filter((id) => c.healthy.has(id)).slice(0, count);
  const free = [...c.healthy].filter((id) => !c.taken.has(id) && !kept.includes(id)).sort();
  const missing = count - kept.length;
  if (free.length < missing)
    throw new StatusError(
      'Conflict',
      `requested number of devices unavailable for ${resource}. Requested: ${missing}, Available: ${free.length}`,
    );
  return { kept, free, missing };
}

/** The plugin's wishes count as far as they can be had. */
export function chosen(
  { kept, free, missing }: ReturnType<typeof available>,
  preferred: readonly string[],
): readonly string[] {
  const wished = [...new Set(preferred)].filter((id) => free.includes(id)).slice(0, missing);
  const rest = free.filter((id) => !wished.includes(id)).slice(0, missing - wished.length);
  return [...kept, ...wished, ...rest];
}
