/**
 * What is wrong with a cron schedule or a time zone's name, in the words of the parsers that Kubernetes uses.
 * Source: github.com/robfig/cron v3 ParseStandard, Go's strconv and time packages, pkg/apis/batch/validation.
 */
import { goQuote } from '../field-error.ts';

interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly names: readonly string[];
}

const MONTHS = ['', 'jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];

/** minute, hour, day of month, month, day of week */
const FIELDS: readonly Bounds[] = [
  { min: 0, max: 59, names: [] },
  { min: 0, max: 23, names: [] },
  { min: 1, max: 31, names: [] },
  { min: 1, max: 12, names: MONTHS },
  { min: 0, max: 6, names: DAYS },
];

const DESCRIPTORS = ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'];

/** undefined = a schedule of five fields or a descriptor. */
export function cronScheduleError(text: string): string | undefined {
  if (text === '') return 'empty spec string';
  let spec = text;
  if (spec.startsWith('TZ=') || spec.startsWith('CRON_TZ=')) {
    const space = spec.indexOf(' ');
    if (space < 0) return 'invalid schedule format: runtime error: slice bounds out of range [:-1]';
    const zone = spec.slice(spec.indexOf('=') + 1, space);
    if (zone !== '' && !isTimeZone(zone)) return `provided bad location ${zone}: unknown time zone ${zone}`;
    spec = spec.slice(space).trim();
  }
  if (spec.startsWith('@')) return descriptorError(spec);
  const fields = spec.split(/\s+/).filter((f) => f !== '');
  if (fields.length !== FIELDS.length)
    return `expected exactly ${FIELDS.length} fields, found ${fields.length}: [${fields.join(' ')}]`;
  for (const [i, bounds] of FIELDS.entries())
    for (const range of (fields[i] ?? '').split(',').filter((r) => r !== '')) {
      const error = rangeError(range, bounds);
      if (error !== undefined) return error;
    }
  return undefined;
}

function descriptorError(text: string): string | undefined {
  if (DESCRIPTORS.includes(text)) return undefined;
  if (!text.startsWith('@every ')) return `unrecognized descriptor: ${text}`;
  const error = durationError(text.slice('@every '.length));
  return error === undefined ? undefined : `failed to parse duration ${text}: ${error}`;
}

/** `n`, `n-m`, `*`, each with `/step`. */
function rangeError(text: string, bounds: Bounds): string | undefined {
  const [range = '', stepText, ...moreSteps] = text.split('/');
  const [low = '', high, ...moreBounds] = range.split('-');
  let start = bounds.min;
  let end = bounds.max;
  if (low !== '*' && low !== '?') {
    const first = numberOf(low, bounds.names);
    if (typeof first === 'string') return first;
    start = first;
    end = first;
    if (moreBounds.length > 0) return `too many hyphens: ${text}`;
    if (high !== undefined) {
      const last = numberOf(high, bounds.names);
      if (typeof last === 'string') return last;
      end = last;
    }
  }
  let step = 1;
  if (moreSteps.length > 0) return `too many slashes: ${text}`;
  if (stepText !== undefined) {
    const given = numberOf(stepText, []);
    if (typeof given === 'string') return given;
    step = given;
    if (high === undefined) end = bounds.max;
  }
  if (start < bounds.min) return `beginning of range (${start}) below minimum (${bounds.min}): ${text}`;
  if (end > bounds.max) return `end of range (${end}) above maximum (${bounds.max}): ${text}`;
  if (start > end) return `beginning of range (${start}) beyond end of range (${end}): ${text}`;
  return step === 0 ? `step of range should be a positive number: ${text}` : undefined;
}

function numberOf(text: string, names: readonly string[]): number | string {
  const named = text === '' ? -1 : names.indexOf(text.toLowerCase());
  if (named >= 0) return named;
  const n = parseGoInt(text);
  if (typeof n === 'string') return `failed to parse int from ${text}: strconv.Atoi: parsing ${goQuote(text)}: ${n}`;
  return n < 0 ? `negative number (${n}) not allowed: ${text}` : n;
}

/** strconv.Atoi: a number, or what is wrong. */
export function parseGoInt(text: string): number | string {
  if (!/^[+-]?\d+$/.test(text)) return 'invalid syntax';
  const n = Number(text);
  return Number.isSafeInteger(n) ? n : 'value out of range';
}

const UNITS = ['ns', 'us', 'µs', 'μs', 'ms', 's', 'm', 'h'];

/** time.ParseDuration; undefined = a duration. */
export function durationError(text: string): string | undefined {
  const quoted = goQuote(text);
  let rest = text.replace(/^[+-]/, '');
  if (rest === '0') return undefined;
  if (rest === '') return `time: invalid duration ${quoted}`;
  while (rest !== '') {
    const number = /^(\d+(\.\d*)?|\.\d+)/.exec(rest)?.[0];
    if (number === undefined) return `time: invalid duration ${quoted}`;
    rest = rest.slice(number.length);
    const unit = /^[^\d.]*/.exec(rest)?.[0] ?? '';
    if (unit === '') return `time: missing unit in duration ${quoted}`;
    if (!UNITS.includes(unit)) return `time: unknown unit ${goQuote(unit)} in duration ${quoted}`;
    rest = rest.slice(unit.length);
  }
  return undefined;
}

/** A name of the IANA data base; offsets are none. */
function isTimeZone(name: string): boolean {
  if (name === 'Local') return true;
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    // RangeError: that is the answer.
    return false;
  }
}

const ZONE_PART = /^[A-Za-z.\-_0-9+]{1,14}$/;

/** [] = a zone that a CronJob may name. */
export function timeZone(name: string): string[] {
  if (name === '') return ['timeZone must be nil or non-empty string'];
  const isPart = (p: string): boolean => p !== '.' && p !== '..' && !p.startsWith('-') && ZONE_PART.test(p);
  if (!name.split('/').every(isPart)) return [`unknown time zone ${name}`];
  const errors: string[] = [];
  if (name.toLowerCase() === 'local')
    errors.push('timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones');
  if (!isTimeZone(name)) errors.push(`unknown time zone ${name}`);
  return errors;
}
