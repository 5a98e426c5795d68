/** Kubernetes' lists (apiserver/pkg/cel/library/lists.go), cel-go's ext.Lists and ext.Sets. */
import { type Library, library, type Overload } from '../env.ts';
import { NO_OVERLOAD } from '../eval/access.ts';
import type { Meter } from '../regex/regex.ts';
import { compare, equal, ValueSet } from '../values/equality.ts';
import { Duration } from '../values/time.ts';
import { ArrayList, CelError, isFailure, ListValue, type Result, Uint, type Value } from '../values/value.ts';
import { any, fn1, fn2, fn3, int, list } from './define.ts';
import { add } from './operators.ts';

const COMPARABLE = ['int', 'uint', 'double', 'bool', 'duration', 'timestamp', 'string', 'bytes'] as const;
const ZEROS: Readonly<Record<string, Value>> = { int: 0n, uint: new Uint(0n), double: 0, duration: new Duration(0n) };

function isSorted(l: ListValue): Result {
  let previous: Value | undefined;
  for (const v of l) {
    const order = previous === undefined ? -1 : compare(previous, v);
    if (order === undefined) return NO_OVERLOAD;
    if (order > 0) return false;
    previous = v;
  }
  return true;
}

function sum(zero: Value): (l: ListValue) => Result {
  return (l) => {
    let total = zero;
    for (const v of l) {
      const next = add(total, v);
      if (isFailure(next)) return next;
      total = next;
    }
    return total;
  };
}

/** The first of the least (-1) or greatest (1) elements. */
function extreme(name: 'min' | 'max', sign: -1 | 1): (l: ListValue) => Result {
  return (l) => {
    let best: Value | undefined;
    for (const v of l) {
      const order = best === undefined ? sign : compare(v, best);
      if (order === undefined) return NO_OVERLOAD;
      if (Math.sign(order) === sign) best = v;
    }
    return best === undefined ? new CelError(`${name} called on empty list`) : best;
  };
}

function indexOf(l: ListValue, item: Value, meter: Meter): Result {
  let i = 0n;
  for (const v of l) {
    if (equal(v, item, meter)) return i;
    i++;
  }
  return -1n;
}

function lastIndexOf(l: ListValue, item: Value, meter: Meter): Result {
  for (let i = l.length - 1; i >= 0; i--) if (equal(l.at(i), item, meter)) return BigInt(i);
  return -1n;
}

const each = (make: (t: string) => Overload): readonly Overload[] => COMPARABLE.map(make);

export const KUBERNETES_LISTS: Library = library('kubernetes.lists', {
  isSorted: each((t) => fn1(`list_${t}_is_sorted_bool`, `list(${t}).() -> bool`, list, isSorted)),
  sum: Object.entries(ZEROS).map(([t, zero]) => fn1(`list_${t}_sum_${t}`, `list(${t}).() -> ${t}`, list, sum(zero))),
  min: each((t) => fn1(`list_${t}_min_${t}`, `list(${t}).() -> ${t}`, list, extreme('min', -1))),
  max: each((t) => fn1(`list_${t}_max_${t}`, `list(${t}).() -> ${t}`, list, extreme('max', 1))),
  indexOf: [fn2('list_a_index_of_int', 'list(A).(A) -> int', [list, any], indexOf)],
  lastIndexOf: [fn2('list_a_last_index_of_int', 'list(A).(A) -> int', [list, any], lastIndexOf)],
});

function slice(l: ListValue, start: bigint, end: bigint): Result {
  const call = `cannot slice(${start}, ${end})`;
  if (start < 0n || end < 0n) return new CelError(`${call}, negative indexes not supported`);
  if (start > end) return new CelError(`${call}, start index must be less than or equal to end index`);
  if (end > BigInt(l.length)) return new CelError(`${call}, list is length ${l.length}`);
  const items: Value[] = [];
  for (let i = Number(start); i < Number(end); i++) items.push(l.at(i));
  return new ArrayList(items);
}

const FLATTENED_MAX = 1_000_000;

function flatten(l: ListValue, depth: bigint, meter: Meter): Result {
  if (depth < 0n) return new CelError('level must be non-negative');
  const items: Value[] = [];
  const visit = (from: ListValue, left: bigint): boolean => {
    for (const v of from) {
      meter.work(1);
      if (v instanceof ListValue && left > 0n) {
        if (!visit(v, left - 1n)) return false;
      } else if (items.push(v) > FLATTENED_MAX) return false;
    }
    return true;
  };
  return visit(l, depth)
    ? new ArrayList(items)
    : new CelError(`flatten would give more than ${FLATTENED_MAX} elements`);
}

function distinct(l: ListValue, meter: Meter): Result {
  const items: Value[] = [];
  for (const v of l) if (!items.some((i) => equal(i, v, meter))) items.push(v);
  return new ArrayList(items);
}

/** Stable; `keys` are compared and `l` is put in their order. */
function sortBy(l: ListValue, keys: ListValue): Result {
  if (l.length !== keys.length)
    return new CelError(
      `@sortByAssociatedKeys() expected a list of the same size as the associated keys list, but got ${l.length} and ${keys.length} elements respectively`,
    );
  const rows = [...l].map((value, i) => ({ value, key: keys.at(i) }));
  for (const { key } of rows) {
    const first = rows[0]?.key ?? null;
    if (compare(first, key) === undefined || typeof first !== typeof key)
      return new CelError(
        compare(key, key) === undefined ? 'list elements must be comparable' : 'list elements must have the same type',
      );
  }
  rows.sort((a, b) => compare(a.key, b.key) ?? 0);
  return new ArrayList(rows.map((r) => r.value));
}

const RANGE_MAX = 100_000n;

function range(n: bigint): Result {
  if (n > RANGE_MAX) return new CelError(`lists.range() of more than ${RANGE_MAX} elements`);
  return new ArrayList(Array.from({ length: Math.max(0, Number(n)) }, (_, i) => BigInt(i)));
}

export const EXT_LISTS: Library = library('cel.lib.ext.lists', {
  slice: [fn3('list_slice', 'list(A).(int, int) -> list(A)', [list, int, int], slice)],
  flatten: [
    fn1('list_flatten', 'list(list(A)).() -> list(A)', list, (l, meter) => flatten(l, 1n, meter)),
    fn2('list_flatten_int', 'list(dyn).(int) -> list(dyn)', [list, int], flatten),
  ],
  distinct: [fn1('list_distinct', 'list(A).() -> list(A)', list, distinct)],
  reverse: [fn1('list_reverse', 'list(A).() -> list(A)', list, (l) => new ArrayList([...l].reverse()))],
  'lists.range': [fn1('lists_range', 'int -> list(int)', int, range)],
  sort: each((t) => fn1(`list_${t}_sort`, `list(${t}).() -> list(${t})`, list, (l) => sortBy(l, l))),
  '@sortByAssociatedKeys': each((t) =>
    fn2(`list_${t}_sortByAssociatedKeys`, `list(A).(list(${t})) -> list(A)`, [list, list], sortBy),
  ),
});

function containsAll(a: ListValue, b: ListValue): boolean {
  const set = new ValueSet(a);
  for (const v of b) if (!set.has(v)) return false;
  return true;
}

function intersects(a: ListValue, b: ListValue): boolean {
  const set = new ValueSet(a);
  for (const v of b) if (set.has(v)) return true;
  return false;
}

export const SETS: Library = library('cel.lib.ext.sets', {
  'sets.contains': [fn2('list_sets_contains_list', 'list(A), list(A) -> bool', [list, list], containsAll)],
  'sets.equivalent': [
    fn2(
      'list_sets_equivalent_list',
      'list(A), list(A) -> bool',
      [list, list],
      (a, b) => containsAll(a, b) && containsAll(b, a),
    ),
  ],
  'sets.intersects': [fn2('list_sets_intersects_list', 'list(A), list(A) -> bool', [list, list], intersects)],
});
