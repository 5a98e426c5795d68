/**
 * What evaluating a checked expression may cost, as a range, before any input is known (cel-go checker/cost.go). Sizes of inputs come
 * from the host by path, e.g. `self`, `spec`, `items`, `@items`; what has no known size is unbounded.
 */
import type { CallNode, ComprehensionNode, ListNode, MapNode, Node, SelectNode } from '../ast.ts';
import { ACCUMULATOR, isBind } from '../ast.ts';
import type { Checked } from '../check/checker.ts';
import { DYN, isOptional, type Type } from '../types.ts';
import { codePoints } from '../values/text.ts';
import { type CallEstimate, either, estimateCall, type Operand } from './calls.ts';
import { fixed, product, type Range, sum, UNBOUNDED, UNKNOWN_SIZE, union } from './size.ts';

/** The size of an input: code points, octets or elements. Undefined when the host knows none. */
export type SizeEstimator = (path: readonly string[], type: Type) => Range | undefined;

interface EntrySize {
  readonly container: 'list' | 'map';
  readonly key: Range;
  readonly value: Range;
}
interface Local {
  readonly name: string;
  readonly path: readonly string[];
  readonly size: Range | undefined;
  readonly entry: EntrySize | undefined;
}

const LIST_COST = fixed(10);
const MAP_COST = fixed(30);
const STRUCT_COST = fixed(40);
const NOTHING: Range = { min: UNBOUNDED, max: 0 };

export function estimateCost(checked: Checked, sizes: SizeEstimator): Range {
  return new Coster(checked, sizes).cost(checked.node);
}

class Coster {
  private readonly checked: Checked;
  private readonly estimator: SizeEstimator;
  private readonly paths = new Map<number, readonly string[]>();
  private readonly sizes = new Map<number, Range>();
  private readonly entrySizes = new Map<number, EntrySize>();
  private readonly locals: Local[] = [];

  constructor(checked: Checked, estimator: SizeEstimator) {
    this.checked = checked;
    this.estimator = estimator;
  }

  cost(node: Node): Range {
    switch (node.kind) {
      case 'const':
        return fixed(0);
      case 'ident':
        this.paths.set(node.id, this.local(node.name)?.path ?? [node.name]);
        return fixed(1);
      case 'select':
        return this.select(node);
      case 'call':
        return this.call(node);
      case 'list':
        return this.list(node);
      case 'map':
        return this.map(node);
      case 'struct':
        return sum(STRUCT_COST, ...node.entries.map((e) => this.cost(e.value)));
      case 'comprehension':
        return isBind(node) ? this.bind(node) : this.comprehension(node);
    }
  }

  private local(name: string): Local | undefined {
    return this.locals.findLast((l) => l.name === name);
  }
  private typeOf(node: Node): Type {
    return this.checked.types.get(node.id) ?? DYN;
  }
  private path(node: Node): readonly string[] {
    const local = node.kind === 'ident' ? this.local(node.name) : undefined;
    return local?.path ?? this.paths.get(node.id) ?? [];
  }

  private select(node: SelectNode): Range {
    const reference = this.checked.references.get(node.id);
    if (reference?.kind === 'type') return fixed(0);
    if (reference?.kind === 'variable') {
      this.paths.set(node.id, [reference.name]);
      return fixed(1);
    }
    const operand = this.cost(node.operand);
    // Kubernetes sets the cost of presence tests to nothing (environment/base.go).
    if (node.testOnly) return operand;
    this.paths.set(node.id, [...this.path(node.operand), node.field]);
    const { kind } = this.typeOf(node.operand);
    return kind === 'map' || kind === 'object' || kind === 'param' ? sum(operand, fixed(1)) : operand;
  }

  private list(node: ListNode): Range {
    let total = LIST_COST;
    let value = node.elements.length === 0 ? fixed(0) : NOTHING;
    for (const e of node.elements) {
      total = sum(total, this.cost(e));
      value = union(value, this.sizeOrUnknown(e));
    }
    this.entrySizes.set(node.id, { container: 'list', key: fixed(1), value });
    return total;
  }

  private map(node: MapNode): Range {
    let total = MAP_COST;
    let [key, value] = node.entries.length === 0 ? [fixed(0), fixed(0)] : [NOTHING, NOTHING];
    for (const e of node.entries) {
      total = sum(total, this.cost(e.key), this.cost(e.value));
      key = union(key, this.sizeOrUnknown(e.key));
      value = union(value, this.sizeOrUnknown(e.value));
    }
    this.entrySizes.set(node.id, { container: 'map', key, value });
    return total;
  }

  private call(node: CallNode): Range {
    const reference = this.checked.references.get(node.id);
    const nodes = reference?.kind === 'call' ? reference.args : node.args;
    const overloads = reference?.kind === 'call' ? reference.overloads : [];
    const name = reference?.kind === 'call' ? reference.name : node.fn;
    const costs = nodes.map((n) => this.cost(n));
    const special = this.specialCall(node, nodes, costs);
    if (special !== undefined) return special;
    const operands = nodes.map((n) => this.operand(n));
    let estimate: CallEstimate | undefined;
    for (const o of overloads) {
      const one = estimateCall(name, o.id, operands);
      estimate = estimate === undefined ? one : either(estimate, one);
      this.index(node, o.id, nodes);
    }
    if (node.fn === '_+_') this.concatenated(node, nodes);
    if (estimate?.resultSize !== undefined) this.sizes.set(node.id, estimate.resultSize);
    return sum(...costs, estimate?.cost ?? fixed(1));
  }

  private specialCall(node: CallNode, nodes: readonly Node[], costs: readonly Range[]): Range | undefined {
    const [a = fixed(0), b = fixed(0), c = fixed(0)] = costs;
    switch (node.fn) {
      case '_&&_':
      case '_||_':
        return { min: a.min, max: sum(a, b).max };
      case '_?_:_': {
        const [, yes, no] = nodes;
        if (yes !== undefined && no !== undefined) {
          this.sizes.set(node.id, union(this.sizeOrUnknown(yes), this.sizeOrUnknown(no)));
          this.setEntries(node, joined(this.entrySize(yes), this.entrySize(no)));
        }
        return sum(a, union(b, c));
      }
      case 'dyn': {
        const [of] = nodes;
        if (of !== undefined) this.copySizes(node, of);
        return sum(fixed(1), a);
      }
      default:
        return undefined;
    }
  }

  private index(node: CallNode, overloadId: string, nodes: readonly Node[]): void {
    const [container] = nodes;
    if (container === undefined || (overloadId !== 'index_list' && overloadId !== 'index_map')) return;
    this.paths.set(node.id, [...this.path(container), overloadId === 'index_list' ? '@items' : '@values']);
    const size = this.entrySize(container)?.value;
    if (size !== undefined) this.sizes.set(node.id, size);
  }

  private concatenated(node: CallNode, nodes: readonly Node[]): void {
    const [a, b] = nodes;
    if (a !== undefined && b !== undefined) this.setEntries(node, joined(this.entrySize(a), this.entrySize(b)));
  }

  private operand(node: Node): Operand {
    const path = this.path(node);
    const rooted = path[0] === ACCUMULATOR ? [] : path;
    const type = this.typeOf(node);
    return {
      node,
      type,
      size: this.sizeOrUnknown(node),
      elementSize: () => {
        const entry = this.entrySize(node)?.value;
        const element = type.kind === 'list' ? type.element : DYN;
        if (entry !== undefined) return entry;
        const known = rooted.length === 0 ? undefined : this.estimator([...rooted, '@items'], element);
        return known ?? UNKNOWN_SIZE;
      },
    };
  }

  private bind(node: ComprehensionNode): Range {
    const cost = sum(this.cost(node.range), this.cost(node.accuInit));
    this.push(node.accuVar, this.path(node.accuInit), this.size(node.accuInit), this.entrySize(node.accuInit));
    const result = this.cost(node.result);
    // Sizes are read while the variable is still known.
    this.copySizes(node, node.result);
    this.locals.pop();
    return sum(cost, result);
  }

  private comprehension(node: ComprehensionNode): Range {
    let total = sum(this.cost(node.range), this.cost(node.accuInit));
    this.push(node.accuVar, this.path(node.accuInit), this.size(node.accuInit), this.entrySize(node.accuInit));
    const depth = this.locals.length;
    this.pushIteration(node);
    const each = sum(this.cost(node.condition), this.cost(node.step));
    const stepEntry = this.entrySize(node.step);
    this.locals.length = depth;
    total = sum(total, this.cost(node.result));
    this.locals.pop();
    const count = this.sizeOrUnknown(node.range);
    if (node.accuInit.kind === 'const') this.sizes.set(node.id, this.sizeOrUnknown(node.accuInit));
    else if (node.accuInit.kind === 'list' || node.accuInit.kind === 'map') {
      this.sizes.set(node.id, count);
      this.setEntries(node, stepEntry);
    }
    return sum(total, product(count, each));
  }

  private pushIteration(node: ComprehensionNode): void {
    const entry = this.entrySize(node.range);
    const path = this.path(node.range);
    const container = entry?.container ?? (this.typeOf(node.range).kind === 'list' ? 'list' : 'map');
    const isList = container === 'list';
    if (node.iterVar2 === undefined) {
      const size = isList ? entry?.value : entry?.key;
      this.push(node.iterVar, [...path, isList ? '@items' : '@keys'], size, undefined);
      return;
    }
    this.push(node.iterVar, [...path, isList ? '@indices' : '@keys'], entry?.key, undefined);
    this.push(node.iterVar2, [...path, isList ? '@items' : '@values'], entry?.value, undefined);
  }

  private push(name: string, path: readonly string[], size: Range | undefined, entry: EntrySize | undefined): void {
    this.locals.push({ name, path, size, entry });
  }

  private sizeOrUnknown(node: Node): Range {
    return this.size(node) ?? UNKNOWN_SIZE;
  }

  private size(node: Node): Range | undefined {
    const known = this.sizes.get(node.id) ?? literalSize(node);
    if (known !== undefined) return known;
    const type = this.typeOf(node);
    const path = this.path(node);
    const estimated = path.length === 0 || path[0] === ACCUMULATOR ? undefined : this.estimator(path, type);
    if (estimated !== undefined) {
      this.sizes.set(node.id, estimated);
      return estimated;
    }
    if (isScalar(type)) return fixed(1);
    return node.kind === 'ident' ? this.local(node.name)?.size : undefined;
  }

  private entrySize(node: Node): EntrySize | undefined {
    const known = this.entrySizes.get(node.id);
    if (known !== undefined) return known;
    return node.kind === 'ident' ? this.local(node.name)?.entry : undefined;
  }

  private setEntries(node: Node, entry: EntrySize | undefined): void {
    if (entry !== undefined) this.entrySizes.set(node.id, entry);
  }

  private copySizes(to: Node, from: Node): void {
    const size = this.size(from);
    if (size !== undefined) this.sizes.set(to.id, size);
    this.setEntries(to, this.entrySize(from));
  }
}

function joined(a: EntrySize | undefined, b: EntrySize | undefined): EntrySize | undefined {
  if (a === undefined || b === undefined) return undefined;
  return { container: a.container, key: union(a.key, b.key), value: union(a.value, b.value) };
}

function literalSize(node: Node): Range | undefined {
  if (node.kind === 'list') return fixed(node.elements.length);
  if (node.kind === 'map') return fixed(node.entries.length);
  if (node.kind !== 'const') return undefined;
  if (typeof node.value === 'string') return fixed(codePoints(node.value));
  return fixed(node.value instanceof Uint8Array ? node.value.length : 1);
}

function isScalar(type: Type): boolean {
  if (isOptional(type)) return isScalar(type.params[0] ?? DYN);
  return ['bool', 'double', 'duration', 'int', 'timestamp', 'uint'].includes(type.kind);
}
