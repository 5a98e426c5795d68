/**
 * Estimates for calls (cel-go checker/cost.go functionCost and ext/lists.go, ext/sets.go; Kubernetes' own functions:
 * apiserver/pkg/cel/library/cost.go EstimateCallCost). Without the cost of the arguments.
 */
import type { Node } from '../ast.ts';
import type { Type } from '../types.ts';
import { REGEX_FACTOR, STRING_FACTOR } from './runtime.ts';
import { fixed, product, type Range, scaled, sum, UNBOUNDED, UNKNOWN_SIZE, union } from './size.ts';

/** An argument as the estimator knows it; of a member call the target is the first one. */
export interface Operand {
  readonly node: Node;
  readonly type: Type;
  readonly size: Range;
  /** Size of a list's elements, for strings and bytes. */
  readonly elementSize: () => Range;
}

export interface CallEstimate {
  readonly cost: Range;
  readonly resultSize?: Range;
}

type Estimator = (args: readonly Operand[], overloadId: string) => CallEstimate;

const ONE: CallEstimate = { cost: fixed(1) };
const sizeOf = (o: Operand | undefined): Range => o?.size ?? UNKNOWN_SIZE;
const traversal =
  (factor: number): Estimator =>
  ([a]) => ({ cost: scaled(sizeOf(a), factor) });
const sameSize: Estimator = ([a]) => ({ cost: scaled(sizeOf(a), STRING_FACTOR), resultSize: sizeOf(a) });

const regex: Estimator = ([text, pattern]) => {
  const textCost = scaled(sum(sizeOf(text), fixed(1)), STRING_FACTOR);
  return { cost: product(textCost, scaled(sizeOf(pattern), REGEX_FACTOR)) };
};

const findRegex: Estimator = (args, id) => ({
  ...regex(args, id),
  resultSize: { min: 0, max: sizeOf(args[0]).max },
});

/** One per element, and for text elements their traversal. */
const perElement: Estimator = ([list]) => {
  if (list === undefined || list.type.kind !== 'list')
    return traversal(STRING_FACTOR)(list === undefined ? [] : [list], '');
  const text = list.type.element.kind === 'string' || list.type.element.kind === 'bytes';
  const each = text ? sum(fixed(1), scaled(list.elementSize(), STRING_FACTOR)) : fixed(1);
  return { cost: product(sizeOf(list), each) };
};

const selector: Estimator = ([, text]) => {
  const size = sizeOf(text);
  return { cost: sum(fixed(10), scaled(size, STRING_FACTOR), scaled(scaled(size, 0.5), 50)) };
};

const replace: Estimator = ([text, from, to]) => {
  const [s, f, t] = [sizeOf(text), sizeOf(from), sizeOf(to)];
  const most = longestReplacement(s, f, t);
  const least = shortestReplacement(s, f, t);
  return {
    cost: scaled(s, 2 * STRING_FACTOR),
    resultSize: sum(product({ min: least.count, max: most.count }, t), { min: least.kept, max: most.kept }),
  };
};

function longestReplacement(s: Range, from: Range, to: Range): { count: number; kept: number } {
  if (from.min === 0) return { count: Math.min(s.max + 1, UNBOUNDED), kept: s.max };
  if (to.max <= from.min) return { count: 0, kept: s.max };
  return { count: Math.ceil(s.max / from.min), kept: 0 };
}

function shortestReplacement(s: Range, from: Range, to: Range): { count: number; kept: number } {
  if (from.max === 0) return { count: s.min + 1, kept: s.min };
  if (from.max <= to.min) return { count: 0, kept: s.min };
  return { count: Math.ceil(s.min / from.max), kept: 0 };
}

const split: Estimator = ([text, , limit]) => {
  const s = sizeOf(text);
  const constant = limit?.node.kind === 'const' && typeof limit.node.value === 'bigint' ? limit.node.value : undefined;
  const max = constant === undefined ? s.max : constant < 0n ? UNBOUNDED : Number(constant);
  return { cost: scaled(s, 2 * STRING_FACTOR), resultSize: { min: 0, max } };
};

const join: Estimator = ([list, separator]) => {
  const count = sizeOf(list);
  let size = product(count, list?.elementSize() ?? UNKNOWN_SIZE);
  if (separator !== undefined) {
    const gaps = { min: Math.max(0, count.min - 1), max: Math.max(0, count.max - 1) };
    size = sum(size, product(sizeOf(separator), gaps));
  }
  return { cost: scaled(size, STRING_FACTOR), resultSize: size };
};

/** Octets of an address: 4 or 16. */
const ADDRESS: Range = { min: 4, max: 16 };

const containment: Estimator = ([, other], id) => {
  let cost = scaled(sum(ADDRESS, ADDRESS), STRING_FACTOR);
  if (id.startsWith('cidr_contains_cidr')) cost = sum(cost, scaled(ADDRESS, STRING_FACTOR), fixed(1));
  return { cost: id.endsWith('_string') ? sum(cost, scaled(sizeOf(other), STRING_FACTOR)) : cost };
};

const FORMAT_REGEX_SIZE = 128;
const FORMAT_NAME_SIZE = 64;
const validate: Estimator = ([, text]) => ({
  cost: scaled(scaled(sizeOf(text), STRING_FACTOR), FORMAT_REGEX_SIZE * REGEX_FACTOR),
});

/** What makes a list of `size` at `factor` each. */
function allocating(factor: number, size: Range, resultSize: Range = size): CallEstimate {
  return { cost: sum(scaled(size, factor), fixed(11)), resultSize };
}
const constantInt = (o: Operand | undefined): number | undefined =>
  o?.node.kind === 'const' && typeof o.node.value === 'bigint' ? Math.max(0, Number(o.node.value)) : undefined;

const LIST_CALLS: ReadonlyMap<string, Estimator> = new Map<string, Estimator>([
  [
    'slice',
    ([l, from, to]) => allocating(1, fixed(Math.max(0, (constantInt(to) ?? sizeOf(l).max) - (constantInt(from) ?? 0)))),
  ],
  ['flatten', ([l, depth]) => allocating(depth === undefined ? 1 : (constantInt(depth) ?? UNBOUNDED), sizeOf(l))],
  ['distinct', ([l]) => allocating(2, product(sizeOf(l), sizeOf(l)), sizeOf(l))],
  ['reverse', ([l]) => allocating(1, sizeOf(l))],
  ['lists.range', ([n]) => allocating(1, fixed(constantInt(n) ?? UNBOUNDED))],
  ['sort', ([l]) => sorting(l)],
  ['@sortByAssociatedKeys', ([, keys]) => sorting(keys)],
]);

function sorting(list: Operand | undefined): CallEstimate {
  const size = sizeOf(list);
  const text = list?.type.kind === 'list' && ['string', 'bytes'].includes(list.type.element.kind);
  return allocating(text ? 2 + STRING_FACTOR : 2, product(size, size), size);
}

const entries = <T>(names: readonly string[], value: T): (readonly [string, T])[] =>
  names.map((n) => [n, value] as const);

/** Kubernetes' estimates, by the function's name; they come before those of the language. */
const BY_FUNCTION: ReadonlyMap<string, Estimator> = new Map<string, Estimator>([
  ['check', () => ({ cost: fixed(350_000) })],
  ...entries(['fieldSelector', 'labelSelector'], selector),
  ...entries(['isSorted', 'sum', 'max', 'min', 'indexOf', 'lastIndexOf'], perElement),
  ...entries(['url', 'jsonpatch.escapeKey', 'lowerAscii', 'upperAscii', 'substring', 'trim'], sameSize),
  ['replace', replace],
  ['split', split],
  ['join', join],
  ...entries(['find', 'findAll'], findRegex),
  ...entries(['cidr', 'isIP', 'isCIDR', 'quantity', 'isQuantity', 'semver', 'isSemver'], traversal(STRING_FACTOR)),
  ['ip', (args, id) => (id === 'cidr_ip' ? ONE : traversal(STRING_FACTOR)(args, id))],
  ['ip.isCanonical', traversal(2 * STRING_FACTOR)],
  ...entries(['containsIP', 'containsCIDR'], containment),
  ['validate', validate],
  ...LIST_CALLS,
]);

/** The smaller of both sides is traversed; of scalars this is 1. */
const comparison: Estimator = ([a, b]) => {
  const max = Math.min(sizeOf(a).max, sizeOf(b).max);
  return { cost: scaled({ min: max > 0 ? 1 : 0, max }, STRING_FACTOR) };
};

const equality: Estimator = (args, id) => {
  const [a, b] = args;
  if (a?.type.kind === 'opaque' && b?.type.kind === 'opaque' && a.type.name === b.type.name) {
    if (a.type.name === 'kubernetes.NamedFormat')
      return { cost: scaled({ min: 1, max: FORMAT_NAME_SIZE }, STRING_FACTOR) };
    if (/^(?:net|kubernetes)\./.test(a.type.name) && a.type.name !== 'kubernetes.URL') return ONE;
  }
  return comparison(args, id);
};

const concatenation =
  (text: boolean): Estimator =>
  ([a, b]) => {
    const resultSize = sum(sizeOf(a), sizeOf(b));
    return { cost: text ? scaled(resultSize, STRING_FACTOR) : fixed(1), resultSize };
  };

const contains: Estimator = ([a, b]) => ({
  cost: product(scaled(sizeOf(a), STRING_FACTOR), scaled(sizeOf(b), STRING_FACTOR)),
});

const sets =
  (factor: number): Estimator =>
  ([a, b]) => ({ cost: sum(scaled(product(sizeOf(a), sizeOf(b)), factor), fixed(1)) });

const BY_OVERLOAD: ReadonlyMap<string, Estimator> = new Map<string, Estimator>([
  ['string_format', traversal(STRING_FACTOR)],
  [
    'string_to_bytes',
    ([s]) => ({
      cost: scaled(sizeOf(s), STRING_FACTOR),
      resultSize: { min: sizeOf(s).min, max: Math.min(UNBOUNDED, sizeOf(s).max * 4) },
    }),
  ],
  [
    'bytes_to_string',
    ([b]) => ({
      cost: scaled(sizeOf(b), STRING_FACTOR),
      resultSize: { min: Math.floor(sizeOf(b).min / 4), max: sizeOf(b).max },
    }),
  ],
  [
    'strings_quote',
    ([s]) => ({ cost: scaled(sizeOf(s), STRING_FACTOR), resultSize: sum(scaled(sizeOf(s), 2), fixed(2)) }),
  ],
  ...entries(['starts_with_string', 'ends_with_string'], (([, prefix]) => ({
    cost: scaled(sizeOf(prefix), STRING_FACTOR),
  })) satisfies Estimator),
  ['in_list', ([, list]) => ({ cost: sizeOf(list) })],
  ...entries(['matches', 'matches_string'], regex),
  ['contains_string', contains],
  ...entries(['equals', 'not_equals'], equality),
  ...['less', 'less_equals', 'greater', 'greater_equals'].flatMap((op) =>
    entries([`${op}_string`, `${op}_bytes`], comparison),
  ),
  ...entries(['add_string', 'add_bytes'], concatenation(true)),
  ['add_list', concatenation(false)],
  ...entries(['list_sets_contains_list', 'list_sets_intersects_list'], sets(1)),
  ['list_sets_equivalent_list', sets(2)],
]);

export function estimateCall(fn: string, overloadId: string, args: readonly Operand[]): CallEstimate {
  return (BY_OVERLOAD.get(overloadId) ?? BY_FUNCTION.get(fn) ?? (() => ONE))(args, overloadId);
}

/** An estimate that holds for each of several. */
export function either(a: CallEstimate, b: CallEstimate): CallEstimate {
  const resultSize =
    a.resultSize === undefined
      ? b.resultSize
      : b.resultSize === undefined
        ? a.resultSize
        : union(a.resultSize, b.resultSize);
  return { cost: union(a.cost, b.cost), ...(resultSize === undefined ? {} : { resultSize }) };
}
