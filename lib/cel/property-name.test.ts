import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapePropertyName } from './property-name.ts';
import { parse } from './syntax/parser.ts';

describe('names of properties (apiserver/pkg/cel/escaping.go)', () => {
  test.each([
    ['plain', 'plain'],
    ['namespace', '__namespace__'],
    ['int', 'int'],
    ['while', '__while__'],
    ['a.b/c-d', 'a__dot__b__slash__c__dash__d'],
    ['a__b', 'a__underscores__b'],
    ['___', '__underscores___'],
    ['-x', '__dash__x'],
    ['1a', undefined],
    ['a b', undefined],
    ['', undefined],
    ['é', undefined],
  ])('%s', (name, want) => {
    expect(escapePropertyName(name)).toBe(want);
  });

  test('what is escaped can be selected, and two names stay two', () => {
    const name = fc.string({ unit: fc.constantFrom(...'ab_.-/1'), maxLength: 8 });
    fc.assert(
      fc.property(name, name, (a, b) => {
        const [x, y] = [escapePropertyName(a), escapePropertyName(b)];
        if (x !== undefined) expect(parse(`self.${x}`)).toMatchObject({ node: { kind: 'select', field: x } });
        if (x !== undefined && a !== b) expect(x).not.toBe(y);
      }),
    );
  });
});
