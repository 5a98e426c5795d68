/** Ranges of sizes and costs that saturate at the largest uint64 (cel-go checker/cost.go). */

/** The largest uint64, rounded to a double: the estimate for "no bound known". */
export const UNBOUNDED = 2 ** 64;

/** Both ends are included. */
export interface Range {
  readonly min: number;
  readonly max: number;
}

export const fixed = (n: number): Range => ({ min: n, max: n });
export const UNKNOWN_SIZE: Range = { min: 0, max: UNBOUNDED };

const bounded = (n: number): number => Math.min(n, UNBOUNDED);

export function sum(...ranges: readonly Range[]): Range {
  let [min, max] = [0, 0];
  for (const r of ranges) [min, max] = [min + r.min, max + r.max];
  return { min: bounded(min), max: bounded(max) };
}

export function product(a: Range, b: Range): Range {
  return { min: bounded(a.min * b.min), max: bounded(a.max * b.max) };
}

export function scaled(a: Range, factor: number): Range {
  return { min: bounded(Math.ceil(a.min * factor)), max: bounded(Math.ceil(a.max * factor)) };
}

export function union(a: Range, b: Range): Range {
  return { min: Math.min(a.min, b.min), max: Math.max(a.max, b.max) };
}
