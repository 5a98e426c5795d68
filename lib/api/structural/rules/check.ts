/**
 * Whether the rules of a schema can be: they compile, their worst cost is within its limits, and oldSelf is used only where old
 * and new values can be told to be the same thing.
 * Source: apiextensions-apiserver pkg/apis/apiextensions/validation/{validation,cel_validation}.go.
 */
import { STATIC_ESTIMATED_COST_LIMIT, STATIC_ESTIMATED_CRD_COST_LIMIT, UNBOUNDED } from '#lib/cel';
import { type FieldError, forbidden, invalid } from '../../field-error.ts';
import { child, type Structural } from '../schema.ts';
import { type CompiledRule, cardinalityMax, worstCost } from './compiled-rule.ts';
import type { Declaration } from './declaration.ts';

/** What rules of a node are made of; undefined: rules cannot reach the node. */
export type NodeRules = (
  s: Structural,
  isRoot: boolean,
) => { readonly declaration: Declaration; readonly rules: readonly CompiledRule[] } | undefined;

export interface CheckOptions {
  /** The schema is that of the stored definition: its rules may cost what they cost. */
  readonly isUnchanged: boolean;
}

/** `path` is the place of the version's openAPIV3Schema. */
export function checkRules(schema: Structural, path: string, o: CheckOptions & { of: NodeRules }): FieldError[] {
  const w: Walk = { o, errors: [], costs: [], total: 0 };
  walk(schema, { path, isRoot: true, cardinality: 1, uncorrelatable: undefined }, w);
  if (w.total > STATIC_ESTIMATED_CRD_COST_LIMIT) {
    const share = 'contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema';
    for (const { at } of mostExpensive(w.costs)) w.errors.push(forbidden(at, share));
    const what = 'x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema';
    w.errors.push(forbidden(path, costMessage(what, w.total, STATIC_ESTIMATED_CRD_COST_LIMIT)));
  }
  return w.errors;
}

interface Walk {
  readonly o: CheckOptions & { readonly of: NodeRules };
  readonly errors: FieldError[];
  readonly costs: { readonly at: string; readonly cost: number }[];
  total: number;
}

interface Place {
  readonly path: string;
  readonly isRoot: boolean;
  /** How often the node can be in an object by the limits above it; undefined: they give no bound. */
  readonly cardinality: number | undefined;
  /** The innermost part of the schema around whose values have no counterpart in the old object. */
  readonly uncorrelatable: string | undefined;
}

function walk(s: Structural, at: Place, w: Walk): void {
  if (!s.hasRules) return;
  const inner = { ...at, isRoot: false, cardinality: multiplied(at.cardinality, elementsMax(s)) };
  if (typeof s.additionalProperties === 'object')
    walk(s.additionalProperties, { ...inner, path: child(at.path, 'additionalProperties') }, w);
  for (const [name, property] of s.properties)
    walk(property, { ...inner, path: child(at.path, `properties[${name}]`) }, w);
  const uncorrelatable = s.listType === 'map' ? at.uncorrelatable : at.path;
  if (s.items !== undefined) walk(s.items, { ...inner, path: child(at.path, 'items'), uncorrelatable }, w);
  checkNode(s, at, w);
}

function checkNode(s: Structural, at: Place, w: Walk): void {
  if (s.rules.length === 0) return;
  const path = child(at.path, 'x-kubernetes-validations');
  const node = w.o.of(s, at.isRoot);
  if (node === undefined) {
    const why = 'unable to convert structural schema to CEL declarations';
    const detail = `internal error: failed to construct type information for x-kubernetes-validations rules: ${why}`;
    w.errors.push(invalid(path, s.rules, detail));
    return;
  }
  for (const [i, compiled] of node.rules.entries()) {
    const place = { ...at, path: `${path}[${i}]` };
    checkCosts(compiled, node.declaration, { at: place, w });
    w.errors.push(...checkRule(compiled, place));
  }
}

function checkCosts(c: CompiledRule, declaration: Declaration, { at, w }: { at: Place; w: Walk }): void {
  const times = at.cardinality ?? cardinalityMax(declaration);
  const cost = c.program === undefined ? 0 : (multiplied(worstCost(c.program, declaration), times) ?? 0);
  observe('estimated rule cost', child(at.path, 'rule'), cost, w);
  if (c.message === undefined) return;
  const messageAt = child(at.path, 'messageExpression');
  observe('estimated messageExpression cost', messageAt, worstCost(c.message, declaration), w);
}

function observe(what: string, at: string, cost: number, w: Walk): void {
  if (!w.o.isUnchanged && cost > STATIC_ESTIMATED_COST_LIMIT)
    w.errors.push(forbidden(at, costMessage(what, cost, STATIC_ESTIMATED_COST_LIMIT)));
  w.total += cost;
  w.costs.push({ at, cost });
}

function checkRule(c: CompiledRule, at: Place): FieldError[] {
  const errors: FieldError[] = [];
  if (c.error !== undefined) errors.push(invalid(child(at.path, 'rule'), c.rule, c.error));
  if (c.messageError !== undefined) errors.push(invalid(child(at.path, 'messageExpression'), c.rule, c.messageError));
  if (c.usesOldSelf && at.uncorrelatable !== undefined) {
    const detail = `oldSelf cannot be used on the uncorrelatable portion of the schema within ${at.uncorrelatable}`;
    errors.push(invalid(child(at.path, 'rule'), c.rule.rule, detail));
  }
  if (!c.usesOldSelf && c.rule.optionalOldSelf !== undefined) {
    const detail = 'may not be set if oldSelf is not used in rule';
    errors.push(invalid(child(at.path, 'optionalOldSelf'), c.rule.optionalOldSelf, detail));
  }
  return errors;
}

/** At most four, each at least a hundredth of the limit. */
function mostExpensive(costs: Walk['costs']): Walk['costs'] {
  return costs
    .filter((c) => c.cost >= STATIC_ESTIMATED_CRD_COST_LIMIT / 100)
    .sort((a, b) => b.cost - a.cost)
    .slice(0, 4);
}

/** How often a part can be in one value of the schema. */
function elementsMax(s: Structural): number | undefined {
  if (s.type === 'array') return nonNegative(s.limits.maxItems);
  if (s.type === 'object' && s.additionalProperties !== undefined) return nonNegative(s.limits.maxProperties);
  return 1;
}

function nonNegative(n: number | undefined): number | undefined {
  return n === undefined ? undefined : Math.max(n, 0);
}

function multiplied(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? undefined : Math.min(a * b, UNBOUNDED);
}

function costMessage(what: string, cost: number, limit: number): string {
  const factor = cost / limit;
  const text = factor > 100 ? 'more than 100' : factor.toFixed(factor < 1.5 ? 6 : 1);
  const hint = 'adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared';
  return `${what} exceeds budget by factor of ${text}x (try simplifying the rule, or ${hint})`;
}
