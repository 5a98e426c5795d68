/** Which pods end together when the host shuts down. Pure. Source: pkg/kubelet/nodeshutdown (groupByPriority). */
import type { ShutdownPeriod } from '../resources/shutdown-settings.ts';

export interface ShutdownGroup<T> {
  readonly graceSeconds: number;
  readonly members: readonly T[];
}

/** In the order in which they end: `periods` from the lowest priority. What is below the lowest ends with it. */
export function shutdownGroups<T>(
  periods: readonly ShutdownPeriod[],
  members: readonly T[],
  priorityOf: (member: T) => number,
): readonly ShutdownGroup<T>[] {
  const indexOf = (priority: number): number =>
    Math.max(
      periods.findLastIndex((p) => p.priority <= priority),
      0,
    );
  return periods
    .map(({ graceSeconds }, i) => ({ graceSeconds, members: members.filter((m) => indexOf(priorityOf(m)) === i) }))
    .filter((g) => g.members.length > 0);
}
