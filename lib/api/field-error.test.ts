import { describe, expect, test } from 'vitest';
import {
  duplicate,
  errorBody,
  forbidden,
  invalid,
  invalidError,
  notFound,
  notSupported,
  required,
  tooLong,
  tooMany,
} from './field-error.ts';

const DEPLOYMENT = { group: 'apps', kind: 'Deployment' };

describe('invalidError: the 422 text (errors.NewInvalid)', () => {
  test('one error', () => {
    const e = invalidError(DEPLOYMENT, 'x', [required('spec.template.spec.containers[0].image')]);
    expect(e.message).toBe('Deployment.apps "x" is invalid: spec.template.spec.containers[0].image: Required value');
    expect(e.kind).toBe('Invalid');
    expect(e.details).toEqual({
      name: 'x',
      group: 'apps',
      kind: 'Deployment',
      causes: [
        { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.template.spec.containers[0].image' },
      ],
    });
  });

  test('several errors are listed, the same text once; causes keep all', () => {
    const twice = invalid('a', 1, 'bad');
    const e = invalidError({ group: '', kind: 'Pod' }, 'p', [twice, required('b'), twice]);
    expect(e.message).toBe('Pod "p" is invalid: [a: Invalid value: 1: bad, b: Required value]');
    expect(e.details.causes).toHaveLength(3);
  });
});

describe('errorBody', () => {
  test.each([
    [invalid('f', 'a"b\n', 'bad'), 'Invalid value: "a\\"b\\n": bad'],
    [invalid('f', null, 'bad'), 'Invalid value: null: bad'],
    [invalid('f', true, 'bad'), 'Invalid value: true: bad'],
    [invalid('f', { a: 1 }, 'bad'), 'Invalid value: {"a":1}: bad'],
    [forbidden('f', 'no'), 'Forbidden: no'],
    [duplicate('f', 'x'), 'Duplicate value: "x"'],
    [notFound('f', 'x'), 'Not found: "x"'],
    [notSupported('f', 'z', ['b', 'a']), 'Unsupported value: "z": supported values: "b", "a"'],
    [tooLong('f', 63), 'Too long: may not be more than 63 bytes'],
    [tooMany('f', 3, 2), 'Too many: 3: must have at most 2 items'],
  ])('%j', (error, text) => {
    expect(errorBody(error)).toBe(text);
  });
});
