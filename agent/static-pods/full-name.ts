import type { PodObject } from '../pods/model.ts';

/** What a static pod and its mirror have in common. */
export function fullName(pod: PodObject): string {
  return `${pod.metadata.namespace ?? 'default'}/${pod.metadata.name}`;
}
