import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { semanticEqual } from './equality.ts';

describe('semanticEqual (Semantic.DeepEqual)', () => {
  test.each([
    [{ a: null }, {}, true],
    [{ a: [] }, {}, true],
    [{ a: undefined }, { a: [] }, true],
    [{ a: {} }, {}, false],
    [{ a: {} }, { a: { b: null } }, true],
    [{ a: 0 }, {}, false],
    [{ a: '' }, {}, false],
    [{ a: 1, b: 2 }, { b: 2, a: 1 }, true],
    [[1, 2], [2, 1], false],
    [[1], [1, 2], false],
    [{ 0: 'x' }, ['x'], false],
    ['1', 1, false],
  ])('%j %j %s', (a, b, equal) => {
    expect(semanticEqual(a, b)).toBe(equal);
    expect(semanticEqual(b, a)).toBe(equal);
  });

  test('a copy is equal; a changed leaf is not', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (v) => {
        expect(semanticEqual(v, structuredClone(v))).toBe(true);
        expect(semanticEqual({ v, leaf: 1 }, { v, leaf: 2 })).toBe(false);
      }),
    );
  });
});
