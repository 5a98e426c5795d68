/**
 * Literals that functions would refuse, and those of mixed types, are refused when compiling (cel-go cel/validator.go, as Kubernetes
 * 1.29 and later).
 */
import type { Node } from '../ast.ts';
import { Regex } from '../regex/regex.ts';
import type { Issue } from '../source.ts';
import { DYN, formatType, isOptional, sameType, type Type } from '../types.ts';
import { parseDuration, parseTimestamp } from '../values/time.ts';
import type { Checked } from './checker.ts';

const CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  duration: (text) => parseDuration(text) !== undefined,
  timestamp: (text) => parseTimestamp(text) !== undefined,
  matches: (text) => Regex.compile(text) instanceof Regex,
};

export function literalIssues(checked: Checked): Issue[] {
  const issues: Issue[] = [];
  visit(checked.node, (node) => {
    if (node.kind !== 'call' || !Object.hasOwn(CHECKS, node.fn)) return;
    const argument = node.args.at(-1);
    if (argument?.kind !== 'const' || typeof argument.value !== 'string') return;
    if (CHECKS[node.fn]?.(argument.value) === false)
      issues.push({ offset: argument.offset, message: `invalid ${node.fn} argument` });
  });
  homogeneous(checked.node, checked, issues);
  return issues;
}

/** Elements of a literal have one type, but for what `format` is given. */
function homogeneous(node: Node, checked: Checked, issues: Issue[]): void {
  if (node.kind === 'call' && node.fn === 'format') return;
  if (node.kind === 'list') {
    const elements = node.elements.map((e, i) => ({ node: e, optional: node.optional.has(i) }));
    issues.push(...differing(elements, checked).slice(0, 1));
  } else if (node.kind === 'map') {
    const keys = node.entries.map((e) => ({ node: e.key, optional: false }));
    const values = node.entries.map((e) => ({ node: e.value, optional: e.optional }));
    issues.push(...differing(keys, checked), ...differing(values, checked));
  }
  for (const child of childrenOf(node)) homogeneous(child, checked, issues);
}

function differing(items: readonly { readonly node: Node; readonly optional: boolean }[], checked: Checked): Issue[] {
  const typeOf = (item: (typeof items)[number]): Type => {
    const type = checked.types.get(item.node.id) ?? DYN;
    return item.optional && isOptional(type) ? (type.params[0] ?? DYN) : type;
  };
  const [first] = items;
  if (first === undefined) return [];
  const want = typeOf(first);
  return items.flatMap((item) => {
    const got = typeOf(item);
    if (sameType(want, got)) return [];
    return [
      { offset: item.node.offset, message: `expected type '${formatType(want)}' but found '${formatType(got)}'` },
    ];
  });
}

export function visit(node: Node, see: (node: Node) => void): void {
  see(node);
  for (const child of childrenOf(node)) visit(child, see);
}

function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'const':
    case 'ident':
      return [];
    case 'select':
      return [node.operand];
    case 'call':
      return node.target === undefined ? node.args : [node.target, ...node.args];
    case 'list':
      return node.elements;
    case 'map':
      return node.entries.flatMap((e) => [e.key, e.value]);
    case 'struct':
      return node.entries.map((e) => e.value);
    case 'comprehension':
      return [node.range, node.accuInit, node.condition, node.step, node.result];
  }
}
