import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findDuplicateFields } from './json-duplicates.ts';

describe('findDuplicateFields (sigs.k8s.io/json strict errors)', () => {
  test.each([
    ['{"a":1,"b":2}', []],
    ['{"a":1,"a":2}', ['duplicate field "a"']],
    ['{"spec":{"x":[{"n":1},{"n":1,"n":2}]}}', ['duplicate field "spec.x[1].n"']],
    ['{"a":{"b":1,"b":2},"a":{"b":1,"b":2}}', ['duplicate field "a.b"', 'duplicate field "a"']],
    ['{"\\u0061":1,"a":"}{\\"]"}', ['duplicate field "a"']],
    [' [ ] ', []],
    ['{"a":[[],{},[ {"b" : true , "b":null}]]}', ['duplicate field "a[2][0].b"']],
    ['"x"', []],
  ])('%s', (text, expected) => {
    expect(findDuplicateFields(text)).toEqual(expected);
  });

  test('what JSON.stringify writes has none', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 2), (value, indent) => {
        expect(findDuplicateFields(JSON.stringify(value, null, indent))).toEqual([]);
      }),
    );
  });
});
