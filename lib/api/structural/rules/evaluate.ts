/**
 * Evaluation of the rules of a whole value: each node's own rules, then those of its parts. All of one value share one budget;
 * when it is spent nothing more is evaluated and the value is refused. On update a rule without oldSelf may fail where nothing
 * changed: the failure becomes a warning (KEP-4008).
 * Source: apiextensions-apiserver pkg/apiserver/schema/cel/validation.go.
 */
import { fromJson, OptionalValue, type Outcome, PER_CALL_LIMIT, RUNTIME_COST_BUDGET, type Value } from '#lib/cel';
import {
  duplicate,
  errorBody,
  type FieldError,
  forbidden,
  goQuote,
  invalid,
  omitted,
  required,
} from '../../field-error.ts';
import type { ValidationRule } from '../../gen/types/apiextensions-v1.ts';
import { getOwn, isObject, type JsonObject } from '../../patch/value.ts';
import { child, type Structural } from '../schema.ts';
import { correlatedField, correlatedItems, isUnchanged } from '../values/correlation.ts';
import { FAILURES_MAX } from '../values/result.ts';
import type { NodeRules } from './check.ts';
import type { CompiledRule } from './compiled-rule.ts';
import type { Declaration } from './declaration.ts';

/** What evaluations may still cost. */
export class RuleBudget {
  left = RUNTIME_COST_BUDGET;
}

export interface RuleValues {
  readonly self: unknown;
  /** undefined: there is none; rules that need one do not apply. */
  readonly oldSelf: unknown;
  /** The values are those of a resource's root. */
  readonly isRoot: boolean;
  /** Failures of what did not change become warnings. */
  readonly forgivesUnchanged: boolean;
  readonly budget: RuleBudget;
  readonly warn: (text: string) => void;
}

/** `path`: that of the value, '' for an object. */
export function evaluateRules(schema: Structural, values: RuleValues, path: string, of: NodeRules): FieldError[] {
  const { self, oldSelf } = values;
  const pair = values.forgivesUnchanged ? new Pair(schema, self, oldSelf) : undefined;
  const w: Walk = { values, of, errors: [], isOver: false };
  walk(schema, { path, isRoot: values.isRoot, self, old: oldSelf ?? undefined, pair, around: undefined }, w);
  return w.errors;
}

interface Walk {
  readonly values: RuleValues;
  readonly of: NodeRules;
  readonly errors: FieldError[];
  /** Nothing more is evaluated. */
  isOver: boolean;
}

interface Place {
  readonly path: string;
  readonly isRoot: boolean;
  readonly self: unknown;
  /** undefined: no counterpart, or null. */
  readonly old: unknown;
  /** New and old value, where the two can be told to be the same thing. */
  readonly pair: Pair | undefined;
  /** The innermost such pair around the value. */
  readonly around: Pair | undefined;
}

/** A value and what it was, compared once at most. */
class Pair {
  private readonly schema: Structural;
  private readonly next: unknown;
  private readonly old: unknown;
  private isSame: boolean | undefined;
  constructor(schema: Structural, next: unknown, old: unknown) {
    this.schema = schema;
    this.next = next;
    this.old = old;
  }
  get isUnchanged(): boolean {
    this.isSame ??= isUnchanged(this.schema, this.next, this.old);
    return this.isSame;
  }
}

function walk(s: Structural, at: Place, w: Walk): void {
  if (!s.hasRules || w.isOver || at.self === null || at.self === undefined) return;
  evaluateNode(s, at, w);
  if (Array.isArray(at.self)) walkItems(s, at.self, at, w);
  else if (isObject(at.self)) walkFields(s, at.self, at, w);
}

function walkItems(s: Structural, list: readonly unknown[], at: Place, w: Walk): void {
  const { items } = s;
  if (items?.hasRules !== true) return;
  const counterpartOf = correlatedItems(s, at.old);
  for (const [i, self] of list.entries()) {
    if (w.isOver) return;
    const old = counterpartOf?.(self)?.value ?? undefined;
    const pair = at.pair !== undefined && old !== undefined ? new Pair(items, self, old) : undefined;
    walk(items, { path: `${at.path}[${i}]`, isRoot: false, self, old, pair, around: at.pair ?? at.around }, w);
  }
}

function walkFields(s: Structural, object: JsonObject, at: Place, w: Walk): void {
  for (const key of Object.keys(object)) {
    if (w.isOver) return;
    const property = s.properties.get(key);
    const schema = property ?? (typeof s.additionalProperties === 'object' ? s.additionalProperties : undefined);
    if (schema?.hasRules !== true) continue;
    const self = getOwn(object, key);
    const path = property === undefined ? `${at.path}[${key}]` : child(at.path, key);
    const counterpart = correlatedField(at.old === undefined ? undefined : { value: at.old }, key);
    // Both objects have been converted to one version: a change of these two would not be seen.
    const isTypeMeta = at.isRoot && (key === 'apiVersion' || key === 'kind');
    const pair = at.pair && counterpart && !isTypeMeta ? new Pair(schema, self, counterpart.value) : undefined;
    const around = isTypeMeta ? undefined : (at.pair ?? at.around);
    walk(schema, { path, isRoot: false, self, old: counterpart?.value ?? undefined, pair, around }, w);
  }
}

function evaluateNode(s: Structural, at: Place, w: Walk): void {
  if (s.rules.length === 0) return;
  const node = w.of(s, at.isRoot);
  // Definitions with rules on such nodes are refused.
  if (node === undefined) return;
  const { type } = node.declaration;
  const self = fromJson(at.self, type);
  const oldSelf = at.old === undefined ? undefined : fromJson(at.old, type);
  for (const rule of node.rules) {
    if (w.isOver) return;
    evaluateRule(rule, { s, at, w, self, oldSelf, declaration: node.declaration });
    if (w.errors.length >= FAILURES_MAX) w.isOver = true;
  }
}

interface Context {
  readonly s: Structural;
  readonly at: Place;
  readonly w: Walk;
  readonly self: Value;
  readonly oldSelf: Value | undefined;
  readonly declaration: Declaration;
}

function evaluateRule(c: CompiledRule, context: Context): void {
  const { s, at, w, self, oldSelf } = context;
  const refuse = (detail: string): void => {
    w.errors.push(invalid(shown(at.path), s.type, detail));
  };
  const isOptional = c.rule.optionalOldSelf === true;
  if (c.error !== undefined) refuse(`rule compile error: ${c.error}`);
  if (c.program === undefined || (c.usesOldSelf && oldSelf === undefined && !isOptional)) return;
  const old = isOptional ? new OptionalValue(oldSelf) : oldSelf;
  const bindings = old === undefined ? { self } : { self, oldSelf: old };
  const outcome = spend(w, (costBudget) => c.program?.evaluate(bindings, { costBudget }));
  if (outcome === undefined)
    refuse('validation failed due to running out of cost budget, no further validation rules will be run');
  else if ('error' in outcome) {
    const { kind, message } = outcome.error;
    if (kind === 'CostExceeded') w.isOver = true;
    refuse(failureText(kind, message, ruleText(c.rule)));
  } else if (outcome.value !== true) refuseValue(c, bindings, context);
}

/** undefined: the budget of the whole value is spent, which ends the evaluation. */
function spend(w: Walk, evaluate: (costBudget: number) => Outcome | undefined): Outcome | undefined {
  const { budget } = w.values;
  const isLast = budget.left < PER_CALL_LIMIT;
  const outcome = budget.left <= 0 ? undefined : evaluate(Math.min(PER_CALL_LIMIT, budget.left));
  const isSpent = outcome === undefined || (isLast && 'error' in outcome && outcome.error.kind === 'CostExceeded');
  if (isSpent) {
    budget.left = 0;
    w.isOver = true;
    return undefined;
  }
  budget.left -= outcome.cost;
  return outcome;
}

function failureText(kind: string, message: string, rule: string): string {
  if (message.startsWith('no such overload'))
    return `'${message}': call arguments did not match a supported operator, function or macro signature for rule: ${rule}`;
  if (kind === 'CostExceeded')
    return `'${message}': no further validation rules will be run due to call cost exceeds limit for rule: ${rule}`;
  return `${message} evaluating rule: ${rule}`;
}

/** The rule gave false. */
function refuseValue(c: CompiledRule, bindings: Readonly<Record<string, Value>>, { s, at, w }: Context): void {
  const path = shown(c.fieldPath === '' ? at.path : child(at.path, c.fieldPath));
  const unchanged = at.pair === undefined ? at.around?.isUnchanged : at.pair.isUnchanged;
  const add = (error: FieldError): void => {
    if (!c.usesOldSelf && unchanged === true) w.values.warn(`${error.field}: ${errorBody(error)}`);
    else w.errors.push(error);
  };
  const message = messageOf(c, bindings, w);
  if ('stopped' in message) {
    w.isOver = true;
    w.errors.push(invalid(path, s.type, message.stopped));
    return;
  }
  add(
    errorOf(c.rule, path, { value: at.self, isShown: s.type !== 'object' && s.type !== 'array', text: message.text }),
  );
}

function errorOf(
  { reason }: ValidationRule,
  path: string,
  { value, isShown, text }: { readonly value: unknown; readonly isShown: boolean; readonly text: string },
): FieldError {
  switch (reason) {
    case 'FieldValueForbidden':
      return forbidden(path, text);
    case 'FieldValueRequired':
      return required(path, text);
    case 'FieldValueDuplicate':
      return isShown ? duplicate(path, value) : { ...omitted(path, ''), type: 'Duplicate' };
    default:
      return isShown ? invalid(path, value, text) : omitted(path, text);
  }
}

/** As celconfig.MaxEvaluatedMessageExpressionSizeBytes. */
const MESSAGE_SIZE_MAX = 5 * 1024;

/** The messageExpression's text where it gives one line, else the message, else the rule. */
function messageOf(
  c: CompiledRule,
  bindings: Readonly<Record<string, Value>>,
  w: Walk,
): { readonly text: string } | { readonly stopped: string } {
  const { message, rule } = c;
  const given = rule.message ? rule.message.trim() : `failed rule: ${ruleText(rule)}`;
  if (message === undefined) return { text: given };
  const outcome = spend(w, (costBudget) => message.evaluate(bindings, { costBudget }));
  if (outcome === undefined)
    return {
      stopped:
        'messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run',
    };
  if ('error' in outcome) {
    if (outcome.error.kind !== 'CostExceeded') return { text: given };
    const expression = goQuote(rule.messageExpression ?? '');
    return {
      stopped: `no further validation rules will be run due to call cost exceeds limit for messageExpression: ${expression}`,
    };
  }
  const text = typeof outcome.value === 'string' ? outcome.value.trim() : '';
  const isUsable = text !== '' && !text.includes('\n') && Buffer.byteLength(text) <= MESSAGE_SIZE_MAX;
  return { text: isUsable ? text : given };
}

function ruleText(rule: ValidationRule): string {
  return (rule.message ? rule.message : rule.rule).trim();
}

/** What Kubernetes writes where a field path is missing. */
function shown(path: string): string {
  return path === '' ? '<nil>' : path;
}
