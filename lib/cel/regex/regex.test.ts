import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Regex } from './regex.ts';

const free = { work: () => undefined };

function regexOf(pattern: string): Regex {
  const r = Regex.compile(pattern);
  if (!(r instanceof Regex)) throw new Error(r.message);
  return r;
}

function firstOf(pattern: string, text: string): string | undefined {
  const m = regexOf(pattern).find(text, 0, free);
  return m === undefined ? undefined : text.slice(m.start, m.end);
}

describe('matches (RE2 syntax)', () => {
  test.each([
    ['a|ab', 'abc', 'a'],
    ['a*?b', 'aab', 'aab'],
    ['(a+)(b+)?', 'xaab', 'aab'],
    ['^$', '', ''],
    ['(?i)STRASSE', 'strasse', 'strasse'],
    ['(?i)[k-m]+', 'KLM', 'KLM'],
    ['(?s)a.b', 'a\nb', 'a\nb'],
    ['a.b', 'a\nb', undefined],
    ['(?m)^b$', 'a\nb\nc', 'b'],
    ['^b$', 'a\nb\nc', undefined],
    ['\\bcat\\b', 'a cat.', 'cat'],
    ['[[:alpha:]_]+', '1ab_c', 'ab_c'],
    ['[^[:digit:]]+', '12ab', 'ab'],
    ['[\\D]+', '12ab', 'ab'],
    ['\\p{Greek}+', 'aαβγ', 'αβγ'],
    ['\\pL+\\PL', 'ab1', 'ab1'],
    ['\\p{^L}', 'a1', '1'],
    ['\\x{1F600}', 'x😀', '😀'],
    ['.', '😀', '😀'],
    ['\\Qa.b\\E', 'a.b', 'a.b'],
    ['a{2,3}', 'aaaa', 'aaa'],
    ['a{2,3}?', 'aaaa', 'aa'],
    ['a{,2}', 'a{,2}', 'a{,2}'],
    ['(?P<n>a)(?<m>b)', 'ab', 'ab'],
    ['(?U)a+', 'aaa', 'a'],
    ['[]a]+', ']a', ']a'],
    ['[a-]+', 'a-', 'a-'],
    ['(|a)*b', 'aab', 'aab'],
    ['\\Aa\\z', 'a', 'a'],
    ['\\101\\x41', 'AA', 'AA'],
  ])('%s on %j', (pattern, text, want) => {
    expect(firstOf(pattern, text)).toBe(want);
    expect(regexOf(pattern).test(text, free)).toBe(want !== undefined);
  });
});

describe("patterns that RE2 refuses, in Go's words", () => {
  test.each([
    ['(a', 'missing closing ): `(a`'],
    ['a)', 'unexpected ): `a)`'],
    ['[a', 'missing closing ]: `[a`'],
    ['[b-a]', 'invalid character class range: `b-a`'],
    ['*a', 'missing argument to repetition operator: `*`'],
    ['a**', 'invalid nested repetition operator: `**`'],
    ['a{1001}', 'invalid repeat count: `{1001}`'],
    ['a{3,2}', 'invalid repeat count: `{3,2}`'],
    ['(?=a)', 'invalid or unsupported Perl syntax: `(?=`'],
    ['(?<!a)', 'invalid or unsupported Perl syntax: `(?<`'],
    ['\\1', 'invalid escape sequence: `\\1`'],
    ['\\y', 'invalid escape sequence: `\\y`'],
    ['a\\', 'trailing backslash at end of expression'],
    ['\\p{Nope}', 'invalid character class range: `\\p{Nope}`'],
    ['((((a{100}){100}){100}){100})', 'expression too large'],
    [`${'('.repeat(1000)}a${')'.repeat(1000)}`, 'expression nests too deeply'],
  ])('%s', (pattern, message) => {
    const r = Regex.compile(pattern);
    expect(r instanceof Regex ? 'compiled' : r.message).toContain(`error parsing regexp: ${message}`);
  });
});

describe('laws', () => {
  const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '(?:ab)', '\\w', '\\b', '^', '$');
  const pattern = fc.letrec<{ node: string }>((tie) => ({
    node: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      atom,
      fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
      fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(?:${a}|${b})`),
      fc.tuple(tie('node'), fc.constantFrom('*', '+', '?', '*?', '+?', '??', '{1,2}')).map(([a, q]) => `(?:x${a})${q}`),
    ),
  })).node;
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'x', ' '), maxLength: 12 });

  test('as a backtracking engine finds it, where both have the same syntax', () => {
    fc.assert(
      fc.property(pattern, text, (p, t) => {
        expect(firstOf(p, t)).toBe(new RegExp(p, 'u').exec(t)?.[0]);
      }),
      { numRuns: 2000 },
    );
  });

  test('no pattern crashes the compiler', () => {
    const hostile = fc.string({ unit: fc.constantFrom(...'()[]{}*+?|\\^$.-:a1pPQExu,<>=!i😀'), maxLength: 30 });
    fc.assert(
      fc.property(hostile, (p) => {
        const r = Regex.compile(p);
        if (r instanceof Regex) r.find('ab1 \n😀', 0, free);
        else expect(r.message).toMatch(/^error parsing regexp: /);
      }),
      { numRuns: 5000 },
    );
  });

  test('steps grow with the text, also for what makes backtracking explode', () => {
    const stepsOn = (p: string, n: number): number => {
      let steps = 0;
      regexOf(p).test(`${'a'.repeat(n)}!`, {
        work: (s) => {
          steps += s;
        },
      });
      return steps;
    };
    for (const p of ['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '(.*)(.*)(.*)x'])
      expect(stepsOn(p, 4000)).toBeLessThan(2.1 * stepsOn(p, 2000));
  });
});
