/** Sets of code points: ranges, classes by Unicode property, and their complements. */

export interface CharClass {
  readonly ranges: readonly (readonly [number, number])[];
  /** Classes that count as well. */
  readonly tests: readonly (CharClass | UnicodeTest)[];
  readonly negative: boolean;
}
export interface UnicodeTest {
  /** Holds for one code point as text. */
  readonly property: RegExp;
}

export const classOf = (ranges: readonly (readonly [number, number])[]): CharClass => ({
  ranges,
  tests: [],
  negative: false,
});
export const negated = (c: CharClass): CharClass => ({ ...c, negative: !c.negative });

/** Also what differs in case only (simple folding). */
export function caseFolded(c: CharClass): CharClass {
  const ranges = [...c.ranges];
  for (const [lo, hi] of c.ranges) {
    if (hi - lo > 0x600) {
      if (lo <= 0x41 && hi >= 0x7a) continue;
      ranges.push([0x41, 0x5a], [0x61, 0x7a]);
      continue;
    }
    for (let code = lo; code <= hi; code++) for (const other of foldsOf(code)) ranges.push([other, other]);
  }
  return { ...c, ranges };
}

function foldsOf(code: number): number[] {
  const c = String.fromCodePoint(code);
  const out: number[] = [];
  for (const variant of [c.toLowerCase(), c.toUpperCase(), c.toUpperCase().toLowerCase()]) {
    const folded = variant.codePointAt(0) ?? code;
    if (folded !== code && String.fromCodePoint(folded).length === variant.length) out.push(folded);
  }
  // The two folds that leave ASCII: the Kelvin sign and the long s.
  if (code === 0x6b || code === 0x4b) out.push(0x212a);
  if (code === 0x73 || code === 0x53) out.push(0x17f);
  return out;
}

const DIGIT = classOf([[0x30, 0x39]]);
const WORD = classOf([
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]);
const SPACE = classOf([
  [9, 10],
  [12, 13],
  [32, 32],
]);

export function perlClass(letter: string): CharClass | undefined {
  switch (letter) {
    case 'd':
      return DIGIT;
    case 'D':
      return negated(DIGIT);
    case 'w':
      return WORD;
    case 'W':
      return negated(WORD);
    case 's':
      return SPACE;
    case 'S':
      return negated(SPACE);
    default:
      return undefined;
  }
}

const NAMED: Readonly<Record<string, readonly (readonly [number, number])[]>> = {
  alnum: [
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  alpha: [
    [0x41, 0x5a],
    [0x61, 0x7a],
  ],
  ascii: [[0, 0x7f]],
  blank: [
    [9, 9],
    [32, 32],
  ],
  cntrl: [
    [0, 0x1f],
    [0x7f, 0x7f],
  ],
  digit: [[0x30, 0x39]],
  graph: [[0x21, 0x7e]],
  lower: [[0x61, 0x7a]],
  print: [[0x20, 0x7e]],
  punct: [
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e],
  ],
  space: [
    [9, 13],
    [32, 32],
  ],
  upper: [[0x41, 0x5a]],
  word: WORD.ranges,
  xdigit: [
    [0x30, 0x39],
    [0x41, 0x46],
    [0x61, 0x66],
  ],
};

/** `[:alpha:]`, `[:^alpha:]` */
export function namedClass(text: string): CharClass | undefined {
  const m = /^\[:(\^?)([a-z]+):\]$/.exec(text);
  const name = m?.[2] ?? '';
  const ranges = Object.hasOwn(NAMED, name) ? NAMED[name] : undefined;
  if (ranges === undefined) return undefined;
  return m?.[1] === '^' ? { ranges: [], tests: [negated(classOf(ranges))], negative: false } : classOf(ranges);
}

/** A general category or a script; undefined when there is none of that name. The pattern tests single code points only. */
export function unicodeClass(name: string): CharClass | undefined {
  if (name === 'Any') return negated(classOf([]));
  for (const property of [`gc=${name}`, `sc=${name}`]) {
    if (property.startsWith('gc=') && name.length > 2) continue;
    try {
      return { ranges: [], tests: [{ property: new RegExp(`^\\p{${property}}$`, 'u') }], negative: false };
    } catch {
      // Not a property of this kind: the next one is tried.
    }
  }
  return undefined;
}

export function contains(c: CharClass, code: number): boolean {
  return plain(c, code) !== c.negative;
}

function plain(c: CharClass, code: number): boolean {
  for (const [lo, hi] of c.ranges) if (code >= lo && code <= hi) return true;
  for (const t of c.tests)
    if ('property' in t ? t.property.test(String.fromCodePoint(code)) : contains(t, code)) return true;
  return false;
}

/** A fast test: a table for ASCII, the definition for the rest. */
export function tester(c: CharClass): (code: number) => boolean {
  const ascii = new Uint8Array(128);
  for (let i = 0; i < 128; i++) ascii[i] = contains(c, i) ? 1 : 0;
  return (code) => (code < 128 ? ascii[code] === 1 : contains(c, code));
}
