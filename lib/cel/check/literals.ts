/** Literals that functions would refuse are refused when compiling (cel-go cel/validator.go, as Kubernetes 1.29 and later). */
import type { Node } from '../ast.ts';
import { Regex } from '../regex/regex.ts';
import type { Issue } from '../source.ts';
import { parseDuration, parseTimestamp } from '../values/time.ts';

const CHECKS: Readonly<Record<string, (text: string) => boolean>> = {
  duration: (text) => parseDuration(text) !== undefined,
  timestamp: (text) => parseTimestamp(text) !== undefined,
  matches: (text) => Regex.compile(text) instanceof Regex,
};

export function literalIssues(root: Node): Issue[] {
  const issues: Issue[] = [];
  visit(root, (node) => {
    if (node.kind !== 'call' || !Object.hasOwn(CHECKS, node.fn)) return;
    const argument = node.args.at(-1);
    if (argument?.kind !== 'const' || typeof argument.value !== 'string') return;
    if (CHECKS[node.fn]?.(argument.value) === false)
      issues.push({ offset: argument.offset, message: `invalid ${node.fn} argument` });
  });
  return issues;
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
