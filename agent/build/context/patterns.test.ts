import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IgnorePatterns, PathPattern } from './patterns.ts';

describe('a source pattern (path.Match)', () => {
  test.each<[string, string, boolean]>([
    ['abc', 'abc', true],
    ['abc', 'abd', false],
    ['*', 'abc', true],
    ['*', 'a/b', false],
    ['*c', 'abc', true],
    ['a*', 'a', true],
    ['a*', 'abc', true],
    ['a*', 'ab/c', false],
    ['a*/b', 'abc/b', true],
    ['a*/b', 'a/c/b', false],
    ['a*b*c*d*e*/f', 'axbxcxdxe/f', true],
    ['a*b*c*d*e*/f', 'axbxcxdxe/xxx/f', false],
    ['a?c', 'abc', true],
    ['a?c', 'a/c', false],
    ['ab[c]', 'abc', true],
    ['ab[b-d]', 'abc', true],
    ['ab[e-g]', 'abc', false],
    ['ab[^c]', 'abc', false],
    ['ab[^e-g]', 'abc', true],
    ['a[^a]b', 'a/b', false],
    ['[\\]a]', ']', true],
    ['[\\-]', '-', true],
    ['a\\*b', 'a*b', true],
    ['a\\*b', 'axb', false],
    ['**', 'a/b', false],
    ['안*', '안녕', true],
    ['', '', true],
    ['', 'a', false],
  ])('%s of %s: %s', (pattern, path, expected) => {
    expect(new PathPattern(pattern, { deep: false }).matches(path)).toBe(expected);
  });

  test.each(['[', '[]', '[a', '[^', '[a-]', '[-x]', '[x-]', 'a\\', '[\\'])('%s is refused', (pattern) => {
    expect(() => new PathPattern(pattern, { deep: false })).toThrow(/syntax error in pattern/);
  });
});

describe('.dockerignore', () => {
  test.each<[string, string, boolean]>([
    ['a', 'a', true],
    ['a', 'a/b/c', true],
    ['a', 'ab', false],
    ['a', 'x/a', false],
    ['/a', 'a', true],
    ['a/', 'a/b', true],
    ['./a//b/../b', 'a/b', true],
    ['  a  ', 'a', true],
    ['# a', 'a', false],
    [' # a', '# a', true],
    ['*.md', 'x.md', true],
    ['*.md', 'd/x.md', false],
    ['*/*.md', 'd/x.md', true],
    ['**/*.md', 'x.md', true],
    ['**/*.md', 'a/b/x.md', true],
    ['**/x', 'ax', false],
    ['**/x', 'a/x/b', true],
    ['a/**', 'a/b/c', true],
    ['a/**', 'a', false],
    ['a/**/c', 'a/c', true],
    ['a/**/c', 'a/b/d/c', true],
    ['a/**/c', 'a/bc', false],
    ['**', 'any/thing', true],
    ['*', 'a/b', true],
    ['.', 'a', false],
    ['*\n!a', 'a', false],
    ['*\n!a', 'a/b', false],
    ['*\n!a', 'b', true],
    ['*\n!a/b', 'a/b', false],
    ['*\n!a/b', 'a/c', true],
    ['!a\n*', 'a', true],
    ['*.md\n!README*.md\nREADME-secret.md', 'README-secret.md', true],
    ['*.md\n!README*.md\nREADME-secret.md', 'README.md', false],
    ['a\n!a/b\na/b/c', 'a/b/c', true],
    ['a\n!a/b\na/b/c', 'a/b/d', false],
    ['\uFEFFa', 'a', true],
    ['a\r\nb\r\n', 'b', true],
    ['a.c', 'abc', false],
    ['(a|b)$', 'a', false],
    ['**a', 'x/a', true],
    ['**a**?', 'b/a/ab', true],
    ['..', 'a', false],
  ])('%j ignores %s: %s', (text, path, expected) => {
    expect(IgnorePatterns.parse(text).ignores(path)).toBe(expected);
  });

  test('what cannot be a pattern is refused with its text', () => {
    expect(() => IgnorePatterns.parse('!')).toThrow(/illegal exclusion pattern: "!"/);
    expect(() => IgnorePatterns.parse('ok\n[')).toThrow(/syntax error in pattern "\["/);
  });

  test('whether folders that are ignored must be looked into', () => {
    expect(IgnorePatterns.parse('a\nb').readmits).toBe(false);
    expect(IgnorePatterns.parse('a\n!a/b').readmits).toBe(true);
  });

  test('a pattern of many stars takes no longer than others', () => {
    expect(IgnorePatterns.parse(`${'**/*a'.repeat(50)}b`).ignores('a/'.repeat(150))).toBe(false);
  });

  test('double stars as the expression they stand for', () => {
    const text = (chars: string): fc.Arbitrary<string> =>
      fc.array(fc.constantFrom(...chars.split(' ')), { minLength: 1, maxLength: 6 }).map((t) => t.join(''));
    fc.assert(
      fc.property(text('a b * ** ? / **/'), text('a b / ab'), (pattern, path) => {
        fc.pre(!/\*{3}|\/\/|^\/|\/$/.test(pattern) && !/\/\/|^\/|\/$/.test(path));
        const source = pattern
          .replace(/\*\*\/?$/, '\u0001')
          .replace(/\*\*\/?/g, '\u0002')
          .replaceAll('*', '[^/]*')
          .replaceAll('?', '[^/]')
          .replaceAll('\u0001', '.*')
          .replaceAll('\u0002', '(.*/)?');
        expect(new PathPattern(pattern, { deep: true }).matches(path)).toBe(new RegExp(`^${source}$`).test(path));
      }),
      { numRuns: 1_000 },
    );
  });
});
