/**
 * Recursive descent over cel-go's grammar (parser/gen/CEL.g4). Bounds: source length, nesting (cel-go: 250) and height of the tree.
 * The first syntax error ends parsing.
 */
import type { MapEntry, Node, StructEntry } from '../ast.ts';
import { qualifiedName } from '../ast.ts';
import type { Issue } from '../source.ts';
import { Builder, TreeTooHigh } from './builder.ts';
import { type Token, tokenize } from './lexer.ts';
import { bytesLiteral, doubleLiteral, intLiteral, stringLiteral, uintLiteral } from './literal.ts';
import { type Expansion, expandGlobal, expandMember, isIssue } from './macros.ts';

export const SOURCE_CODE_POINTS_MAX = 100_000;
export const NESTING_MAX = 250;

const RESERVED = new Set(
  'as break const continue else false for function if import in let loop package namespace null return true var void while'.split(
    ' ',
  ),
);
const PRIMARY_EXPECTED =
  "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
const RELATIONS: Readonly<Record<string, string>> = {
  '<': '_<_',
  '<=': '_<=_',
  '>=': '_>=_',
  '>': '_>_',
  '==': '_==_',
  '!=': '_!=_',
  in: '@in',
};
const ADDITIONS: Readonly<Record<string, string>> = { '+': '_+_', '-': '_-_' };
const MULTIPLICATIONS: Readonly<Record<string, string>> = { '*': '_*_', '/': '_/_', '%': '_%_' };

class SyntaxIssue extends Error {
  readonly issue: Issue;
  constructor(issue: Issue) {
    super(issue.message);
    this.issue = issue;
  }
}

export function parse(text: string): { node: Node } | { issues: Issue[] } {
  if (text.length > SOURCE_CODE_POINTS_MAX) {
    const size = [...text.slice(0, SOURCE_CODE_POINTS_MAX * 2 + 2)].length;
    if (size > SOURCE_CODE_POINTS_MAX)
      return {
        issues: [
          {
            offset: 0,
            message: `expression code point size exceeds limit: size: ${size}, limit ${SOURCE_CODE_POINTS_MAX}`,
          },
        ],
      };
  }
  const { tokens, issues } = tokenize(text);
  const parser = new Parser(tokens, issues);
  try {
    const node = parser.start();
    return issues.length > 0 ? { issues } : { node };
  } catch (e) {
    if (e instanceof SyntaxIssue) return { issues: [...issues, e.issue] };
    if (e instanceof TreeTooHigh)
      return { issues: [...issues, { offset: 0, message: `expression recursion limit exceeded: ${NESTING_MAX}` }] };
    throw e;
  }
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly issues: Issue[];
  private readonly b = new Builder();
  private at = 0;
  private depth = 0;

  constructor(tokens: readonly Token[], issues: Issue[]) {
    this.tokens = tokens;
    this.issues = issues;
  }

  start(): Node {
    const node = this.expression();
    const t = this.peek();
    if (t.kind !== 'end') this.fail(t, `extraneous input '${t.text}' expecting <EOF>`);
    return node;
  }

  private peek(): Token {
    return this.tokens[this.at] ?? { kind: 'end', text: '<EOF>', offset: 0 };
  }
  private next(): Token {
    const t = this.peek();
    this.at++;
    return t;
  }
  private fail(t: Token, message: string): never {
    throw new SyntaxIssue({ offset: t.offset, message: `Syntax error: ${message}` });
  }
  private report(offset: number, message: string): void {
    this.issues.push({ offset, message });
  }
  private is(symbol: string): boolean {
    const t = this.peek();
    return t.kind === 'symbol' && t.text === symbol;
  }
  private accept(symbol: string): Token | undefined {
    return this.is(symbol) ? this.next() : undefined;
  }
  private expect(symbol: string): Token {
    const t = this.accept(symbol);
    if (t !== undefined) return t;
    return this.fail(this.peek(), `mismatched input '${this.peek().text}' expecting '${symbol}'`);
  }

  private expression(): Node {
    if (++this.depth > NESTING_MAX)
      throw new SyntaxIssue({ offset: 0, message: `expression recursion limit exceeded: ${NESTING_MAX}` });
    const condition = this.or();
    const question = this.accept('?');
    let node = condition;
    if (question !== undefined) {
      const yes = this.or();
      this.expect(':');
      node = this.b.call(question.offset, '_?_:_', condition, yes, this.expression());
    }
    this.depth--;
    return node;
  }

  private or(): Node {
    return this.logical('||', '_||_', () => this.logical('&&', '_&&_', () => this.relation()));
  }

  /** Terms are joined as a balanced tree, so that long chains stay low. */
  private logical(symbol: string, fn: string, operand: () => Node): Node {
    const terms = [operand()];
    const offsets: number[] = [];
    for (let t = this.accept(symbol); t !== undefined; t = this.accept(symbol)) {
      offsets.push(t.offset);
      terms.push(operand());
    }
    const balance = (from: number, to: number): Node => {
      const only = terms[from];
      if (from === to && only !== undefined) return only;
      const middle = (from + to) >> 1;
      return this.b.call(offsets[middle] ?? 0, fn, balance(from, middle), balance(middle + 1, to));
    };
    return balance(0, terms.length - 1);
  }

  private relation(): Node {
    return this.leftToRight(RELATIONS, () =>
      this.leftToRight(ADDITIONS, () => this.leftToRight(MULTIPLICATIONS, () => this.unary())),
    );
  }

  private leftToRight(operators: Readonly<Record<string, string>>, operand: () => Node): Node {
    let node = operand();
    for (;;) {
      const t = this.peek();
      const fn = t.kind === 'symbol' && Object.hasOwn(operators, t.text) ? operators[t.text] : undefined;
      if (fn === undefined) return node;
      this.at++;
      node = this.b.call(t.offset, fn, node, operand());
    }
  }

  /** `!!x` and `--x` cancel out, as in cel-go. */
  private unary(): Node {
    const t = this.peek();
    const symbol = this.is('!') ? '!' : this.is('-') ? '-' : undefined;
    if (symbol === undefined) return this.member(this.primary());
    let count = 0;
    while (this.accept(symbol) !== undefined) count++;
    const following = this.peek();
    if (symbol === '-' && count === 1 && (following.kind === 'int' || following.kind === 'double'))
      return this.member(this.literal(this.next(), true));
    const operand = this.member(this.primary());
    if (count % 2 === 0) return operand;
    return this.b.call(t.offset, symbol === '!' ? '!_' : '-_', operand);
  }

  private member(start: Node): Node {
    let node = start;
    for (;;) {
      const dot = this.accept('.');
      if (dot !== undefined) {
        node = this.selection(node, dot);
        continue;
      }
      const bracket = this.accept('[');
      if (bracket === undefined) return node;
      const optional = this.accept('?') !== undefined;
      const index = this.expression();
      this.expect(']');
      node = this.b.call(bracket.offset, optional ? '_[?_]' : '_[_]', node, index);
    }
  }

  private selection(operand: Node, dot: Token): Node {
    const optional = this.accept('?') !== undefined;
    const t = this.next();
    if (t.kind === 'escaped' || (t.kind === 'ident' && optional)) {
      const field = t.kind === 'escaped' ? t.text.slice(1, -1) : t.text;
      if (!optional) return this.b.select(dot.offset, operand, field);
      return this.b.call(dot.offset, '_?._', operand, this.b.constant(t.offset, field));
    }
    if (t.kind !== 'ident') this.fail(t, `mismatched input '${t.text}' expecting IDENTIFIER`);
    if (RESERVED.has(t.text) && ['true', 'false', 'null'].includes(t.text))
      this.fail(t, `mismatched input '${t.text}' expecting IDENTIFIER`);
    const open = this.accept('(');
    if (open === undefined) return this.b.select(dot.offset, operand, t.text);
    const args = this.arguments();
    return this.expanded(expandMember(this.b, open.offset, operand, t.text, args), () =>
      this.b.memberCall(open.offset, operand, t.text, args),
    );
  }

  private expanded(expansion: Expansion, otherwise: () => Node): Node {
    if (expansion === undefined) return otherwise();
    if (!isIssue(expansion)) return expansion;
    this.report(expansion.offset, expansion.message);
    return this.b.constant(expansion.offset, null);
  }

  private arguments(): Node[] {
    const args: Node[] = [];
    if (this.accept(')') !== undefined) return args;
    do args.push(this.expression());
    while (this.accept(',') !== undefined);
    this.expect(')');
    return args;
  }

  private primary(): Node {
    const t = this.next();
    if (t.kind === 'symbol') {
      if (t.text === '(') {
        const node = this.expression();
        this.expect(')');
        return node;
      }
      if (t.text === '[') return this.listLiteral(t);
      if (t.text === '{') return this.mapLiteral(t);
      if (t.text === '.' && this.peek().kind === 'ident') return this.name(this.next(), '.');
      return this.fail(t, `mismatched input '${t.text}' expecting ${PRIMARY_EXPECTED}`);
    }
    if (t.kind === 'ident') return this.name(t, '');
    if (t.kind === 'end' || t.kind === 'escaped')
      return this.fail(t, `mismatched input '${t.text}' expecting ${PRIMARY_EXPECTED}`);
    return this.literal(t, false);
  }

  private literal(t: Token, negative: boolean): Node {
    let value: ReturnType<typeof uintLiteral>;
    let message = '';
    if (t.kind === 'int') [value, message] = [intLiteral(t.text, negative), 'invalid int literal'];
    else if (t.kind === 'uint') [value, message] = [uintLiteral(t.text), 'invalid uint literal'];
    else if (t.kind === 'double') [value, message] = [doubleLiteral(t.text, negative), 'invalid double literal'];
    else if (t.kind === 'bytes') [value, message] = [bytesLiteral(t.text), 'invalid bytes literal'];
    else [value, message] = [stringLiteral(t.text), 'unable to unescape string'];
    if (value === undefined) this.report(t.offset, message);
    return this.b.constant(t.offset, value ?? null);
  }

  /** An identifier, a call, a message literal or a keyword literal. */
  private name(t: Token, leadingDot: string): Node {
    if (leadingDot === '') {
      if (t.text === 'true' || t.text === 'false') return this.b.constant(t.offset, t.text === 'true');
      if (t.text === 'null') return this.b.constant(t.offset, null);
    }
    if (RESERVED.has(t.text)) this.report(t.offset, `reserved identifier: ${t.text}`);
    const open = this.accept('(');
    if (open !== undefined) {
      const args = this.arguments();
      return this.expanded(expandGlobal(this.b, open.offset, t.text, args), () =>
        this.b.call(open.offset, leadingDot + t.text, ...args),
      );
    }
    let node: Node = this.b.ident(t.offset, leadingDot + t.text);
    const start = this.at;
    while (this.is('.') && this.tokens[this.at + 1]?.kind === 'ident') {
      const dot = this.next();
      node = this.b.select(dot.offset, node, this.next().text);
    }
    const brace = this.accept('{');
    if (brace !== undefined) return this.structLiteral(brace, qualifiedName(node) ?? '');
    // Not a message: what looked like a qualified name is read again as selections, which may be calls.
    this.at = start;
    return this.b.ident(t.offset, leadingDot + t.text);
  }

  private listLiteral(open: Token): Node {
    const elements: Node[] = [];
    const optional = new Set<number>();
    while (!this.is(']')) {
      if (this.accept('?') !== undefined) optional.add(elements.length);
      elements.push(this.expression());
      if (this.accept(',') === undefined) break;
    }
    this.expect(']');
    return this.b.list(open.offset, elements, optional);
  }

  private mapLiteral(open: Token): Node {
    const entries: MapEntry[] = [];
    while (!this.is('}')) {
      const optional = this.accept('?') !== undefined;
      const key = this.expression();
      this.expect(':');
      entries.push({ key, value: this.expression(), optional });
      if (this.accept(',') === undefined) break;
    }
    this.expect('}');
    return this.b.map(open.offset, entries);
  }

  private structLiteral(open: Token, typeName: string): Node {
    const entries: StructEntry[] = [];
    while (!this.is('}')) {
      const optional = this.accept('?') !== undefined;
      const t = this.next();
      if (t.kind !== 'ident' && t.kind !== 'escaped') this.fail(t, `mismatched input '${t.text}' expecting IDENTIFIER`);
      const colon = this.expect(':');
      const field = t.kind === 'escaped' ? t.text.slice(1, -1) : t.text;
      entries.push({ field, value: this.expression(), optional, offset: colon.offset });
      if (this.accept(',') === undefined) break;
    }
    this.expect('}');
    return this.b.struct(open.offset, typeName, entries);
  }
}
