/** Makes nodes with ids and heights, and refuses trees that are too high or too large. */
import type { CallNode, ComprehensionNode, ListNode, MapEntry, Node, StructEntry } from '../ast.ts';
import type { Value } from '../values/value.ts';

/** Trees are walked by recursion: a chain such as `a + a + a ...` is as high as it is long. */
export const TREE_HEIGHT_MAX = 700;

export class TreeTooHigh extends Error {}

export class Builder {
  private nextId = 1;

  private base(offset: number, children: readonly Node[]): { id: number; offset: number; height: number } {
    let height = 0;
    for (const c of children) if (c.height >= height) height = c.height + 1;
    if (height > TREE_HEIGHT_MAX) throw new TreeTooHigh();
    return { id: this.nextId++, offset, height };
  }

  constant(offset: number, value: Value): Node {
    return { kind: 'const', value, ...this.base(offset, []) };
  }
  ident(offset: number, name: string): Node {
    return { kind: 'ident', name, ...this.base(offset, []) };
  }
  select(offset: number, operand: Node, field: string): Node {
    return { kind: 'select', operand, field, testOnly: false, ...this.base(offset, [operand]) };
  }
  presence(offset: number, operand: Node, field: string): Node {
    return { kind: 'select', operand, field, testOnly: true, ...this.base(offset, [operand]) };
  }
  call(offset: number, fn: string, ...args: readonly Node[]): CallNode {
    return { kind: 'call', fn, args, ...this.base(offset, args) };
  }
  memberCall(offset: number, target: Node, fn: string, args: readonly Node[]): CallNode {
    return { kind: 'call', fn, target, args, ...this.base(offset, [target, ...args]) };
  }
  list(offset: number, elements: readonly Node[], optional: ReadonlySet<number> = new Set()): ListNode {
    return { kind: 'list', elements, optional, ...this.base(offset, elements) };
  }
  map(offset: number, entries: readonly MapEntry[]): Node {
    return {
      kind: 'map',
      entries,
      ...this.base(
        offset,
        entries.flatMap((e) => [e.key, e.value]),
      ),
    };
  }
  struct(offset: number, typeName: string, entries: readonly StructEntry[]): Node {
    return {
      kind: 'struct',
      typeName,
      entries,
      ...this.base(
        offset,
        entries.map((e) => e.value),
      ),
    };
  }
  comprehension(offset: number, c: Omit<ComprehensionNode, 'kind' | 'id' | 'offset' | 'height'>): Node {
    const children = [c.range, c.accuInit, c.condition, c.step, c.result];
    return { kind: 'comprehension', ...c, ...this.base(offset, children) };
  }
  /** Names a value: `init` is evaluated once, when `result` is. */
  bind(offset: number, name: string, init: Node, result: Node): Node {
    return this.comprehension(offset, {
      range: this.list(offset, []),
      iterVar: '#unused',
      accuVar: name,
      accuInit: init,
      condition: this.constant(offset, false),
      step: this.ident(offset, name),
      result,
    });
  }
}
