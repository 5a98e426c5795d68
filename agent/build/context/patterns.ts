/**
 * Patterns of .dockerignore, `--exclude` and of COPY's sources. Source: Go's path.Match; moby/patternmatcher (`**`, `!`, parents).
 * Matched by following all ways at once: no pattern takes long. Pure.
 */
import { StatusError } from '#lib/base';

type Token =
  | { readonly kind: 'literal'; readonly text: string }
  /** Any one character but a slash. */
  | { readonly kind: 'one' }
  /** `*`: any run without a slash. */
  | { readonly kind: 'run' }
  /** A leading part of a path, with its slash, or nothing: a double star and a slash. */
  | { readonly kind: 'parents' }
  /** `**` at the end: anything. */
  | { readonly kind: 'all' }
  | { readonly kind: 'class'; readonly negated: boolean; readonly ranges: readonly (readonly [number, number])[] };

export class PathPattern {
  readonly #tokens: readonly Token[];

  /** Throws Invalid for a class or an escape without an end. `deep`: `**` crosses slashes, else it is `*`. */
  constructor(text: string, o: { readonly deep: boolean }) {
    this.#tokens = tokensOf(text, o.deep);
  }

  matches(path: string): boolean {
    let states = this.#enter(new Set(), 0);
    for (const ch of path) {
      const next = new Set<number>();
      for (const s of states) this.#step(next, s, ch);
      if (next.size === 0) return false;
      states = next;
    }
    return states.has(this.#tokens.length);
  }

  /** State `s` and those that are reached from it for nothing. */
  #enter(states: Set<number>, s: number): Set<number> {
    for (let at = s; !states.has(at); at++) {
      states.add(at);
      const kind = this.#tokens[at]?.kind;
      if (kind !== 'run' && kind !== 'parents' && kind !== 'all') break;
    }
    return states;
  }

  /** State `~s`: in the middle of what the token `s` of parents takes, as opposed to before it, where it may be of nothing. */
  #step(next: Set<number>, state: number, ch: string): void {
    const s = state < 0 ? ~state : state;
    const t = this.#tokens[s];
    switch (t?.kind) {
      case undefined:
        return;
      case 'literal':
        if (t.text === ch) this.#enter(next, s + 1);
        return;
      case 'one':
        if (ch !== '/') this.#enter(next, s + 1);
        return;
      case 'run':
        if (ch !== '/') this.#enter(next, s);
        return;
      case 'all':
        this.#enter(next, s);
        return;
      case 'parents':
        // Half a name is no parent: what follows begins behind a slash.
        if (ch === '/') this.#enter(next, s + 1);
        next.add(~s);
        return;
      case 'class':
        if (ch !== '/' && inClass(t, ch)) this.#enter(next, s + 1);
    }
  }
}

interface IgnorePattern {
  readonly pattern: PathPattern;
  readonly readmits: boolean;
}

/** The patterns of one file or of several `--exclude`: the last one that says something about a path decides. */
export class IgnorePatterns {
  readonly #patterns: readonly IgnorePattern[];

  private constructor(patterns: readonly IgnorePattern[]) {
    this.#patterns = patterns;
  }

  /** Throws Invalid that names the pattern. */
  static of(lines: readonly string[]): IgnorePatterns {
    return new IgnorePatterns(
      lines.flatMap((line) => {
        const readmits = line.trim().startsWith('!');
        const text = cleaned(readmits ? line.trim().slice(1).trim() : line.trim());
        if (readmits && text === '') throw new StatusError('Invalid', 'illegal exclusion pattern: "!"');
        return text === '' ? [] : [{ pattern: new PathPattern(text, { deep: true }), readmits }];
      }),
    );
  }

  /** Of a .dockerignore: comments begin in the first column. */
  static parse(text: string): IgnorePatterns {
    return IgnorePatterns.of(
      text
        .replace(/^\uFEFF/, '')
        .split('\n')
        .filter((line) => !line.startsWith('#')),
    );
  }

  /** `path` is relative, with slashes, without `.` and `..`. What lies in an ignored folder is ignored, too. */
  ignores(path: string): boolean {
    if (this.#patterns.length === 0) return false;
    const parents = parentsOf(path);
    let ignored = false;
    for (const { pattern, readmits } of this.#patterns) {
      if (readmits !== ignored) continue;
      if (pattern.matches(path) || parents.some((p) => pattern.matches(p))) ignored = !readmits;
    }
    return ignored;
  }

  /** Something below an ignored folder may be taken back: it must be looked into. */
  get readmits(): boolean {
    return this.#patterns.some((p) => p.readmits);
  }
}

/** Without `.`, empty and resolvable `..` parts, and without slashes at both ends. */
function cleaned(text: string): string {
  const out: string[] = [];
  for (const part of text.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..' && out.length > 0 && out.at(-1) !== '..') out.pop();
    else out.push(part);
  }
  return out.length === 0 && text.trim() !== '' ? '.' : out.join('/');
}

function parentsOf(path: string): readonly string[] {
  const out: string[] = [];
  for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) out.push(path.slice(0, at));
  return out;
}

function tokensOf(text: string, deep: boolean): readonly Token[] {
  const out: Token[] = [];
  const chars = [...text];
  for (let i = 0; i < chars.length; i++) {
    const ch = chars[i] ?? '';
    if (ch === '*') {
      const stars = deep && chars[i + 1] === '*';
      if (!stars) {
        if (out.at(-1)?.kind !== 'run') out.push({ kind: 'run' });
        continue;
      }
      i++;
      if (chars[i + 1] === '/') i++;
      out.push(i + 1 >= chars.length ? { kind: 'all' } : { kind: 'parents' });
    } else if (ch === '?') out.push({ kind: 'one' });
    else if (ch === '[') {
      const { token, end } = classOf(chars, i, text);
      out.push(token);
      i = end;
    } else if (ch === '\\') {
      const next = chars[++i];
      if (next === undefined) throw bad(text);
      out.push({ kind: 'literal', text: next });
    } else out.push({ kind: 'literal', text: ch });
  }
  return out;
}

function classOf(chars: readonly string[], from: number, text: string): { token: Token; end: number } {
  const ranges: [number, number][] = [];
  let at = from + 1;
  const negated = chars[at] === '^';
  if (negated) at++;
  const one = (): number => {
    const ch = chars[at] === '\\' ? chars[++at] : chars[at];
    // As in Go, these need an escape.
    if (ch === undefined || (chars[at - 1] !== '\\' && (ch === '-' || ch === ']'))) throw bad(text);
    at++;
    return ch.codePointAt(0) ?? 0;
  };
  while (chars[at] !== ']' || ranges.length === 0) {
    const low = one();
    let high = low;
    if (chars[at] === '-') {
      at++;
      high = one();
    }
    ranges.push([low, high]);
  }
  return { token: { kind: 'class', negated, ranges }, end: at };
}

function inClass(t: Token & { kind: 'class' }, ch: string): boolean {
  const code = ch.codePointAt(0) ?? 0;
  return t.ranges.some(([low, high]) => low <= code && code <= high) !== t.negated;
}

function bad(text: string): StatusError {
  return new StatusError('Invalid', `syntax error in pattern ${JSON.stringify(text)}`);
}
