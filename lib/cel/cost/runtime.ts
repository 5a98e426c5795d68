/**
 * What a call costs at run time (cel-go interpreter/runtimecost.go; Kubernetes' own functions: apiserver/pkg/cel/library/cost.go
 * CallCost). One unit is about 50 ns; a traversal of a string costs a tenth of its length.
 */
import { Format } from '../values/format.ts';
import { Cidr, Ip } from '../values/ip.ts';
import { codePoints } from '../values/text.ts';
import {
  isFailure,
  ListValue,
  MapValue,
  ObjectValue,
  OptionalValue,
  type Result,
  type Value,
} from '../values/value.ts';

export const STRING_FACTOR = 0.1;
export const REGEX_FACTOR = 0.25;

export interface VariableCost {
  readonly of: (args: readonly Value[]) => number;
  /** For `join` and the like: charged after the call. */
  readonly needsResult?: (result: Result) => number;
}
export type CallCost = number | VariableCost;

/** Length of what has one, else 1. */
export function actualSize(v: Value | undefined): number {
  if (typeof v === 'string') return codePoints(v);
  if (v instanceof Uint8Array || v instanceof ListValue) return v.length;
  if (v instanceof MapValue) return v.size;
  if (v instanceof OptionalValue && v.value !== undefined) return actualSize(v.value);
  if (v instanceof Ip || v instanceof Cidr) return v.byteLength;
  return 1;
}

const byArguments = (of: (args: readonly Value[]) => number): VariableCost => ({ of });
const traversal = (factor: number): VariableCost => byArguments(([a]) => Math.ceil(actualSize(a) * factor));
const regexCost = (text: Value | undefined, regexSize: number): number =>
  Math.ceil((1 + actualSize(text)) * STRING_FACTOR) * Math.ceil(regexSize * REGEX_FACTOR);

const CHECK_COST = 350_000;
const FACTOR = STRING_FACTOR;

/** A call that makes a list. */
const made = (cost: number): number => 11 + Math.floor(cost);
const bySize: VariableCost = { of: () => 0, needsResult: (r) => made(isFailure(r) ? 0 : actualSize(r)) };

const BY_FUNCTION: ReadonlyMap<string, CallCost> = new Map<string, CallCost>([
  ['check', CHECK_COST],
  ...['fieldSelector', 'labelSelector'].map(
    (n) =>
      [
        n,
        byArguments(([, s]) => {
          const size = actualSize(s);
          return 10 + Math.ceil(size * FACTOR) + Math.ceil(Math.ceil(size * 0.5) * 50);
        }),
      ] as const,
  ),
  ...['isSorted', 'sum', 'max', 'min', 'indexOf', 'lastIndexOf'].map(
    (n) => [n, byArguments(([a]) => traversalCost(a ?? null))] as const,
  ),
  ...[
    'url',
    'lowerAscii',
    'upperAscii',
    'substring',
    'trim',
    'jsonpatch.escapeKey',
    'cidr',
    'isIP',
    'isCIDR',
    'quantity',
    'isQuantity',
    'semver',
    'isSemver',
  ].map((n) => [n, traversal(FACTOR)] as const),
  ...['replace', 'split', 'ip.isCanonical'].map((n) => [n, traversal(2 * FACTOR)] as const),
  [
    'join',
    {
      of: () => 0,
      needsResult: (r) => (isFailure(r) ? 1 : Math.ceil(actualSize(r) * 2 * FACTOR)),
    },
  ],
  ...['find', 'findAll'].map((n) => [n, byArguments(([text, regex]) => regexCost(text, actualSize(regex)))] as const),
  ...['slice', 'reverse', 'lists.range'].map((n) => [n, bySize] as const),
  ['flatten', byArguments(([list, depth]) => made(actualSize(list) * (typeof depth === 'bigint' ? Number(depth) : 1)))],
  ...['distinct', 'sort'].map((n) => [n, byArguments(([list]) => selfComparison(list))] as const),
  ['@sortByAssociatedKeys', byArguments(([, keys]) => selfComparison(keys))],
  ['validate', byArguments(([format, text]) => regexCost(text, format instanceof Format ? format.regexSizeMax : 1))],
]);

const BY_OVERLOAD: ReadonlyMap<string, CallCost> = new Map<string, CallCost>([
  ['string_to_ip', traversal(FACTOR)],
  ['cidr_ip', 1],
  ...['cidr_contains_ip_ip', 'cidr_contains_cidr', 'cidr_contains_ip_string', 'cidr_contains_cidr_string'].map(
    (id) => [id, byArguments((args) => containment(id, args))] as const,
  ),
  ...[
    'starts_with_string',
    'ends_with_string',
    'string_to_bytes',
    'bytes_to_string',
    'strings_quote',
    'string_format',
  ].map((id) => [id, traversal(FACTOR)] as const),
  ['in_list', byArguments(([, list]) => actualSize(list))],
  ...['less', 'less_equals', 'greater', 'greater_equals'].flatMap((op) =>
    ['string', 'bytes'].map((t) => [`${op}_${t}`, smaller()] as const),
  ),
  ['equals', smaller()],
  ['not_equals', smaller()],
  ['add_string', byArguments(([a, b]) => Math.ceil((actualSize(a) + actualSize(b)) * FACTOR))],
  ['add_bytes', byArguments(([a, b]) => Math.ceil((actualSize(a) + actualSize(b)) * FACTOR))],
  ['matches_string', byArguments(([text, regex]) => regexCost(text, actualSize(regex)))],
  ['matches', byArguments(([text, regex]) => regexCost(text, actualSize(regex)))],
  ['contains_string', byArguments(([a, b]) => Math.ceil(actualSize(a) * FACTOR) * Math.ceil(actualSize(b) * FACTOR))],
  ...['list_sets_contains_list', 'list_sets_equivalent_list', 'list_sets_intersects_list'].map(
    (id) =>
      [id, byArguments(([a, b]) => 1 + actualSize(a) * actualSize(b) * (id.includes('equivalent') ? 2 : 1))] as const,
  ),
]);

/** The cost of one overload: a number, or by the arguments. */
export function runtimeCost(fn: string, overloadId: string): CallCost {
  return BY_OVERLOAD.get(overloadId) ?? BY_FUNCTION.get(fn) ?? 1;
}

/** A text of at most half the other's length is the smaller one: the other need not be counted. */
function smallerSize(a: Value | undefined, b: Value | undefined): number {
  if (typeof a === 'string' && typeof b === 'string') {
    if (2 * a.length <= b.length) return actualSize(a);
    if (2 * b.length <= a.length) return actualSize(b);
  }
  return Math.min(actualSize(a), actualSize(b));
}

function smaller(): VariableCost {
  return byArguments(([a, b]) => Math.ceil(smallerSize(a, b) * FACTOR));
}

/** Every element with every other one. */
function selfComparison(list: Value | undefined): number {
  const n = actualSize(list);
  const first = list instanceof ListValue && n > 0 ? list.at(0) : null;
  const text = typeof first === 'string' || first instanceof Uint8Array;
  return made(n * n * (text ? 2 + FACTOR : 2));
}

function containment(id: string, args: readonly Value[]): number {
  const [cidr, other] = args;
  const size = actualSize(cidr);
  let cost = Math.ceil(2 * size * FACTOR);
  if (id.startsWith('cidr_contains_cidr')) cost += Math.ceil(size * FACTOR) + 1;
  return id.endsWith('_string') ? cost + Math.ceil(actualSize(other) * FACTOR) : cost;
}

/** A value as a tree: a tenth of every string, 1 for every other leaf. */
function traversalCost(v: Value): number {
  if (typeof v === 'string' || v instanceof Uint8Array) return Math.floor(v.length * FACTOR);
  let cost = 0;
  if (v instanceof ListValue) {
    for (const item of v) cost += traversalCost(item);
    return cost;
  }
  if (v instanceof MapValue) {
    for (const k of v.keys()) cost += traversalCost(k) + traversalCost(v.find(k) ?? null);
    return cost;
  }
  if (!(v instanceof ObjectValue)) return 1;
  for (const f of v.fields()) cost += traversalCost(f) + traversalCost(v.value(f) ?? null);
  return cost;
}
