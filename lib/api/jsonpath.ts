/**
 * JSONPath as client-go evaluates it, the part that one value needs: fields (`.a.b`, `.a\.b`, `['a.b']`), indexes and slices
 * (`[0]`, `[-1:]`), all (`[*]`, `.*`), unions of names and indexes, recursive descent (`..a`), filters
 * (`[?(@.type=="Ready")]`, `[?(@.x)]`). No templates, no range: a path in a CustomResourceDefinition has none.
 *
 * Invariants: missing keys find nothing; texts and results are bounded; nothing throws.
 * Source: kubernetes.io/docs/reference/kubectl/jsonpath; k8s.io/client-go/util/jsonpath.
 */

import { type Filter, parseSteps, type Step } from './jsonpath-parse.ts';
import { getOwn, isObject } from './patch/value.ts';

/** The values found, in order. */
export type JsonPath = (value: unknown) => readonly unknown[];

/** More are not looked for. */
const RESULTS_MAX = 10_000;
/** Filters inside of descents multiply: a path ends here. */
const WORK_MAX = 100_000;

/** `text` without braces, as in CustomResourceDefinitions. */
export function parseJsonPath(text: string): { readonly path: JsonPath } | { readonly error: string } {
  const steps = parseSteps(text);
  if ('error' in steps) return steps;
  return { path: (value) => evaluate(steps, [value], { left: WORK_MAX }) };
}

/** What is left to do, in values looked at; at 0 nothing more is found. */
interface Work {
  left: number;
}

function evaluate(steps: readonly Step[], values: readonly unknown[], work: Work): readonly unknown[] {
  let found = values;
  for (const step of steps) {
    const next: unknown[] = [];
    for (const value of found) {
      if (next.length >= RESULTS_MAX || work.left <= 0) break;
      work.left--;
      for (const result of apply(step, value, work)) next.push(result);
    }
    found = next.slice(0, RESULTS_MAX);
  }
  return found;
}

function apply(step: Step, value: unknown, work: Work): readonly unknown[] {
  switch (step.k) {
    case 'field':
      return fieldOf(value, step.name);
    case 'all':
      return Array.isArray(value)
        ? value.slice(0, RESULTS_MAX)
        : isObject(value)
          ? Object.values(value).slice(0, RESULTS_MAX)
          : [];
    case 'slice':
      return Array.isArray(value) ? sliceOf(value, step) : [];
    case 'union':
      return step.of.flatMap((inner) => apply(inner, value, work));
    case 'descend':
      return descend(value, work);
    case 'filter':
      return Array.isArray(value) ? value.filter((item) => isMatch(step.filter, item, work)).slice(0, RESULTS_MAX) : [];
  }
}

function fieldOf(value: unknown, name: string): readonly unknown[] {
  return isObject(value) && Object.hasOwn(value, name) ? [getOwn(value, name)] : [];
}

function sliceOf(list: readonly unknown[], s: Extract<Step, { k: 'slice' }>): readonly unknown[] {
  const at = (index: number): number => Math.min(Math.max(index < 0 ? index + list.length : index, 0), list.length);
  if (s.isIndex) {
    const index = (s.from ?? 0) < 0 ? (s.from ?? 0) + list.length : (s.from ?? 0);
    return index >= 0 && index < list.length ? [list[index]] : [];
  }
  const part = list.slice(at(s.from ?? 0), at(s.to ?? list.length));
  return part.filter((_, i) => i % s.step === 0).slice(0, RESULTS_MAX);
}

/** The value and all below it. */
function descend(value: unknown, work: Work): readonly unknown[] {
  const found: unknown[] = [];
  const stack: unknown[] = [value];
  while (stack.length > 0 && found.length < RESULTS_MAX && work.left > 0) {
    work.left--;
    const next = stack.pop();
    found.push(next);
    const inner: unknown[] = Array.isArray(next) ? next : isObject(next) ? Object.values(next) : [];
    for (let i = inner.length - 1; i >= 0; i--) stack.push(inner[i]);
  }
  return found;
}

function isMatch(f: Filter, item: unknown, work: Work): boolean {
  const left = operandOf(f.left, item, work);
  if (f.operator === 'exists') return left.length > 0;
  const right = f.right === undefined ? [] : operandOf(f.right, item, work);
  if (left.length !== 1 || right.length !== 1) return false;
  return compare(left[0], right[0], f.operator);
}

function operandOf(operand: Filter['left'], item: unknown, work: Work): readonly unknown[] {
  return 'literal' in operand ? [operand.literal] : evaluate(operand.steps, [item], work);
}

function compare(a: unknown, b: unknown, operator: Filter['operator']): boolean {
  if (typeof a !== typeof b) return false;
  switch (operator) {
    case '==':
      return a === b;
    case '!=':
      return a !== b;
    default:
      return isOrdered(a) && isOrdered(b) && compareOrdered(a, b, operator);
  }
}

function isOrdered(value: unknown): value is number | string {
  return typeof value === 'number' || typeof value === 'string';
}

function compareOrdered(a: number | string, b: number | string, operator: Filter['operator']): boolean {
  switch (operator) {
    case '<':
      return a < b;
    case '>':
      return a > b;
    case '<=':
      return a <= b;
    default:
      return a >= b;
  }
}
