/**
 * Go's path.Match, by which references are filtered: `*` and `?` stand for anything but a slash, `[a-z]` and `[^a]` for one
 * character. Source: go.dev/pkg/path#Match. Pure, in time linear in pattern times name.
 */
import { badParameter } from '../http/contract.ts';

type Part = { readonly kind: 'star' } | { readonly kind: 'one'; readonly fits: (ch: string) => boolean };

export class Glob {
  readonly #parts: readonly Part[];

  /** Throws 400 "syntax error in pattern". */
  constructor(pattern: string) {
    this.#parts = parse([...pattern]);
  }

  matches(name: string): boolean {
    const text = [...name];
    /* Which positions of the text the parts so far may end at. */
    let ends = new Set([0]);
    for (const part of this.#parts) {
      const next = new Set<number>();
      for (const at of ends) {
        if (part.kind === 'one') {
          const ch = text[at];
          if (ch !== undefined && part.fits(ch)) next.add(at + 1);
        } else {
          for (let end = at; ; end++) {
            next.add(end);
            const ch = text[end];
            if (ch === undefined || ch === '/' || next.has(end + 1)) break;
          }
        }
      }
      ends = next;
    }
    return ends.has(text.length);
  }
}

function parse(pattern: readonly string[]): readonly Part[] {
  const parts: Part[] = [];
  for (let at = 0; at < pattern.length; ) {
    const ch = pattern[at] ?? '';
    if (ch === '[') {
      const { part, next } = readClass(pattern, at + 1);
      parts.push(part);
      at = next;
    } else if (ch === '\\') {
      const literal = pattern[at + 1];
      if (literal === undefined) throw malformed();
      parts.push({ kind: 'one', fits: (c) => c === literal });
      at += 2;
    } else {
      if (ch === '*') parts.push({ kind: 'star' });
      else if (ch === '?') parts.push({ kind: 'one', fits: (c) => c !== '/' });
      else parts.push({ kind: 'one', fits: (c) => c === ch });
      at++;
    }
  }
  return parts;
}

function readClass(pattern: readonly string[], start: number): { part: Part; next: number } {
  const isNegated = pattern[start] === '^';
  const ranges: (readonly [string, string])[] = [];
  let at = isNegated ? start + 1 : start;
  const read = (): string => {
    const escaped = pattern[at] === '\\';
    const ch = pattern[escaped ? at + 1 : at];
    if (ch === undefined || (!escaped && (ch === '-' || ch === ']'))) throw malformed();
    at += escaped ? 2 : 1;
    return ch;
  };
  while (pattern[at] !== ']' || ranges.length === 0) {
    const low = read();
    let high = low;
    if (pattern[at] === '-') {
      at++;
      high = read();
    }
    ranges.push([low, high]);
  }
  const isIn = (c: string): boolean => ranges.some(([low, high]) => c >= low && c <= high);
  return { part: { kind: 'one', fits: (c) => isIn(c) !== isNegated }, next: at + 1 };
}

function malformed(): Error {
  return badParameter('syntax error in pattern');
}
