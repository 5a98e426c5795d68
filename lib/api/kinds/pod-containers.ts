/** Whether two specs have the same containers, by name and order: what a resize must leave as it is. */
import type { PodSpec } from '../gen/types/core-v1.ts';

export function areSameContainers(a: PodSpec, b: PodSpec): boolean {
  return (['containers', 'initContainers'] as const).every((list) => {
    const [x, y] = [a[list] ?? [], b[list] ?? []];
    return x.length === y.length && x.every((c, i) => c.name === y[i]?.name);
  });
}
