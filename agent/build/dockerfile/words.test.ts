// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the words of a Dockerfile
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parsePattern, replaceMatches, trimPrefix, trimSuffix } from './pattern.ts';
import { expandWord, expandWords, WORD_CHARS_MAX } from './words.ts';

const ENV: Readonly<Record<string, string>> = {
  HOME: '/root',
  NAME: 'web',
  EMPTY: '',
  LIST: 'a b  c',
  PADDED: ' x ',
  FILE: 'dir/app.tar.gz',
  STARS: 'a*b?c',
  한: '국',
};
const lookup = (name: string): string | undefined => (Object.hasOwn(ENV, name) ? ENV[name] : undefined);
const PLAIN = { escape: '\\' } as const;

describe('a word', () => {
  test.each([
    ['plain', 'plain'],
    ['two words', 'two words'],
    ['"quoted $NAME"', 'quoted web'],
    ["'quoted $NAME'", 'quoted $NAME'],
    ['a\'b\'c"d"e', 'abcde'],
    ['""', ''],
    ["''", ''],
    ['"it\'s"', "it's"],
    ['\'say "x"\'', 'say "x"'],
    ['\\$NAME', '$NAME'],
    ['\\\\$NAME', '\\web'],
    ['"\\$NAME"', '$NAME'],
    ['"\\n"', '\\n'],
    ['"\\""', '"'],
    ['"\\\\"', '\\'],
    ['\\n', 'n'],
    ["'\\'", '\\'],
    ['end\\', 'end'],
    ['$NAME', 'web'],
    ['$NAME.x', 'web.x'],
    ['$NAME_x', ''],
    ['${NAME}_x', 'web_x'],
    ['$', '$'],
    ['a$', 'a$'],
    ['$/x', '$/x'],
    ['$1x', 'x'],
    ['$12x', 'x'],
    ['$$', ''],
    ['$@x', 'x'],
    ['$한!', '국!'],
    ['${UNSET}', ''],
    ['${UNSET-w}', 'w'],
    ['${UNSET:-w}', 'w'],
    ['${EMPTY-w}', ''],
    ['${EMPTY:-w}', 'w'],
    ['${NAME-w}', 'web'],
    ['${NAME:-w}', 'web'],
    ['${UNSET+w}', ''],
    ['${UNSET:+w}', ''],
    ['${EMPTY+w}', 'w'],
    ['${EMPTY:+w}', ''],
    ['${NAME+w}', 'w'],
    ['${NAME:+w}', 'w'],
    ['${NAME?no}', 'web'],
    ['${EMPTY?no}', ''],
    ['${UNSET:-$HOME/x}', '/root/x'],
    ['${UNSET:-${EMPTY:-deep}}', 'deep'],
    ['${UNSET:-a b}', 'a b'],
    ['${UNSET:-"a}b"}', 'a}b'],
    ['${UNSET:-\\}}', '}'],
    ['${NAME}}', 'web}'],
    ['"${UNSET:-x y}"', 'x y'],
    ['${FILE#*/}', 'app.tar.gz'],
    ['${FILE##*.}', 'gz'],
    ['${FILE%.*}', 'dir/app.tar'],
    ['${FILE%%.*}', 'dir/app'],
    ['${FILE#none}', 'dir/app.tar.gz'],
    ['${FILE#???/}', 'app.tar.gz'],
    ['${UNSET#x}', ''],
    ['${FILE#$UNSET}', 'dir/app.tar.gz'],
    ['${FILE/app/web}', 'dir/web.tar.gz'],
    ['${FILE/./-}', 'dir/app-tar.gz'],
    ['${FILE//./-}', 'dir/app-tar-gz'],
    ['${FILE//a/}', 'dir/pp.tr.gz'],
    ['${FILE/\\//:}', 'dir:app.tar.gz'],
    ['${FILE/tar*/zip}', 'dir/app.zip'],
    ['${FILE/none/x}', 'dir/app.tar.gz'],
    ['${FILE/app/$NAME}', 'dir/web.tar.gz'],
    ['${STARS#a\\*}', 'b?c'],
    ['${STARS%\\?c}', 'a*b'],
    ['${UNSET/a/b}', ''],
    ['<<EOF', '<<EOF'],
    ['a < b', 'a < b'],
  ])('%s', (text, expected) => {
    expect(expandWord(text, lookup, PLAIN)).toBe(expected);
  });

  test.each([
    ["it's", /single-quote/],
    ['"open', /double-quote/],
    ['"a\\"', /double-quote/],
    ['${NAME', /missing '}'/],
    ['${', /missing '}'/],
    ['${}', /bad substitution/],
    ['${:x}', /bad substitution/],
    ['${{a}', /bad substitution/],
    ['${NAME:=x}', /unsupported modifier \(:=\)/],
    ['${NAME=x}', /unsupported modifier \(=\)/],
    ['${NAME:x}', /unsupported modifier \(:x\)/],
    ['${NAME:#x}', /unsupported modifier \(:#\)/],
    ['${.}', /unsupported modifier \(\.\)/],
    ['${UNSET:-x', /missing '}'/],
    ['${NAME/x}', /missing '\/'/],
    ['${NAME/x/y', /missing '}'/],
    ['${UNSET?}', /UNSET: is not allowed to be unset/],
    ['${UNSET:?}', /UNSET: is not allowed to be unset/],
    ['${EMPTY:?}', /EMPTY: is not allowed to be empty/],
    ['${UNSET?give one}', /UNSET: give one/],
    ['${NAME#\\x}', /invalid escape '\\x'/],
  ])('%s is refused', (text, message) => {
    expect(() => expandWord(text, lookup, PLAIN)).toThrow(message);
  });

  test.each([
    ['$UNSET', '$UNSET'],
    ['${UNSET}', '${UNSET}'],
    ['${UNSET:-w}', '${UNSET:-w}'],
    ['${UNSET#w}', '${UNSET#w}'],
    ['${UNSET//a/b}', '${UNSET//a/b}'],
    ['$NAME', 'web'],
  ])('what is not set stays where that is asked for: %s', (text, expected) => {
    expect(expandWord(text, lookup, { ...PLAIN, keepUnset: true })).toBe(expected);
  });

  test('the backtick as the escape', () => {
    expect(expandWord('C:\\x`$NAME "`""', lookup, { escape: '`' })).toBe('C:\\x$NAME "');
  });
});

describe('words', () => {
  test.each([
    ['a b', ['a', 'b']],
    ['  a \t b ', ['a', 'b']],
    ['"a b" c', ['a b', 'c']],
    ["'a b'c d", ['a bc', 'd']],
    ['a\\ b', ['a b']],
    ['$LIST', ['a', 'b', 'c']],
    ['"$LIST"', ['a b  c']],
    ['x$LIST', ['xa', 'b', 'c']],
    ['x${PADDED}y', ['x', 'x', 'y']],
    ['$EMPTY', []],
    ['$UNSET a', ['a']],
    ['""', []],
    ['80 $NAME/tcp', ['80', 'web/tcp']],
    ['<< EOF x', ['<< EOF', 'x']],
    ['a${UNSET:-b c}d', ['ab', 'cd']],
  ])('%s', (text, expected) => {
    expect(expandWords(text, lookup, PLAIN)).toEqual(expected);
  });
});

describe('what a hostile word can do', () => {
  test('values of values do not grow without bound', () => {
    const big = 'x'.repeat(WORD_CHARS_MAX / 2);
    const one = (): string => big;
    expect(() => expandWord('$a$a$a', one, PLAIN)).toThrow(/more than 1048576 characters/);
    expect(() => expandWord('"$a$a$a"', one, PLAIN)).toThrow(/more than 1048576 characters/);
    expect(() => expandWord('${a//x/yyyy}', one, PLAIN)).toThrow(/more than 1048576 characters/);
  });

  test('substitutions nested ten thousand deep are refused, and their message is short', () => {
    const text = '${a:-'.repeat(10_000);
    expect(() => expandWord(text, () => undefined, PLAIN)).toThrow(/^.{1,300}$/);
  });

  test('a pattern of many stars takes no longer than others', () => {
    const text = `\${a//${'*a'.repeat(200)}b/x}`;
    expect(expandWord(text, () => 'a'.repeat(5_000), PLAIN)).toBe('a'.repeat(5_000));
  });

  test('any text: a result, or a message', () => {
    const pieces = fc.constantFrom(
      '$',
      '{',
      '}',
      '\\',
      '"',
      "'",
      ':',
      '-',
      '+',
      '?',
      '/',
      '#',
      '%',
      '<',
      ' ',
      'a',
      'NAME',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 30 }), (parts) => {
        try {
          expandWords(parts.join(''), lookup, PLAIN);
        } catch (e) {
          expect(e).toMatchObject({ kind: 'Invalid' });
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('patterns', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 8 }).map((t) => t.join(''));
  const pattern = fc.array(fc.constantFrom('a', 'b', '*', '?'), { maxLength: 5 }).map((t) => t.join(''));
  const matches = (p: string, t: string): boolean =>
    new RegExp(`^${p.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(t);

  test('the begin and the end that go are the shortest or longest that match', () => {
    fc.assert(
      fc.property(text, pattern, fc.boolean(), (t, p, longest) => {
        const lengths = [...Array(t.length + 1).keys()];
        const ordered = longest ? lengths.reverse() : lengths;
        const head = ordered.find((n) => matches(p, t.slice(0, n)));
        const tail = ordered.find((n) => matches(p, t.slice(t.length - n)));
        expect(trimPrefix(t, parsePattern(p), longest)).toBe(head === undefined ? t : t.slice(head));
        expect(trimSuffix(t, parsePattern(p), longest)).toBe(tail === undefined ? t : t.slice(0, t.length - tail));
      }),
      { numRuns: 2_000 },
    );
  });

  test('what is replaced is the leftmost, and of those the longest', () => {
    fc.assert(
      fc.property(text, pattern, fc.boolean(), (t, p, all) => {
        // Runs alone match nothing at the end of a text: the shell's rule for that is in the table above.
        fc.pre(/[ab?]/.test(p) && !/^\*|\*$/.test(p));
        const re = new RegExp(p.replace(/\*+/g, '.*').replaceAll('?', '.'), all ? 'g' : '');
        expect(replaceMatches(t, parsePattern(p), 'X', all)).toBe(t.replace(re, 'X'));
      }),
      { numRuns: 2_000 },
    );
  });
});
