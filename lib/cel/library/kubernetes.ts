/** Kubernetes' regex, quantity, semver, format and jsonpatch functions (apiserver/pkg/cel/library). */
import { type Library, library, type Overload } from '../env.ts';
import type { Meter, Regex } from '../regex/regex.ts';
import { opaque } from '../types.ts';
import { FORMAT_TYPE, Format } from '../values/format.ts';
import { parseQuantity, QUANTITY_TYPE, Quantity } from '../values/quantity.ts';
import { parseSemver, SEMVER_TYPE, Semver } from '../values/semver.ts';
import { ArrayList, CelError, NONE, OptionalValue, type Result, type Value } from '../values/value.ts';
import { bool, fn0, fn1, fn2, fn3, instance, int, str } from './define.ts';
import { FORMATS } from './formats.ts';
import { isProblem, valueOr } from './network.ts';
import { regexOf } from './standard.ts';

function withRegex(pattern: string, meter: Meter, use: (r: Regex) => Result): Result {
  const regex = regexOf(pattern, meter);
  return 'message' in regex ? new CelError(`Illegal regex: ${regex.message}`) : use(regex);
}

/** As Go's FindAllString: an empty match right after a match does not count. */
function findAll(text: string, pattern: string, limit: bigint, meter: Meter): Result {
  return withRegex(pattern, meter, (regex) => {
    const found: Value[] = [];
    let [at, previousEnd] = [0, -1];
    while (at <= text.length && (limit < 0n || BigInt(found.length) < limit)) {
      const m = regex.find(text, at, meter);
      if (m === undefined) break;
      if (m.end > m.start || m.start !== previousEnd) found.push(text.slice(m.start, m.end));
      previousEnd = m.end;
      if (m.end > at) at = m.end;
      else at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
    }
    return new ArrayList(found);
  });
}

export const REGEX: Library = library('kubernetes.regex', {
  find: [
    fn2('string_find_string', 'string.(string) -> string', [str, str], (text, pattern, meter) =>
      withRegex(pattern, meter, (regex) => {
        const m = regex.find(text, 0, meter);
        return m === undefined ? '' : text.slice(m.start, m.end);
      }),
    ),
  ],
  findAll: [
    fn2('string_find_all_string', 'string.(string) -> list(string)', [str, str], (text, pattern, meter) =>
      findAll(text, pattern, -1n, meter),
    ),
    fn3('string_find_all_string_int', 'string.(string, int) -> list(string)', [str, str, int], findAll),
  ],
});

const quantity = instance(Quantity);
const Q = QUANTITY_TYPE;
const order = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

export const QUANTITY: Library = library(
  'kubernetes.quantity',
  {
    quantity: [fn1('string_to_quantity', `string -> ${Q}`, str, (s) => valueOr(parseQuantity(s)))],
    isQuantity: [fn1('is_quantity_string', 'string -> bool', str, (s) => !isProblem(parseQuantity(s)))],
    sign: [
      fn1('quantity_sign', `${Q} -> int`, quantity, (q) => BigInt(order(q.nano, 0n))),
      fn1('quantity_sign_member', `${Q}.() -> int`, quantity, (q) => BigInt(order(q.nano, 0n))),
    ],
    isGreaterThan: [
      fn2('quantity_is_greater_than', `${Q}.(${Q}) -> bool`, [quantity, quantity], (a, b) => a.nano > b.nano),
    ],
    isLessThan: [fn2('quantity_is_less_than', `${Q}.(${Q}) -> bool`, [quantity, quantity], (a, b) => a.nano < b.nano)],
    compareTo: [
      fn2('quantity_compare_to', `${Q}.(${Q}) -> int`, [quantity, quantity], (a, b) => BigInt(order(a.nano, b.nano))),
    ],
    asApproximateFloat: [fn1('quantity_get_float', `${Q}.() -> double`, quantity, (q) => q.approximate())],
    asInteger: [
      fn1('quantity_get_int', `${Q}.() -> int`, quantity, (q) =>
        q.isInteger() ? q.integer() : new CelError('cannot convert value to integer'),
      ),
    ],
    isInteger: [fn1('quantity_is_integer', `${Q}.() -> bool`, quantity, (q) => q.isInteger())],
    add: [
      fn2('quantity_add', `${Q}.(${Q}) -> ${Q}`, [quantity, quantity], (a, b) => a.plus(b)),
      fn2('quantity_add_int', `${Q}.(int) -> ${Q}`, [quantity, int], (a, b) => a.plus(Quantity.ofInteger(b))),
    ],
    sub: [
      fn2('quantity_sub', `${Q}.(${Q}) -> ${Q}`, [quantity, quantity], (a, b) => a.minus(b)),
      fn2('quantity_sub_int', `${Q}.(int) -> ${Q}`, [quantity, int], (a, b) => a.minus(Quantity.ofInteger(b))),
    ],
  },
  { [Q]: opaque(Q) },
);

const semver = instance(Semver);
const S = SEMVER_TYPE;

export const SEMVER: Library = library(
  'kubernetes.semverlib',
  {
    semver: [
      fn1('string_to_semver', `string -> ${S}`, str, (s) => valueOr(parseSemver(s, false))),
      fn2('string_bool_to_semver', `string, bool -> ${S}`, [str, bool], (s, n) => valueOr(parseSemver(s, n))),
    ],
    isSemver: [
      fn1('is_semver_string', 'string -> bool', str, (s) => !isProblem(parseSemver(s, false))),
      fn2('is_semver_string_bool', 'string, bool -> bool', [str, bool], (s, n) => !isProblem(parseSemver(s, n))),
    ],
    isGreaterThan: [fn2('semver_is_greater_than', `${S}.(${S}) -> bool`, [semver, semver], (a, b) => a.compare(b) > 0)],
    isLessThan: [fn2('semver_is_less_than', `${S}.(${S}) -> bool`, [semver, semver], (a, b) => a.compare(b) < 0)],
    compareTo: [fn2('semver_compare_to', `${S}.(${S}) -> int`, [semver, semver], (a, b) => BigInt(a.compare(b)))],
    major: [fn1('semver_major', `${S}.() -> int`, semver, (v) => v.major)],
    minor: [fn1('semver_minor', `${S}.() -> int`, semver, (v) => v.minor)],
    patch: [fn1('semver_patch', `${S}.() -> int`, semver, (v) => v.patch)],
  },
  { [S]: opaque(S) },
);

const format = instance(Format);

export const FORMAT: Library = library(
  'kubernetes.format',
  {
    ...Object.fromEntries(
      [...FORMATS].map(([name, f]): [string, readonly Overload[]] => [
        `format.${name}`,
        [fn0(`format.${name}`, ` -> ${FORMAT_TYPE}`, () => f)],
      ]),
    ),
    'format.named': [
      fn1('format-named', `string -> optional(${FORMAT_TYPE})`, str, (name) => {
        const f = FORMATS.get(name);
        return f === undefined ? NONE : new OptionalValue(f);
      }),
    ],
    validate: [
      fn2('format-validate', `${FORMAT_TYPE}.(string) -> optional(list(string))`, [format, str], (f, text) => {
        const violations = f.violations(text);
        return violations.length === 0 ? NONE : new OptionalValue(new ArrayList([...violations]));
      }),
    ],
  },
  { [FORMAT_TYPE]: opaque(FORMAT_TYPE) },
);

/** Only for mutating admission policies. */
export const JSON_PATCH: Library = library('kubernetes.jsonpatch', {
  'jsonpatch.escapeKey': [
    fn1('string_jsonpatch_escapeKey_string', 'string -> string', str, (s) =>
      s.replaceAll('~', '~0').replaceAll('/', '~1'),
    ),
  ],
});
