/** Policies of jobs: when pods failed, when enough succeeded, lists of indexes. Source: pkg/apis/batch/validation/validation.go. */
import { duplicate, type FieldError, goQuote, invalid, omitted, required, tooLong, tooMany } from '../field-error.ts';
import type {
  JobSpec,
  PodFailurePolicyOnExitCodesRequirement,
  PodFailurePolicyRule,
  SuccessPolicyRule,
} from '../gen/types/batch-v1.ts';
import { parseGoInt } from '../validation/cron-schedule.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { qualifiedName } from '../validation/names.ts';

const RULES_MAX = 20;
const EXIT_CODES_MAX = 255;
const PATTERNS_MAX = 20;
const INDEXES_BYTES_MAX = 64 * 1024;
const ACTIONS = ['Count', 'FailIndex', 'FailJob', 'Ignore'];
const OPERATORS = ['In', 'NotIn'];
const STATUSES = ['False', 'True', 'Unknown'];

/** Go's %q of a list of strings. */
function quotedList(values: readonly string[]): string {
  return `[${values.map(goQuote).join(' ')}]`;
}

export function validatePodFailurePolicy(spec: JobSpec, path: string): FieldError[] {
  const errors = new Errors();
  const rules = spec.podFailurePolicy?.rules ?? [];
  if (rules.length > RULES_MAX) errors.add(tooMany(`${path}.rules`, rules.length, RULES_MAX));
  const pod = spec.template?.spec;
  const names = new Set([...(pod?.containers ?? []), ...(pod?.initContainers ?? [])].map((c) => c.name));
  eachItem(rules, `${path}.rules`, (rule, at) => errors.add(...validateFailureRule(spec, rule, names, at)));
  return errors.list;
}

function validateFailureRule(
  spec: JobSpec,
  rule: PodFailurePolicyRule,
  containers: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors = new Errors();
  if (!rule.action) errors.add(required(`${path}.action`, `valid values: ${quotedList(ACTIONS)}`));
  else if (rule.action === 'FailIndex') {
    if (spec.backoffLimitPerIndex === undefined)
      errors.add(invalid(`${path}.action`, rule.action, 'requires the backoffLimitPerIndex to be set'));
  } else errors.oneOf(`${path}.action`, rule.action, ACTIONS);
  const conditions = rule.onPodConditions ?? [];
  if (rule.onExitCodes !== undefined)
    errors.add(...validateExitCodes(rule.onExitCodes, containers, `${path}.onExitCodes`));
  if (conditions.length > PATTERNS_MAX) errors.add(tooMany(`${path}.onPodConditions`, conditions.length, PATTERNS_MAX));
  eachItem(conditions, `${path}.onPodConditions`, (pattern, at) => {
    errors.check(`${at}.type`, pattern.type, qualifiedName);
    if (!pattern.status) errors.add(required(`${at}.status`, `valid values: ${quotedList(STATUSES)}`));
    else errors.oneOf(`${at}.status`, pattern.status, STATUSES);
  });
  if (rule.onExitCodes !== undefined && conditions.length > 0)
    errors.add(omitted(path, 'specifying both OnExitCodes and OnPodConditions is not supported'));
  if (rule.onExitCodes === undefined && conditions.length === 0)
    errors.add(omitted(path, 'specifying one of OnExitCodes and OnPodConditions is required'));
  return errors.list;
}

function validateExitCodes(
  r: PodFailurePolicyOnExitCodesRequirement,
  containers: ReadonlySet<string>,
  path: string,
): FieldError[] {
  const errors = new Errors();
  if (!r.operator) errors.add(required(`${path}.operator`, `valid values: ${quotedList(OPERATORS)}`));
  else errors.oneOf(`${path}.operator`, r.operator, OPERATORS);
  if (typeof r.containerName === 'string' && !containers.has(r.containerName))
    errors.add(
      invalid(
        `${path}.containerName`,
        r.containerName,
        'must be one of the container or initContainer names in the pod template',
      ),
    );
  const values = r.values ?? [];
  if (values.length === 0) errors.add(invalid(`${path}.values`, r.values, 'at least one value is required'));
  else if (values.length > EXIT_CODES_MAX) errors.add(tooMany(`${path}.values`, values.length, EXIT_CODES_MAX));
  const seen = new Set<number>();
  let isOrdered = true;
  eachItem(values, `${path}.values`, (value, at, i) => {
    if (r.operator === 'In' && value === 0) errors.add(invalid(at, value, 'must not be 0 for the In operator'));
    if (seen.has(value)) errors.add(duplicate(at, value));
    seen.add(value);
    if (i > 0 && (values[i - 1] ?? 0) > value) isOrdered = false;
  });
  if (!isOrdered) errors.add(invalid(`${path}.values`, values, 'must be ordered'));
  return errors.list;
}

/** For indexed jobs, whose completions are given. */
export function validateSuccessPolicy(spec: JobSpec, path: string): FieldError[] {
  const errors = new Errors();
  const rules = spec.successPolicy?.rules ?? [];
  if (rules.length === 0)
    errors.add(required(`${path}.rules`, 'at least one rules must be specified when the successPolicy is specified'));
  if (rules.length > RULES_MAX) errors.add(tooMany(`${path}.rules`, rules.length, RULES_MAX));
  eachItem(rules, `${path}.rules`, (rule, at) => errors.add(...validateSuccessRule(rule, spec.completions ?? 0, at)));
  return errors.list;
}

function validateSuccessRule(rule: SuccessPolicyRule, completions: number, path: string): FieldError[] {
  const errors = new Errors();
  const { succeededCount: count, succeededIndexes: indexes } = rule;
  if (count === undefined && indexes === undefined)
    errors.add(required(path, 'at least one of succeededCount or succeededIndexes must be specified'));
  let total = 0;
  if (indexes !== undefined) {
    const at = `${path}.succeededIndexes`;
    if (Buffer.byteLength(indexes) > INDEXES_BYTES_MAX) errors.add(tooLong(at, INDEXES_BYTES_MAX));
    const parsed = parseIndexes(indexes, completions);
    if (typeof parsed === 'string') errors.add(invalid(at, indexes, `error parsing succeededIndexes: ${parsed}`));
    else total = parsed.reduce((sum, [first, last]) => sum + last - first + 1, 0);
  }
  if (count === undefined) return errors.list;
  const at = `${path}.succeededCount`;
  errors.notNegative(at, count);
  if (count > completions)
    errors.add(
      invalid(at, count, `must be less than or equal to ${completions} (the number of specified completions)`),
    );
  if (indexes !== undefined && count > total)
    errors.add(
      invalid(
        at,
        count,
        `must be less than or equal to ${total} (the number of indexes in the specified succeededIndexes field)`,
      ),
    );
  return errors.list;
}

type Interval = readonly [first: number, last: number];

/** `1,3-5,7` below `completions` in growing order; a string says what is wrong. */
export function parseIndexes(text: string, completions: number): Interval[] | string {
  const intervals: Interval[] = [];
  if (text === '') return intervals;
  for (const part of text.split(',')) {
    const interval = parseInterval(part, completions);
    if (typeof interval === 'string') return interval;
    const previous = intervals.at(-1)?.[1];
    if (previous !== undefined && previous >= interval[0])
      return `non-increasing order, previous: ${previous}, current: ${interval[0]}`;
    intervals.push(interval);
  }
  return intervals;
}

function parseInterval(text: string, completions: number): Interval | string {
  const limits = text.split('-');
  if (limits.length > 2)
    return `the fragment ${goQuote(text)} violates the requirement that an index interval can have at most two parts separated by '-'`;
  const parsed: number[] = [];
  for (const limit of limits) {
    const n = parseGoInt(limit);
    if (typeof n === 'string') return `cannot convert string to integer for index: ${goQuote(limit)}`;
    if (n >= completions) return `too large index: ${goQuote(limit)}`;
    parsed.push(n);
  }
  const [first = 0, last = first] = parsed;
  if (limits.length > 1 && first >= last) return `non-increasing order, previous: ${first}, current: ${last}`;
  return [first, last];
}

/** The lowest index in both lists; undefined = none, or a list that cannot be read. */
export function overlapOf(a: readonly Interval[], b: readonly Interval[]): number | undefined {
  let [i, j] = [0, 0];
  for (;;) {
    const [x, y] = [a[i], b[j]];
    if (x === undefined || y === undefined) return undefined;
    if (x[0] <= y[1] && y[0] <= x[1]) return Math.max(x[0], y[0]);
    if (x[0] <= y[0]) i++;
    else j++;
  }
}
