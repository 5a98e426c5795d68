/**
 * Static types of every node, resolution of names and overloads (cel-spec "Type Checking"; cel-go checker/checker.go). Errors are in
 * cel-go's words.
 */
import type { CallNode, ComprehensionNode, ListNode, MapNode, Node, SelectNode, StructNode } from '../ast.ts';
import { qualifiedName } from '../ast.ts';
import type { Env, Overload } from '../env.ts';
import type { Issue } from '../source.ts';
import {
  BOOL,
  BYTES,
  DOUBLE,
  DYN,
  ERROR,
  formatType,
  INT,
  isDyn,
  isOptional,
  listOf,
  mapOf,
  NULL,
  type ObjectField,
  optionalOf,
  STRING,
  type Type,
  typeOf,
  UINT,
} from '../types.ts';
import { Uint, type Value } from '../values/value.ts';
import { freshen, lessSpecific, Substitution } from './substitution.ts';

/** What a name or call means. */
export type Reference =
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'local'; readonly name: string }
  | { readonly kind: 'type'; readonly type: Type }
  | {
      readonly kind: 'call';
      /** With its namespace: `lists.range`. */
      readonly name: string;
      readonly overloads: readonly Overload[];
      /** With the target of a member call first. */
      readonly args: readonly Node[];
    };

export interface Checked {
  readonly node: Node;
  readonly type: Type;
  readonly types: ReadonlyMap<number, Type>;
  readonly references: ReadonlyMap<number, Reference>;
}

export function check(node: Node, env: Env): { checked: Checked } | { issues: Issue[] } {
  const checker = new Checker(env);
  return checker.run(node);
}

const LITERAL_TYPES: Readonly<Record<string, Type>> = { boolean: BOOL, bigint: INT, number: DOUBLE, string: STRING };

class Checker {
  private readonly env: Env;
  private readonly issues: Issue[] = [];
  private readonly types = new Map<number, Type>();
  private readonly references = new Map<number, Reference>();
  private readonly substitution = new Substitution();
  private readonly locals: { name: string; type: Type }[] = [];
  private fresh = 0;

  constructor(env: Env) {
    this.env = env;
  }

  run(node: Node): { checked: Checked } | { issues: Issue[] } {
    this.visit(node);
    if (this.issues.length > 0) return { issues: this.issues };
    const types = new Map<number, Type>();
    for (const [id, t] of this.types) types.set(id, this.substitution.apply(t, 'final'));
    return { checked: { node, type: types.get(node.id) ?? DYN, types, references: this.references } };
  }

  private report(offset: number, message: string): Type {
    this.issues.push({ offset, message });
    return ERROR;
  }

  private visit(node: Node): Type {
    const type = this.typeOf(node);
    this.types.set(node.id, type);
    return type;
  }

  private typeOf(node: Node): Type {
    switch (node.kind) {
      case 'const':
        return literalType(node.value);
      case 'ident':
        return this.name(node, node.name) ?? this.undeclared(node.offset, node.name);
      case 'select':
        return this.select(node);
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

  private undeclared(offset: number, name: string): Type {
    return this.report(offset, `undeclared reference to '${name.replace(/^\./, '')}' (in container '')`);
  }

  private localType(name: string): Type | undefined {
    return this.locals.findLast((l) => l.name === name)?.type;
  }

  private name(node: Node, written: string): Type | undefined {
    const name = written.startsWith('.') ? written.slice(1) : written;
    const local = written === name ? this.localType(name) : undefined;
    if (local !== undefined) {
      this.references.set(node.id, { kind: 'local', name });
      return local;
    }
    const variable = this.env.variable(name);
    if (variable !== undefined) {
      this.references.set(node.id, { kind: 'variable', name });
      return variable;
    }
    const type = this.env.typeName(name);
    if (type === undefined) return undefined;
    this.references.set(node.id, { kind: 'type', type });
    return typeOf(type);
  }

  private select(node: SelectNode): Type {
    const qualified = node.testOnly ? undefined : qualifiedName(node);
    if (qualified !== undefined && this.localType(qualified.split('.', 1)[0] ?? '') === undefined) {
      const type = this.name(node, qualified);
      if (type !== undefined) return type;
    }
    const operand = this.substitution.apply(this.visit(node.operand), 'partial');
    const type = this.field(node.offset, operand, node.field);
    return node.testOnly ? BOOL : type;
  }

  private field(offset: number, operand: Type, field: string): Type {
    if (isOptional(operand)) {
      const inner = this.field(offset, this.substitution.apply(operand.params[0] ?? DYN, 'partial'), field);
      return isOptional(inner) ? inner : optionalOf(inner);
    }
    if (operand.kind === 'map') return this.assign(STRING, operand.key) ? operand.value : this.noField(offset, operand);
    if (operand.kind === 'object') {
      const found = operand.fields.get(field);
      return found === undefined ? this.report(offset, `undefined field '${field}'`) : found.type;
    }
    if (operand.kind === 'param') {
      this.assign(operand, DYN);
      return DYN;
    }
    return isDyn(operand) ? DYN : this.noField(offset, operand);
  }

  private noField(offset: number, type: Type): Type {
    return this.report(offset, `type '${formatType(type)}' does not support field selection`);
  }

  private assign(from: Type, to: Type): boolean {
    return this.substitution.assignable([from], [to]);
  }

  private call(node: CallNode): Type {
    if (node.fn === '_?._') return this.optionalSelect(node);
    const name = node.fn.replace(/^\./, '');
    if (node.target === undefined) {
      const overloads = this.env.overloads(name);
      if (overloads === undefined) {
        for (const a of node.args) this.visit(a);
        return this.undeclared(node.offset, name);
      }
      return this.resolve(node, name, overloads, node.args, false);
    }
    const prefix = qualifiedName(node.target);
    if (prefix !== undefined && this.localType(prefix.split('.', 1)[0] ?? '') === undefined) {
      const qualified = `${prefix.replace(/^\./, '')}.${name}`;
      const overloads = this.env.overloads(qualified);
      if (overloads !== undefined) return this.resolve(node, qualified, overloads, node.args, false);
    }
    const overloads = this.env.overloads(name);
    const args = [node.target, ...node.args];
    if (overloads !== undefined) return this.resolve(node, name, overloads, args, true);
    for (const a of args) this.visit(a);
    return this.undeclared(node.offset, name);
  }

  private optionalSelect(node: CallNode): Type {
    const [operand, field] = node.args;
    if (operand === undefined || field?.kind !== 'const' || typeof field.value !== 'string')
      return this.report(node.offset, 'unsupported optional field selection');
    this.visit(field);
    const type = this.field(node.offset, this.substitution.apply(this.visit(operand), 'partial'), field.value);
    this.references.set(node.id, { kind: 'call', name: node.fn, overloads: [], args: node.args });
    return isOptional(type) ? type : optionalOf(type);
  }

  private resolve(
    node: CallNode,
    name: string,
    overloads: readonly Overload[],
    args: readonly Node[],
    member: boolean,
  ): Type {
    const types = args.map((a) => this.visit(a));
    const found: Overload[] = [];
    let result: Type | undefined;
    for (const o of overloads) {
      if (o.member !== member || o.args.length !== args.length) continue;
      const suffix = `#${this.fresh++}`;
      if (
        !this.substitution.assignable(
          types,
          o.args.map((t) => freshen(t, suffix)),
        )
      )
        continue;
      found.push(o);
      const type = this.substitution.apply(freshen(o.result, suffix), 'partial');
      if (result === undefined) result = type;
      else if (!isDyn(result) && !(lessSpecific(result, type) && lessSpecific(type, result))) result = DYN;
    }
    this.references.set(node.id, { kind: 'call', name, overloads: found, args });
    return result ?? this.noOverload(node, name, types, member);
  }

  private noOverload(node: CallNode, name: string, types: readonly Type[], member: boolean): Type {
    const texts = types.map((t) => formatType(this.substitution.apply(t, 'final')));
    const [target, ...rest] = texts;
    const signature = member ? `${target}.(${rest.join(', ')})` : `(${texts.join(', ')})`;
    return this.report(node.offset, `found no matching overload for '${name}' applied to '${signature}'`);
  }

  /** The common type of a literal's elements; that they be of one type is asked later (literals.ts). */
  private join(previous: Type | undefined, next: Type): Type {
    if (previous === undefined) return next;
    if (!this.assign(previous, next)) return DYN;
    return lessSpecific(previous, next) ? previous : next;
  }

  private unwrapped(type: Type, offset: number, optional: boolean): Type {
    if (!optional) return type;
    const t = this.substitution.apply(type, 'partial');
    if (isOptional(t)) return t.params[0] ?? DYN;
    if (isDyn(t)) return DYN;
    return this.report(offset, `expected type '${formatType(optionalOf(t))}' but found '${formatType(t)}'`);
  }

  private newParam(): Type {
    return { kind: 'param', name: `_var${this.fresh++}` };
  }

  private list(node: ListNode): Type {
    let element: Type | undefined;
    for (const [i, e] of node.elements.entries())
      element = this.join(element, this.unwrapped(this.visit(e), e.offset, node.optional.has(i)));
    return listOf(element ?? this.newParam());
  }

  private map(node: MapNode): Type {
    let key: Type | undefined;
    let value: Type | undefined;
    for (const e of node.entries) {
      key = this.join(key, this.visit(e.key));
      value = this.join(value, this.unwrapped(this.visit(e.value), e.value.offset, e.optional));
    }
    return mapOf(key ?? this.newParam(), value ?? this.newParam());
  }

  private struct(node: StructNode): Type {
    const name = node.typeName.replace(/^\./, '');
    const type = this.env.objectType(name);
    if (type === undefined) {
      for (const e of node.entries) this.visit(e.value);
      if (this.env.typeName(name) === undefined) return this.undeclared(node.offset, name);
      return this.report(node.offset, `'${name}' is not a message type`);
    }
    for (const e of node.entries) this.structField(e, type.fields.get(e.field));
    return type;
  }

  private structField(entry: StructNode['entries'][number], field: ObjectField | undefined): void {
    const value = this.unwrapped(this.visit(entry.value), entry.value.offset, entry.optional);
    if (field === undefined) {
      this.report(entry.offset, `undefined field '${entry.field}'`);
      return;
    }
    if (this.assign(value, field.type)) return;
    const [want, got] = [field.type, value].map((t) => formatType(this.substitution.apply(t, 'final')));
    this.report(entry.offset, `expected type of field '${entry.field}' is '${want}' but provided type is '${got}'`);
  }

  private comprehension(node: ComprehensionNode): Type {
    const range = this.substitution.apply(this.visit(node.range), 'partial');
    const accu = this.visit(node.accuInit);
    const [key, value] = this.iteration(node, range);
    const depth = this.locals.length;
    this.locals.push({ name: node.accuVar, type: accu });
    if (node.iterVar2 === undefined)
      this.locals.push({ name: node.iterVar, type: range.kind === 'list' ? value : key });
    else this.locals.push({ name: node.iterVar, type: key }, { name: node.iterVar2, type: value });
    this.expect(node.condition, BOOL);
    this.expect(node.step, accu);
    this.locals.length = depth + 1;
    const result = this.visit(node.result);
    this.locals.length = depth;
    return this.substitution.apply(result, 'partial');
  }

  /** Types of key (or index) and value. */
  private iteration(node: ComprehensionNode, range: Type): readonly [Type, Type] {
    if (range.kind === 'list') return [INT, range.element];
    if (range.kind === 'map') return [range.key, range.value];
    if (range.kind === 'param' || isDyn(range)) {
      if (range.kind === 'param') this.assign(range, DYN);
      return [DYN, DYN];
    }
    const text = formatType(range);
    this.report(
      node.range.offset,
      `expression of type '${text}' cannot be range of a comprehension (must be list, map, or dynamic)`,
    );
    return [ERROR, ERROR];
  }

  private expect(node: Node, want: Type): void {
    const got = this.visit(node);
    if (this.assign(got, want)) return;
    const [w, g] = [want, got].map((t) => formatType(this.substitution.apply(t, 'final')));
    this.report(node.offset, `expected type '${w}' but found '${g}'`);
  }
}

function literalType(value: Value): Type {
  if (value === null) return NULL;
  if (value instanceof Uint) return UINT;
  if (value instanceof Uint8Array) return BYTES;
  return LITERAL_TYPES[typeof value] ?? DYN;
}
