/**
 * Many similar calls in batches of 1, 2, 4, ...: when every call would fail for the same reason (a quota, a broken
 * template), only few are tried. Source: kubernetes pkg/controller/replicaset/replica_set.go slowStartBatch.
 */

/** Calls `fn(index)` for [0, count) until a batch has a failure. Throws the first failure after its batch has ended. */
export async function slowStart(
  count: number,
  fn: (index: number) => Promise<void>,
  o: { firstBatch?: number; batchMax?: number } = {},
): Promise<void> {
  let size = Math.min(o.firstBatch ?? 1, count);
  for (let from = 0; from < count; ) {
    const start = from;
    const results = await Promise.allSettled(Array.from({ length: size }, (_, i) => fn(start + i)));
    const failure = results.find((r) => r.status === 'rejected');
    if (failure) throw failure.reason;
    from += size;
    size = Math.min(2 * size, o.batchMax ?? 64, count - from);
  }
}

/** Calls `fn` for every item, at most `width` side by side; all are tried, then the first failure is thrown. */
export async function forEachLimited<T>(
  items: readonly T[],
  width: number,
  fn: (item: T) => Promise<void>,
): Promise<void> {
  const failures: unknown[] = [];
  const waiting = items.values();
  const lane = async (): Promise<void> => {
    for (const item of waiting) {
      try {
        await fn(item);
      } catch (e) {
        failures.push(e);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, lane));
  if (failures.length > 0) throw failures[0];
}
