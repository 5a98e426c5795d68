/**
 * Patterns of `${name#pattern}`, `${name%pattern}` and `${name/pattern/text}`: `*` any run, `?` one character, `\` before
 * `*`, `?` and `\` takes them literally; no brackets, and no wildcard crosses a line end. Source: POSIX shell 2.6.2, 2.13 as
 * Dockerfile frontends read them. Matched by following all ways at once, so that no pattern takes long. Pure.
 */
import { StatusError } from '#lib/base';

type Token = { readonly kind: 'literal'; readonly text: string } | { readonly kind: 'one' } | { readonly kind: 'run' };

export type Pattern = readonly Token[];

/** Throws Invalid for an escape before another character. */
export function parsePattern(text: string): Pattern {
  const out: Token[] = [];
  const chars = [...text];
  for (let i = 0; i < chars.length; i++) {
    const ch = chars[i] ?? '';
    if (ch === '*') {
      if (out.at(-1)?.kind !== 'run') out.push({ kind: 'run' });
    } else if (ch === '?') out.push({ kind: 'one' });
    else if (ch === '\\') {
      const next = chars[++i] ?? '';
      if (!['*', '?', '\\', '}', '/'].includes(next))
        throw new StatusError('Invalid', `invalid pattern (${text}) in substitution: invalid escape '\\${next}'`);
      out.push({ kind: 'literal', text: next });
    } else out.push({ kind: 'literal', text: ch });
  }
  return out;
}

/** `value` without what the pattern matches at its begin. */
export function trimPrefix(value: string, pattern: Pattern, longest: boolean): string {
  const chars = [...value];
  const end = matchAt(chars, pattern, longest);
  return end === undefined ? value : chars.slice(end).join('');
}

/** `value` without what the pattern matches at its end. */
export function trimSuffix(value: string, pattern: Pattern, longest: boolean): string {
  const chars = [...value].reverse();
  const end = matchAt(chars, [...pattern].reverse(), longest);
  return end === undefined ? value : chars.slice(end).reverse().join('');
}

/** The first, or every, longest match replaced; a pattern of nothing matches nothing. */
export function replaceMatches(value: string, pattern: Pattern, replacement: string, all: boolean): string {
  if (pattern.length === 0) return value;
  const chars = [...value];
  const out: string[] = [];
  let at = 0;
  while (at <= chars.length) {
    const found = search(chars, at, pattern);
    if (found === undefined) break;
    // An empty match replaces nothing: a `*` on an empty value.
    if (found.end === found.start) {
      if (chars.length === 0) out.push(replacement);
      break;
    }
    out.push(...chars.slice(at, found.start), replacement);
    at = found.end;
    if (!all || at === chars.length) break;
  }
  out.push(...chars.slice(at));
  return out.join('');
}

/** Where a match that begins at 0 ends: the shortest or the longest. */
function matchAt(chars: readonly string[], pattern: Pattern, longest: boolean): number | undefined {
  let states = reach(pattern, new Set([0]));
  let end: number | undefined;
  for (let i = 0; ; i++) {
    if (states.has(pattern.length)) {
      end = i;
      if (!longest) return end;
    }
    const ch = chars[i];
    if (ch === undefined || states.size === 0) return end;
    states = step(pattern, states, ch);
  }
}

/** The leftmost match from `from` on, and of those that begin there the longest: one pass, each state with its earliest start. */
function search(chars: readonly string[], from: number, pattern: Pattern): { start: number; end: number } | undefined {
  let threads = new Map<number, number>();
  let best: { start: number; end: number } | undefined;
  for (let i = from; i <= chars.length; i++) {
    if (best === undefined && !threads.has(0)) threads.set(0, i);
    threads = reachThreads(pattern, threads);
    const start = threads.get(pattern.length);
    if (start !== undefined && (best === undefined || start <= best.start)) best = { start, end: i };
    const ch = chars[i];
    if (ch === undefined) break;
    const next = new Map<number, number>();
    for (const [state, begin] of threads) {
      if (best !== undefined && begin > best.start) continue;
      const to = after(pattern, state, ch);
      if (to !== undefined && (next.get(to) ?? Infinity) > begin) next.set(to, begin);
    }
    threads = next;
    if (best !== undefined && threads.size === 0) break;
  }
  return best;
}

function after(pattern: Pattern, state: number, ch: string): number | undefined {
  const token = pattern[state];
  if (token === undefined) return undefined;
  if (token.kind === 'literal') return token.text === ch ? state + 1 : undefined;
  if (ch === '\n') return undefined;
  return token.kind === 'one' ? state + 1 : state;
}

function step(pattern: Pattern, states: ReadonlySet<number>, ch: string): Set<number> {
  const next = new Set<number>();
  for (const s of states) {
    const to = after(pattern, s, ch);
    if (to !== undefined) next.add(to);
  }
  return reach(pattern, next);
}

/** A run may be of nothing. Two runs never follow each other. */
function reach(pattern: Pattern, states: Set<number>): Set<number> {
  for (const s of [...states]) if (pattern[s]?.kind === 'run') states.add(s + 1);
  return states;
}

function reachThreads(pattern: Pattern, threads: Map<number, number>): Map<number, number> {
  for (const [state, begin] of [...threads])
    if (pattern[state]?.kind === 'run' && (threads.get(state + 1) ?? Infinity) > begin) threads.set(state + 1, begin);
  return threads;
}
