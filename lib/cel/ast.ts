/** The abstract syntax (cel-spec, syntax.proto), after macro expansion. `offset` is in UTF-16 units of the source. */
import type { Value } from './values/value.ts';

interface NodeBase {
  readonly id: number;
  readonly offset: number;
  /** Height of the tree below; bounded by the parser so that every walk may recurse. */
  readonly height: number;
}
export interface ConstNode extends NodeBase {
  readonly kind: 'const';
  readonly value: Value;
}
export interface IdentNode extends NodeBase {
  readonly kind: 'ident';
  readonly name: string;
}
export interface SelectNode extends NodeBase {
  readonly kind: 'select';
  readonly operand: Node;
  readonly field: string;
  /** `has(a.b)` */
  readonly testOnly: boolean;
}
export interface CallNode extends NodeBase {
  readonly kind: 'call';
  readonly fn: string;
  readonly target?: Node;
  readonly args: readonly Node[];
}
export interface ListNode extends NodeBase {
  readonly kind: 'list';
  readonly elements: readonly Node[];
  /** Indices of `?x` elements. */
  readonly optional: ReadonlySet<number>;
}
export interface MapEntry {
  readonly key: Node;
  readonly value: Node;
  readonly optional: boolean;
}
export interface MapNode extends NodeBase {
  readonly kind: 'map';
  readonly entries: readonly MapEntry[];
}
export interface StructEntry {
  readonly field: string;
  readonly value: Node;
  readonly optional: boolean;
  readonly offset: number;
}
export interface StructNode extends NodeBase {
  readonly kind: 'struct';
  readonly typeName: string;
  readonly entries: readonly StructEntry[];
}
export interface ComprehensionNode extends NodeBase {
  readonly kind: 'comprehension';
  readonly range: Node;
  readonly iterVar: string;
  /** With it `iterVar` is the key or index and this the value. */
  readonly iterVar2?: string;
  readonly accuVar: string;
  readonly accuInit: Node;
  readonly condition: Node;
  readonly step: Node;
  readonly result: Node;
}
export type Node = ConstNode | IdentNode | SelectNode | CallNode | ListNode | MapNode | StructNode | ComprehensionNode;

export const ACCUMULATOR = '@result';
export const UNUSED_VARIABLE = '#unused';

/** `a.b.c` when the node is a plain chain of names. */
export function qualifiedName(node: Node): string | undefined {
  if (node.kind === 'ident') return node.name;
  if (node.kind !== 'select' || node.testOnly) return undefined;
  const prefix = qualifiedName(node.operand);
  return prefix === undefined ? undefined : `${prefix}.${node.field}`;
}

/** A comprehension that only names a value: no range, a condition that is false. */
export function isBind(node: ComprehensionNode): boolean {
  return (
    node.range.kind === 'list' &&
    node.range.elements.length === 0 &&
    node.condition.kind === 'const' &&
    node.condition.value === false &&
    node.accuVar !== ACCUMULATOR
  );
}
