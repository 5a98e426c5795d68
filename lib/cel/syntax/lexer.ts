/** Tokens of CEL (cel-spec, "Syntax"; cel-go parser/gen/CEL.g4). */
import type { Issue } from '../source.ts';

export type TokenKind = 'int' | 'uint' | 'double' | 'string' | 'bytes' | 'ident' | 'escaped' | 'symbol' | 'end';

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  readonly offset: number;
}

const SYMBOLS = ['==', '!=', '<=', '>=', '&&', '||'];
const SINGLE = '<>[]{}().,-!?:+*/%';
const NUMBER = /0x[0-9a-fA-F]+[uU]?|(?:\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)|\d+[uU]?/y;
const IDENTIFIER = /[A-Za-z_][A-Za-z0-9_]*/y;
const ESCAPED = /`[A-Za-z0-9_.\-/ ]+`/y;
const BLANK = /(?:[\t \r\n\f]+|\/\/[^\n]*)+/y;
const STRING_START = /(?:[rR][bB]?|[bB][rR]?)?(?:"""|'''|"|')/y;

/** Issues are the characters that begin no token; they are skipped. */
export function tokenize(text: string): { tokens: Token[]; issues: Issue[] } {
  const tokens: Token[] = [];
  const issues: Issue[] = [];
  let at = 0;
  while (at < text.length) {
    const blank = match(BLANK, text, at);
    if (blank !== undefined) {
      at += blank.length;
      continue;
    }
    const token = tokenAt(text, at);
    if (token !== undefined) {
      tokens.push(token);
      at += token.text.length;
    } else {
      const c = String.fromCodePoint(text.codePointAt(at) ?? 0);
      const bad = c === '"' || c === "'" ? text.slice(at).split('\n', 1)[0] : c;
      issues.push({ offset: at, message: `Syntax error: token recognition error at: '${bad ?? c}'` });
      at += (bad ?? c).length;
    }
  }
  tokens.push({ kind: 'end', text: '<EOF>', offset: text.length });
  return { tokens, issues };
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

function tokenAt(text: string, at: number): Token | undefined {
  const start = match(STRING_START, text, at);
  if (start !== undefined) return stringToken(text, at, start);
  const number = match(NUMBER, text, at);
  if (number !== undefined) {
    const kind = /[uU]$/.test(number) ? 'uint' : /^0x|^\d+$/.test(number) ? 'int' : 'double';
    return { kind, text: number, offset: at };
  }
  const ident = match(IDENTIFIER, text, at);
  if (ident !== undefined) return { kind: ident === 'in' ? 'symbol' : 'ident', text: ident, offset: at };
  const escaped = match(ESCAPED, text, at);
  if (escaped !== undefined) return { kind: 'escaped', text: escaped, offset: at };
  const pair = text.slice(at, at + 2);
  if (SYMBOLS.includes(pair)) return { kind: 'symbol', text: pair, offset: at };
  const one = text[at] ?? '';
  return one !== '' && SINGLE.includes(one) ? { kind: 'symbol', text: one, offset: at } : undefined;
}

function stringToken(text: string, at: number, start: string): Token | undefined {
  const prefix = start.replace(/["']/g, '');
  const quote = start.slice(prefix.length);
  const raw = /[rR]/.test(prefix);
  let i = at + start.length;
  while (i < text.length) {
    const c = text[i];
    if (text.startsWith(quote, i)) {
      const kind = /[bB]/.test(prefix) ? 'bytes' : 'string';
      return { kind, text: text.slice(at, i + quote.length), offset: at };
    }
    if (quote.length === 1 && (c === '\n' || c === '\r')) return undefined;
    i += c === '\\' && !raw ? 2 : 1;
  }
  return undefined;
}
