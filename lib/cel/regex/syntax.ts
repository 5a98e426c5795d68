/**
 * RE2's syntax (github.com/google/re2/wiki/Syntax; Go's regexp/syntax) as a tree. What RE2 refuses is refused in Go's words:
 * back-references, look-around and possessive operators do not exist, so matching is linear in the text.
 */
import { type CharClass, caseFolded, classOf, namedClass, negated, perlClass, unicodeClass } from './classes.ts';

export type Assertion = 'begin' | 'end' | 'lineBegin' | 'lineEnd' | 'word' | 'noWord';

export type RegexNode =
  | { readonly kind: 'empty' }
  | { readonly kind: 'class'; readonly set: CharClass }
  | { readonly kind: 'assert'; readonly what: Assertion }
  | { readonly kind: 'concat'; readonly parts: readonly RegexNode[] }
  | { readonly kind: 'alternate'; readonly parts: readonly RegexNode[] }
  | {
      readonly kind: 'repeat';
      readonly of: RegexNode;
      readonly min: number;
      readonly max: number;
      readonly lazy: boolean;
    };

interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly s: boolean;
  readonly U: boolean;
}

export class RegexError extends Error {}

const REPEAT_MAX = 1000;
const NESTING_MAX = 250;
export const PATTERN_LENGTH_MAX = 20_000;
export const TOO_LARGE = 'expression too large';

export function parseRegex(pattern: string): RegexNode {
  if (pattern.length > PATTERN_LENGTH_MAX) throw failure(TOO_LARGE, '');
  return new Parser(pattern).parse();
}

function failure(what: string, where: string): RegexError {
  return new RegexError(`error parsing regexp: ${what}${where === '' ? '' : `: \`${where}\``}`);
}

const EMPTY: RegexNode = { kind: 'empty' };
const ANY = negated(classOf([]));
const ANY_BUT_NEWLINE = negated(classOf([[10, 10]]));
const ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 };

class Parser {
  private readonly text: string;
  private at = 0;
  private depth = 0;
  private flags: Flags = { i: false, m: false, s: false, U: false };

  constructor(text: string) {
    this.text = text;
  }

  parse(): RegexNode {
    const node = this.alternation();
    if (this.at < this.text.length) throw failure('unexpected )', this.text);
    return node;
  }

  private alternation(): RegexNode {
    if (++this.depth > NESTING_MAX) throw failure('expression nests too deeply', this.text);
    const parts = [this.concatenation()];
    while (this.text[this.at] === '|') {
      this.at++;
      parts.push(this.concatenation());
    }
    this.depth--;
    return parts.length === 1 ? (parts[0] ?? EMPTY) : { kind: 'alternate', parts };
  }

  private concatenation(): RegexNode {
    const parts: RegexNode[] = [];
    while (this.at < this.text.length && this.text[this.at] !== '|' && this.text[this.at] !== ')') {
      if (this.text.startsWith('\\Q', this.at)) {
        this.quoted(parts);
        continue;
      }
      const node = this.atom();
      parts.push(node === undefined ? EMPTY : this.repetition(node));
    }
    return parts.length === 1 ? (parts[0] ?? EMPTY) : { kind: 'concat', parts };
  }

  private quoted(parts: RegexNode[]): void {
    const end = this.text.indexOf('\\E', this.at + 2);
    const body = this.text.slice(this.at + 2, end < 0 ? this.text.length : end);
    this.at = end < 0 ? this.text.length : end + 2;
    for (const c of body) parts.push(this.literal(c.codePointAt(0) ?? 0));
  }

  private literal(code: number): RegexNode {
    const set = classOf([[code, code]]);
    return { kind: 'class', set: this.flags.i ? caseFolded(set) : set };
  }

  /** `*`, `+`, `?`, `{n,m}`, each with a lazy form; two in a row are an error. */
  private repetition(atom: RegexNode): RegexNode {
    let node = atom;
    let operator = '';
    for (;;) {
      const at = this.at;
      const range = this.repeatOperator();
      if (range === undefined) return node;
      let lazy = this.flags.U;
      if (this.text[this.at] === '?') {
        this.at++;
        lazy = !lazy;
      }
      const written = this.text.slice(at, this.at);
      if (operator !== '') throw failure('invalid nested repetition operator', operator + written);
      operator = written;
      node = { kind: 'repeat', of: node, min: range[0], max: range[1], lazy };
    }
  }

  private repeatOperator(): readonly [number, number] | undefined {
    const c = this.text[this.at];
    if (c === '*' || c === '+' || c === '?') {
      this.at++;
      return c === '*' ? [0, Number.POSITIVE_INFINITY] : c === '+' ? [1, Number.POSITIVE_INFINITY] : [0, 1];
    }
    if (c !== '{') return undefined;
    const m = /^\{(\d+)(,(\d*))?\}/.exec(this.text.slice(this.at, this.at + 30));
    if (m === null) return undefined;
    const min = Number(m[1]);
    const max = m[2] === undefined ? min : m[3] === '' ? Number.POSITIVE_INFINITY : Number(m[3]);
    const tooLarge = min > REPEAT_MAX || (max !== Number.POSITIVE_INFINITY && max > REPEAT_MAX);
    if (tooLarge || min > max) throw failure('invalid repeat count', m[0]);
    this.at += m[0].length;
    return [min, max];
  }

  /** Undefined after a change of flags, which matches nothing and cannot be repeated. */
  private atom(): RegexNode | undefined {
    const code = this.text.codePointAt(this.at) ?? 0;
    const c = String.fromCodePoint(code);
    switch (c) {
      case '(':
        return this.group();
      case '[':
        return this.bracket();
      case '.':
        this.at++;
        return { kind: 'class', set: this.flags.s ? ANY : ANY_BUT_NEWLINE };
      case '^':
        this.at++;
        return { kind: 'assert', what: this.flags.m ? 'lineBegin' : 'begin' };
      case '$':
        this.at++;
        return { kind: 'assert', what: this.flags.m ? 'lineEnd' : 'end' };
      case '*':
      case '+':
      case '?':
        throw failure('missing argument to repetition operator', c);
      case '\\':
        return this.escape();
      default:
        if (c === '{' && this.repeatOperator() !== undefined)
          throw failure('missing argument to repetition operator', '{');
        this.at += c.length;
        return this.literal(code);
    }
  }

  private group(): RegexNode | undefined {
    const start = this.at;
    this.at++;
    const outer = this.flags;
    if (this.text[this.at] === '?') {
      const named = /^\?P?<([A-Za-z0-9_]*)>/.exec(this.text.slice(this.at, this.at + 200));
      const flags = /^\?([imsU]*)(?:-([imsU]+))?([:)])/.exec(this.text.slice(this.at, this.at + 40));
      if (named !== null) {
        if (named[1] === '') throw failure('invalid named capture', this.text.slice(start, this.at + 4));
        this.at += named[0].length;
      } else if (flags !== null) {
        this.at += flags[0].length;
        this.setFlags(flags[1] ?? '', true);
        this.setFlags(flags[2] ?? '', false);
        if (flags[3] === ')') return undefined;
      } else throw failure('invalid or unsupported Perl syntax', this.text.slice(start, start + 3));
    }
    const node = this.alternation();
    if (this.text[this.at] !== ')') throw failure('missing closing )', this.text);
    this.at++;
    this.flags = outer;
    return node;
  }

  private setFlags(names: string, on: boolean): void {
    for (const n of names) this.flags = { ...this.flags, [n]: on };
  }

  private escape(): RegexNode {
    const c = this.text[this.at + 1];
    if (c === undefined) throw failure('trailing backslash at end of expression', '');
    const assertion = ({ A: 'begin', z: 'end', b: 'word', B: 'noWord' } as const)[c];
    if (assertion !== undefined && 'AzbB'.includes(c)) {
      this.at += 2;
      return { kind: 'assert', what: assertion };
    }
    const set = this.escapedClass();
    if (set !== undefined) return { kind: 'class', set };
    return this.literal(this.escapedCharacter());
  }

  /** `\d`, `\pL`, `\p{Greek}`, ...; undefined when the escape is of one character. */
  private escapedClass(): CharClass | undefined {
    const c = this.text[this.at + 1] ?? '';
    const perl = perlClass(c);
    if (perl !== undefined) {
      this.at += 2;
      return perl;
    }
    if (c !== 'p' && c !== 'P') return undefined;
    const m = /^\\[pP](?:\{(\^?)([A-Za-z_]{1,40})\}|([A-Za-z]))/.exec(this.text.slice(this.at, this.at + 50));
    const set = m === null ? undefined : unicodeClass(m[2] ?? m[3] ?? '');
    if (m === null || set === undefined)
      throw failure('invalid character class range', m?.[0] ?? this.text.slice(this.at, this.at + 2));
    this.at += m[0].length;
    const folded = this.flags.i ? caseFolded(set) : set;
    return (c === 'P') !== (m[1] === '^') ? negated(folded) : folded;
  }

  private escapedCharacter(): number {
    const c = this.text[this.at + 1] ?? '';
    const simple = Object.hasOwn(ESCAPES, c) ? ESCAPES[c] : undefined;
    if (simple !== undefined) {
      this.at += 2;
      return simple;
    }
    const rest = this.text.slice(this.at, this.at + 14);
    const m = /^\\(?:x\{([0-9A-Fa-f]{1,8})\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2}))/.exec(rest);
    if (m !== null) {
      const code = m[3] === undefined ? Number.parseInt(m[1] ?? m[2] ?? '0', 16) : Number.parseInt(m[3], 8);
      if (code > 0x10ffff) throw failure('invalid escape sequence', m[0]);
      this.at += m[0].length;
      return code;
    }
    const code = this.text.codePointAt(this.at + 1) ?? 0;
    if (code >= 0x80 || /[A-Za-z0-9_]/.test(c)) throw failure('invalid escape sequence', `\\${c}`);
    this.at += 2;
    return code;
  }

  private bracket(): RegexNode {
    const start = this.at;
    this.at++;
    const negative = this.text[this.at] === '^';
    if (negative) this.at++;
    const parts: CharClass[] = [];
    for (let first = true; first || this.text[this.at] !== ']'; first = false) {
      if (this.at >= this.text.length) throw failure('missing closing ]', this.text.slice(start));
      parts.push(this.bracketItem());
    }
    this.at++;
    const set: CharClass = {
      ranges: parts.flatMap((p) => p.ranges),
      tests: parts.flatMap((p) => p.tests),
      negative: false,
    };
    const folded = this.flags.i ? caseFolded(set) : set;
    return { kind: 'class', set: negative ? negated(folded) : folded };
  }

  private bracketItem(): CharClass {
    if (this.text.startsWith('[:', this.at)) {
      const end = this.text.indexOf(':]', this.at + 2);
      if (end >= 0) {
        const name = this.text.slice(this.at, end + 2);
        const set = namedClass(name);
        if (set === undefined) throw failure('invalid character class range', name);
        this.at = end + 2;
        return set;
      }
    }
    if (this.text[this.at] === '\\') {
      const set = this.escapedClass();
      if (set !== undefined) return set.negative ? { ranges: [], tests: [set], negative: false } : set;
    }
    const start = this.at;
    const low = this.bracketCharacter();
    if (this.text[this.at] !== '-' || this.text[this.at + 1] === ']' || this.at + 1 >= this.text.length)
      return classOf([[low, low]]);
    this.at++;
    const high = this.bracketCharacter();
    if (high < low) throw failure('invalid character class range', this.text.slice(start, this.at));
    return classOf([[low, high]]);
  }

  private bracketCharacter(): number {
    if (this.text[this.at] === '\\') {
      if (this.at + 1 >= this.text.length) throw failure('trailing backslash at end of expression', '');
      return this.escapedCharacter();
    }
    const code = this.text.codePointAt(this.at) ?? 0;
    this.at += code > 0xffff ? 2 : 1;
    return code;
  }
}
