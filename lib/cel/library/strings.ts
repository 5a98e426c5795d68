/** cel-go's ext.Strings in the version Kubernetes takes (2), and `reverse` of version 3 apart. Indices count code points. */
import { type Library, library, overload } from '../env.ts';
import type { Meter } from '../regex/regex.ts';
import { codePoints, unitIndex } from '../values/text.ts';
import { ArrayList, CelError, type ListValue, type Result, type Value } from '../values/value.ts';
import { fn1, fn2, fn3, int, list, str } from './define.ts';
import { CHARACTERS_PER_STEP } from './standard.ts';
import { formatText } from './string-format.ts';

const outOfRange = (i: bigint): CelError => new CelError(`index out of range: ${i}`);

function charAt(s: string, i: bigint, meter: Meter): Result {
  meter.work(s.length / CHARACTERS_PER_STEP);
  const length = codePoints(s);
  if (i < 0n || i > BigInt(length)) return outOfRange(i);
  if (i === BigInt(length)) return '';
  return String.fromCodePoint(s.codePointAt(unitIndex(s, Number(i))) ?? 0);
}

function indexOf(s: string, sub: string, offset: bigint): Result {
  if (sub === '') return offset;
  if (offset < 0n) return outOfRange(offset);
  if (offset >= BigInt(codePoints(s))) return -1n;
  const at = s.indexOf(sub, unitIndex(s, Number(offset)));
  return at < 0 ? -1n : BigInt(codePoints(s.slice(0, at)));
}

function lastIndexOf(s: string, sub: string, offset: bigint | undefined): Result {
  const length = codePoints(s);
  if (sub === '') return offset ?? BigInt(length);
  if (offset !== undefined && offset < 0n) return outOfRange(offset);
  if (offset !== undefined && offset >= BigInt(length)) return -1n;
  const at = s.lastIndexOf(sub, offset === undefined ? s.length : unitIndex(s, Number(offset)));
  return at < 0 ? -1n : BigInt(codePoints(s.slice(0, at)));
}

function substring(s: string, start: bigint, end: bigint | undefined): Result {
  const length = BigInt(codePoints(s));
  if (end !== undefined && start > end) return new CelError(`invalid substring range. start: ${start}, end: ${end}`);
  if (start < 0n || start > length) return outOfRange(start);
  if (end !== undefined && (end < 0n || end > length)) return outOfRange(end);
  return s.slice(unitIndex(s, Number(start)), end === undefined ? s.length : unitIndex(s, Number(end)));
}

/** A replacement may be longer than what it replaces; the result is bounded by what one evaluation may hold. */
const RESULT_LENGTH_MAX = 16 * 1024 * 1024;

/** Go's strings.Replace: negative limits mean all; an empty `from` matches at every code point boundary. */
function replace(s: string, from: string, to: string, limit: bigint): Result {
  const matches = from === '' ? codePoints(s) + 1 : Math.floor(s.length / from.length);
  if (
    matches * to.length > RESULT_LENGTH_MAX &&
    to.length > from.length &&
    replacedLength(s, from, to) > RESULT_LENGTH_MAX
  )
    return new CelError(`replace would give more than ${RESULT_LENGTH_MAX} characters`);
  if (limit < 0n) {
    if (from !== '') return s.replaceAll(from, () => to);
    return to + [...s].map((c) => c + to).join('');
  }
  const parts = from === '' ? ['', ...s] : s.split(from);
  const count = Number(limit > BigInt(parts.length) ? BigInt(parts.length) : limit);
  if (from === '') return parts.map((p, i) => p + (i < count ? to : '')).join('');
  const head = parts.slice(0, count + 1).join(to);
  return count + 1 >= parts.length ? head : `${head}${from}${parts.slice(count + 1).join(from)}`;
}

function replacedLength(s: string, from: string, to: string): number {
  const count = from === '' ? codePoints(s) + 1 : s.split(from).length - 1;
  return s.length + count * (to.length - from.length);
}

/** Go's strings.SplitN: 0 gives nothing, negative all, else at most that many parts. */
function split(s: string, separator: string, limit: bigint): Result {
  if (limit === 0n) return new ArrayList([]);
  const parts: string[] = separator === '' ? [...s] : s.split(separator);
  if (limit < 0n || BigInt(parts.length) <= limit) return new ArrayList(parts);
  const n = Number(limit);
  return new ArrayList([...parts.slice(0, n - 1), parts.slice(n - 1).join(separator)]);
}

function join(l: ListValue, separator: string): Result {
  const parts: string[] = [];
  let length = 0;
  for (const v of l) {
    if (typeof v !== 'string') return new CelError(`join: invalid input: ${describe(v)}`);
    length += v.length + separator.length;
    if (length > RESULT_LENGTH_MAX) return new CelError(`join would give more than ${RESULT_LENGTH_MAX} characters`);
    parts.push(v);
  }
  return parts.join(separator);
}

function describe(v: Value): string {
  return typeof v === 'object' && v !== null ? v.constructor.name : String(v);
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\x07': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};

export function quote(s: string): string {
  return `"${[...s].map((c) => ESCAPES[c] ?? (/[\ud800-\udfff]/.test(c) && c.length === 1 ? '\ufffd' : c)).join('')}"`;
}

/** Go's strings.TrimSpace. By index: a pattern that ends in `$` would be quadratic in the spaces. */
function trim(s: string): string {
  let [start, end] = [0, s.length];
  while (start < end && isSpace(s[start])) start++;
  while (end > start && isSpace(s[end - 1])) end--;
  return s.slice(start, end);
}

function isSpace(c: string | undefined): boolean {
  return c !== undefined && c !== '\ufeff' && /[\s\u0085]/.test(c);
}

export const STRINGS: Library = library('cel.lib.ext.strings', {
  charAt: [fn2('string_char_at_int', 'string.(int) -> string', [str, int], charAt)],
  indexOf: [
    fn2('string_index_of_string', 'string.(string) -> int', [str, str], (s, sub) => indexOf(s, sub, 0n)),
    fn3('string_index_of_string_int', 'string.(string, int) -> int', [str, str, int], indexOf),
  ],
  lastIndexOf: [
    fn2('string_last_index_of_string', 'string.(string) -> int', [str, str], (s, sub) =>
      lastIndexOf(s, sub, undefined),
    ),
    fn3('string_last_index_of_string_int', 'string.(string, int) -> int', [str, str, int], lastIndexOf),
  ],
  lowerAscii: [
    fn1('string_lower_ascii', 'string.() -> string', str, (s) => s.replace(/[A-Z]+/g, (c) => c.toLowerCase())),
  ],
  upperAscii: [
    fn1('string_upper_ascii', 'string.() -> string', str, (s) => s.replace(/[a-z]+/g, (c) => c.toUpperCase())),
  ],
  replace: [
    fn3('string_replace_string_string', 'string.(string, string) -> string', [str, str, str], (s, from, to) =>
      replace(s, from, to, -1n),
    ),
    overload('string_replace_string_string_int', 'string.(string, string, int) -> string', ([s, from, to, limit]) =>
      replace(str(s), str(from), str(to), int(limit)),
    ),
  ],
  split: [
    fn2('string_split_string', 'string.(string) -> list(string)', [str, str], (s, sep) => split(s, sep, -1n)),
    fn3('string_split_string_int', 'string.(string, int) -> list(string)', [str, str, int], split),
  ],
  substring: [
    fn2('string_substring_int', 'string.(int) -> string', [str, int], (s, start) => substring(s, start, undefined)),
    fn3('string_substring_int_int', 'string.(int, int) -> string', [str, int, int], substring),
  ],
  trim: [fn1('string_trim', 'string.() -> string', str, trim)],
  join: [
    fn1('list_join', 'list(string).() -> string', list, (l) => join(l, '')),
    fn2('list_join_string', 'list(string).(string) -> string', [list, str], join),
  ],
  format: [fn2('string_format', 'string.(list(dyn)) -> string', [str, list], formatText)],
  'strings.quote': [fn1('strings_quote', 'string -> string', str, quote)],
});

/** Version 3, which Kubernetes does not have. */
export const STRING_REVERSE: Library = library('cel.lib.ext.strings.reverse', {
  reverse: [fn1('string_reverse', 'string.() -> string', str, (s) => [...s].reverse().join(''))],
});
