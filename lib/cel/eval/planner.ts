/**
 * Turns a checked tree into closures. Names become slots, overloads are chosen by the arguments' run-time types among those that the
 * checker left, `&&`, `||` and `?:` absorb failures (cel-spec "Evaluation", cel-go interpreter/planner.go and interpretable.go).
 */
import type { CallNode, ComprehensionNode, ListNode, MapNode, Node, StructNode } from '../ast.ts';
import { ACCUMULATOR } from '../ast.ts';
import type { Checked } from '../check/checker.ts';
import { runtimeCost } from '../cost/runtime.ts';
import type { Overload } from '../env.ts';
import { runtimeTypeName } from '../types.ts';
import { ValueSet } from '../values/equality.ts';
import { LiteralObject } from '../values/json.ts';
import { matcher } from '../values/type-name.ts';
import {
  AccumulatorList,
  AccumulatorMap,
  ArrayList,
  CelError,
  CelMap,
  isFailure,
  isMapKey,
  ListValue,
  MapValue,
  OptionalValue,
  type Result,
  TypeValue,
  type Value,
} from '../values/value.ts';
import { and, conditional, notStrictlyFalse, or, orElse } from './absorbing.ts';
import { describeKey, hasField, index, NO_OVERLOAD, optionalField, optionalIndex, selectField } from './access.ts';
import type { Frame, Step } from './frame.ts';

const LIST_COST = 10;
const MAP_COST = 30;
const STRUCT_COST = 40;

export interface Plan {
  readonly step: Step;
  readonly slots: number;
}

export function plan(checked: Checked): Plan {
  const planner = new Planner(checked);
  const step = planner.plan(checked.node);
  return { step, slots: planner.slots };
}

class Planner {
  slots = 0;
  private readonly checked: Checked;
  private readonly scope: { name: string; slot: number }[] = [];

  constructor(checked: Checked) {
    this.checked = checked;
  }

  plan(node: Node): Step {
    const reference = this.checked.references.get(node.id);
    if (reference?.kind === 'type') {
      const type = new TypeValue(runtimeTypeName(reference.type));
      return () => type;
    }
    if (reference?.kind === 'variable') return variableStep(reference.name);
    switch (node.kind) {
      case 'const':
        return () => node.value;
      case 'ident':
        return this.local(node.name);
      case 'select': {
        const operand = this.plan(node.operand);
        const { field } = node;
        if (node.testOnly) return onValue(operand, (v) => hasField(v, field));
        return onValue(operand, (v, f) => {
          f.charge(1);
          return selectField(v, field);
        });
      }
      case 'call':
        return this.call(node);
      case 'list':
        return this.list(node);
      case 'map':
        return this.map(node);
      case 'struct':
        return this.struct(node);
      case 'comprehension':
        return this.comprehension(node);
    }
  }

  private local(name: string): Step {
    const slot = this.scope.findLast((l) => l.name === name)?.slot ?? 0;
    return (f) => {
      f.charge(1);
      return f.locals[slot] ?? null;
    };
  }

  private call(node: CallNode): Step {
    const reference = this.checked.references.get(node.id);
    const nodes = reference?.kind === 'call' ? reference.args : node.args;
    const overloads = reference?.kind === 'call' ? reference.overloads : [];
    const name = reference?.kind === 'call' ? reference.name : node.fn;
    if (node.fn === '@in') {
      const membership = constantMembership(nodes, (n) => this.plan(n));
      if (membership !== undefined) return membership;
    }
    const steps = nodes.map((n) => this.plan(n));
    const [a = noStep, b = noStep, c = noStep] = steps;
    switch (node.fn) {
      case '_&&_':
        return and(a, b);
      case '_||_':
        return or(a, b);
      case '_?_:_':
        return conditional(a, b, c);
      case '@not_strictly_false':
        return notStrictlyFalse(a);
      case '_[_]':
        return onValues(a, b, index, isAttribute(nodes[1]) ? 0 : 1);
      case '_[?_]':
        return onValues(a, b, optionalIndex, 1);
      case '_?._':
        return onValues(a, b, (v, field) => optionalField(v, typeof field === 'string' ? field : ''), 1);
      case 'or':
      case 'orValue':
        if (overloads.every((o) => o.id.startsWith('optional_'))) return orElse(a, b, node.fn);
        return dispatch(name, overloads, steps);
      default:
        return dispatch(name, overloads, steps);
    }
  }

  private list(node: ListNode): Step {
    if (node.optional.size === 0 && node.elements.every((e) => e.kind === 'const')) {
      const constant = new ArrayList(node.elements.flatMap((e) => (e.kind === 'const' ? [e.value] : [])));
      return () => constant;
    }
    const steps = node.elements.map((e) => this.plan(e));
    return (f) => {
      const items: Value[] = [];
      for (const [i, step] of steps.entries()) {
        const v = step(f);
        if (isFailure(v)) return v;
        if (!node.optional.has(i)) items.push(v);
        else if (!(v instanceof OptionalValue)) return NO_OVERLOAD;
        else if (v.value !== undefined) items.push(v.value);
      }
      f.charge(LIST_COST);
      return new ArrayList(items);
    };
  }

  private map(node: MapNode): Step {
    const steps = node.entries.map((e) => ({ key: this.plan(e.key), value: this.plan(e.value), optional: e.optional }));
    return (f) => {
      const map = new CelMap();
      for (const s of steps) {
        const key = s.key(f);
        if (isFailure(key)) return key;
        const v = s.value(f);
        if (isFailure(v)) return v;
        if (!isMapKey(key)) return new CelError('unsupported key type');
        const value = s.optional ? (v instanceof OptionalValue ? v.value : NO_OVERLOAD) : v;
        if (value instanceof CelError) return value;
        if (value !== undefined && !map.insert(key, value))
          return new CelError(`Failed with repeated key ${describeKey(key)}`);
      }
      f.charge(MAP_COST);
      return map;
    };
  }

  private struct(node: StructNode): Step {
    const name = node.typeName.replace(/^\./, '');
    const steps = node.entries.map((e) => ({ ...e, step: this.plan(e.value) }));
    return (f) => {
      const values = new Map<string, Value>();
      for (const s of steps) {
        const v = s.step(f);
        if (isFailure(v)) return v;
        const value = s.optional ? (v instanceof OptionalValue ? v.value : NO_OVERLOAD) : v;
        if (value instanceof CelError) return value;
        if (value !== undefined) values.set(s.field, value);
      }
      f.charge(STRUCT_COST);
      return new LiteralObject(name, values);
    };
  }

  private declare(name: string): number {
    const slot = this.scope.length;
    this.scope.push({ name, slot });
    this.slots = Math.max(this.slots, this.scope.length);
    return slot;
  }

  private comprehension(node: ComprehensionNode): Step {
    const range = this.plan(node.range);
    const init = this.plan(node.accuInit);
    const depth = this.scope.length;
    const accu = this.declare(node.accuVar);
    const first = this.declare(node.iterVar);
    const second = node.iterVar2 === undefined ? undefined : this.declare(node.iterVar2);
    const condition = this.plan(node.condition);
    const step = this.plan(node.step);
    this.scope.length = depth + 1;
    const result = this.plan(node.result);
    this.scope.length = depth;
    const unconditional = node.condition.kind === 'const';
    const makeInit = node.accuVar === ACCUMULATOR ? accumulator(node.accuInit, init) : init;
    return (f) => {
      const over = range(f);
      if (isFailure(over)) return over;
      let value = makeInit(f);
      const each = (a: Value, b: Value): boolean => {
        f.iterate();
        f.locals[accu] = value;
        if (condition(f) === false || (unconditional && isFailure(value))) return false;
        f.locals[first] = a;
        if (second !== undefined) f.locals[second] = b;
        value = step(f);
        return true;
      };
      if (!iterate(over, second !== undefined, each)) return NO_OVERLOAD;
      f.locals[accu] = value;
      const out = result(f);
      return out instanceof AccumulatorList ? out.finished() : out;
    };
  }
}

function noStep(): Result {
  return NO_OVERLOAD;
}

function variableStep(name: string): Step {
  return (f) => {
    f.charge(1);
    return f.variable(name);
  };
}

function onValue(operand: Step, use: (v: Value, f: Frame) => Result): Step {
  return (f) => {
    const v = operand(f);
    return isFailure(v) ? v : use(v, f);
  };
}

function onValues(a: Step, b: Step, use: (v: Value, w: Value) => Result, cost: number): Step {
  return (f) => {
    const v = a(f);
    if (isFailure(v)) return v;
    const w = b(f);
    if (isFailure(w)) return w;
    f.charge(cost);
    return use(v, w);
  };
}

/** In `a[b]` cel-go takes a name (with fields) for a part of the attribute, and charges one less. */
function isAttribute(node: Node | undefined): boolean {
  return node !== undefined && (node.kind === 'ident' || (node.kind === 'select' && !node.testOnly));
}

/** An empty literal as accumulator becomes one that grows in place. */
function accumulator(init: Node, step: Step): Step {
  if (init.kind === 'list' && init.elements.length === 0) return () => new AccumulatorList([]);
  if (init.kind === 'map' && init.entries.length === 0)
    return (f) => {
      f.charge(MAP_COST);
      return new AccumulatorMap();
    };
  return step;
}

/** False when the value cannot be iterated over. */
function iterate(over: Value, pairs: boolean, each: (a: Value, b: Value) => boolean): boolean {
  if (over instanceof ListValue) {
    let i = 0n;
    for (const v of over) if (!(pairs ? each(i++, v) : each(v, v))) break;
    return true;
  }
  if (!(over instanceof MapValue)) return false;
  for (const k of over.keys()) if (!each(k, pairs ? (over.find(k) ?? null) : k)) break;
  return true;
}

/** `x in [constants]` looks the value up at a cost of 1. */
function constantMembership(nodes: readonly Node[], planOf: (n: Node) => Step): Step | undefined {
  const [needle, list] = nodes;
  if (needle === undefined || list?.kind !== 'list' || list.optional.size > 0) return undefined;
  const constants = list.elements.flatMap((e) => (e.kind === 'const' ? [e.value] : []));
  if (constants.length !== list.elements.length || constants.length === 0) return undefined;
  const set = new ValueSet(constants);
  return onValue(planOf(needle), (v, f) => {
    f.charge(1);
    return set.has(v);
  });
}

function dispatch(fn: string, overloads: readonly Overload[], steps: readonly Step[]): Step {
  const candidates = overloads.map((o) => ({
    matchers: o.args.map(matcher),
    run: o.implementation,
    cost: runtimeCost(fn, o.id),
  }));
  return (f) => {
    const args: Value[] = [];
    for (const step of steps) {
      const v = step(f);
      if (isFailure(v)) return v;
      args.push(v);
    }
    const chosen = candidates.find((c) => c.matchers.every((m, i) => m(args[i] ?? null)));
    if (chosen === undefined) return NO_OVERLOAD;
    const { cost } = chosen;
    if (typeof cost === 'number') f.charge(cost);
    else if (cost.needsResult === undefined) f.charge(cost.of(args));
    const result = chosen.run(args, f);
    if (typeof cost !== 'number' && cost.needsResult !== undefined) f.charge(cost.needsResult(result));
    return result;
  };
}
