import { describe, expect, test } from 'vitest';
import { parseStructural } from './parse.ts';
import { PATTERN_INSTRUCTIONS_MAX } from './pattern.ts';
import { errorTexts, objectSchema } from './testing/schemas.ts';
import { validateValue } from './values/validate.ts';

describe('patterns of users', () => {
  test('what makes a backtracking engine explode is answered', () => {
    const schema = objectSchema({ a: { type: 'string', pattern: '^(a+)+$' } });
    expect(errorTexts(validateValue(schema, { a: `${'a'.repeat(5000)}!` }, ''))).toHaveLength(1);
    expect(validateValue(schema, { a: 'a'.repeat(5000) }, '')).toEqual([]);
  });

  test('a large program on a large text ends with an error, not in an hour', () => {
    const schema = objectSchema({ a: { type: 'array', items: { type: 'string', pattern: '(.{0,1000}){0,9}x' } } });
    const value = { a: new Array(10).fill('a'.repeat(100_000)) };
    expect(errorTexts(validateValue(schema, value, ''))).toEqual([
      '<nil>: Invalid value: "": matching the patterns of the schema takes too long',
    ]);
  });

  test('the patterns of one schema are bounded together, doubles count once', () => {
    const large = (n: number) => ({ type: 'string', pattern: `(a{1000}){18}${'b'.repeat(n)}` });
    const schemas = (numbers: number[]) => ({
      type: 'object',
      properties: Object.fromEntries(numbers.map((n, i) => [`p${i}`, large(n)])),
    });
    const many = Math.ceil(PATTERN_INSTRUCTIONS_MAX / 18_000) + 2;
    const distinct = parseStructural(schemas([...new Array(many).keys()]), 's').errors ?? [];
    expect(errorTexts(distinct).join()).toContain('the patterns of the schema are too large together');
    expect(parseStructural(schemas(new Array(many).fill(1)), 's').errors).toBeUndefined();
  });
});
