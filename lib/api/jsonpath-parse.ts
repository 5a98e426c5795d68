/** The parser of jsonpath.ts: one pass over the text, no backtracking. */

export type Step =
  | { readonly k: 'field'; readonly name: string }
  | { readonly k: 'all' }
  | {
      readonly k: 'slice';
      readonly from: number | undefined;
      readonly to: number | undefined;
      readonly step: number;
      readonly isIndex: boolean;
    }
  | { readonly k: 'union'; readonly of: readonly Step[] }
  /** The value and all below it. */
  | { readonly k: 'descend' }
  | { readonly k: 'filter'; readonly filter: Filter };

export type Operand = { readonly literal: unknown } | { readonly steps: readonly Step[] };

export interface Filter {
  readonly operator: 'exists' | '==' | '!=' | '<' | '>' | '<=' | '>=';
  readonly left: Operand;
  readonly right?: Operand;
}

export interface PathError {
  readonly error: string;
}

/** Longer texts are refused. */
export const PATH_LENGTH_MAX = 1000;

class Refused extends Error {}

export function parseSteps(text: string): readonly Step[] | PathError {
  if (text.length > PATH_LENGTH_MAX) return { error: `must be no more than ${PATH_LENGTH_MAX} characters` };
  try {
    return steps(text);
  } catch (e) {
    if (!(e instanceof Refused)) throw e;
    return { error: e.message };
  }
}

function steps(text: string): Step[] {
  const found: Step[] = [];
  let at = text.startsWith('$') || text.startsWith('@') ? 1 : 0;
  while (at < text.length) {
    if (text[at] === '[') {
      const end = closing(text, at);
      found.push(bracket(text.slice(at + 1, end).trim()));
      at = end + 1;
      continue;
    }
    if (text.startsWith('..', at)) {
      found.push({ k: 'descend' });
      at += text[at + 2] === '[' ? 2 : 1;
      continue;
    }
    if (text[at] !== '.') throw new Refused(`unrecognized character in path: ${text[at]}`);
    const end = nameEnd(text, at + 1);
    const name = text.slice(at + 1, end).replace(/\\(.)/g, '$1');
    // `.` alone is the value, `.[0]` its item.
    if (name !== '') found.push(text.slice(at + 1, end) === '*' ? { k: 'all' } : { k: 'field', name });
    at = end;
  }
  return found;
}

function nameEnd(text: string, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== '.' && text[at] !== '[') at += text[at] === '\\' ? 2 : 1;
  return Math.min(at, text.length);
}

/** The bracket that closes the one at `start`; quotes hide brackets. */
function closing(text: string, start: number): number {
  let depth = 0;
  let quote = '';
  for (let at = start; at < text.length; at++) {
    const c = text[at] ?? '';
    if (quote !== '') {
      if (c === '\\') at++;
      else if (c === quote) quote = '';
    } else if (c === "'" || c === '"') quote = c;
    else if (c === '[') depth++;
    else if (c === ']' && --depth === 0) return at;
  }
  throw new Refused('unterminated array');
}

function bracket(text: string): Step {
  if (text === '*') return { k: 'all' };
  if (text.startsWith('?')) return { k: 'filter', filter: filter(text.slice(1).trim()) };
  const parts = splitOutside(text, ',').map((part) => element(part.trim()));
  const [first] = parts;
  return parts.length === 1 && first !== undefined ? first : { k: 'union', of: parts };
}

function element(text: string): Step {
  const quoted = unquote(text);
  if (quoted !== undefined) return { k: 'field', name: quoted };
  const m = /^(-?\d{1,9})?(?:(:)(-?\d{1,9})?(?::(\d{1,9})?)?)?$/.exec(text);
  if (m === null || text === '') throw new Refused(`invalid array index ${text}`);
  const number = (part: string | undefined): number | undefined => (part === undefined ? undefined : Number(part));
  const step = number(m[4]) ?? 1;
  if (step === 0) throw new Refused('step must be > 0');
  return { k: 'slice', from: number(m[1]), to: number(m[3]), step, isIndex: m[2] === undefined };
}

function unquote(text: string): string | undefined {
  const quote = text[0];
  if (text.length < 2 || (quote !== "'" && quote !== '"') || !text.endsWith(quote)) return undefined;
  return text.slice(1, -1).replace(/\\(.)/g, '$1');
}

/** Splits at `separator` outside of quotes. */
function splitOutside(text: string, separator: string): string[] {
  const parts: string[] = [];
  let quote = '';
  let start = 0;
  for (let at = 0; at < text.length; at++) {
    const c = text[at] ?? '';
    if (quote !== '') {
      if (c === '\\') at++;
      else if (c === quote) quote = '';
    } else if (c === "'" || c === '"') quote = c;
    else if (c === separator) {
      parts.push(text.slice(start, at));
      start = at + 1;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

const OPERATORS = ['==', '!=', '<=', '>=', '<', '>'] as const;

function filter(text: string): Filter {
  if (!text.startsWith('(') || !text.endsWith(')')) throw new Refused('unexpected filter: parentheses are missing');
  const inner = text.slice(1, -1).trim();
  const found = operatorIn(inner);
  if (found === undefined) return { operator: 'exists', left: operand(inner) };
  return {
    operator: found.operator,
    left: operand(inner.slice(0, found.at).trim()),
    right: operand(inner.slice(found.at + found.operator.length).trim()),
  };
}

function operatorIn(text: string): { operator: (typeof OPERATORS)[number]; at: number } | undefined {
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const c = text[at] ?? '';
    if (quote !== '') {
      if (c === '\\') at++;
      else if (c === quote) quote = '';
      continue;
    }
    if (c === "'" || c === '"') quote = c;
    const operator = OPERATORS.find((o) => text.startsWith(o, at));
    if (operator !== undefined) return { operator, at };
  }
  return undefined;
}

function operand(text: string): Operand {
  if (text.startsWith('@') || text.startsWith('$')) return { steps: steps(text) };
  const quoted = unquote(text);
  if (quoted !== undefined) return { literal: quoted };
  if (text === 'true' || text === 'false') return { literal: text === 'true' };
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)$/.test(text)) return { literal: Number(text) };
  throw new Refused(`unrecognized operand ${text}`);
}
