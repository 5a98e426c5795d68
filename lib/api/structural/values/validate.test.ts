import { describe, expect, test } from 'vitest';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { errorTexts, objectSchema } from '../testing/schemas.ts';
import { validateChangedValue, validateValue } from './validate.ts';

/** The errors of `{spec: {foo: value}}` where foo has this schema. */
function errorsOf(foo: JSONSchemaProps, value: unknown, spec: JSONSchemaProps = {}): string[] {
  const schema = objectSchema({ spec: { type: 'object', properties: { foo }, ...spec } });
  const object = { spec: value === undefined ? {} : { foo: value } };
  return errorTexts(validateValue(schema, object, ''));
}

const INT_OR_STRING: JSONSchemaProps = { 'x-kubernetes-int-or-string': true };

describe('validateValue: messages of Kubernetes', () => {
  const table: readonly (readonly [name: string, schema: JSONSchemaProps, value: unknown, texts: readonly string[]])[] =
    [
      [
        'wrong type',
        { type: 'integer' },
        'a',
        ['spec.foo: Invalid value: "string": spec.foo in body must be of type integer: "string"'],
      ],
      [
        'object for string',
        { type: 'string' },
        {},
        ['spec.foo: Invalid value: "object": spec.foo in body must be of type string: "object"'],
      ],
      [
        'list for object',
        { type: 'object' },
        [],
        ['spec.foo: Invalid value: "array": spec.foo in body must be of type object: "array"'],
      ],
      [
        'boolean for number',
        { type: 'number' },
        true,
        ['spec.foo: Invalid value: "boolean": spec.foo in body must be of type number: "boolean"'],
      ],
      [
        'null',
        { type: 'string' },
        null,
        ['spec.foo: Invalid value: "null": spec.foo in body must be of type string: "null"'],
      ],
      ['nullable null', { type: 'string', nullable: true }, null, []],
      ['integer for number', { type: 'number' }, 3, []],
      [
        'fraction for integer',
        { type: 'integer' },
        1.5,
        [
          'spec.foo: Invalid value: "number": spec.foo in body must be of type integer: "number"',
          '<nil>: Invalid value: "": Checked value must be of type integer (default format) in spec.foo',
        ],
      ],
      [
        'int32 too large',
        { type: 'integer', format: 'int32' },
        2 ** 31,
        ['<nil>: Invalid value: "": Checked value must be of type integer with format int32 in spec.foo'],
      ],
      ['int32', { type: 'integer', format: 'int32' }, 2 ** 31 - 1, []],
      ['int-or-string takes an integer', INT_OR_STRING, 80, []],
      ['int-or-string takes a string', INT_OR_STRING, '25%', []],
      [
        'int-or-string refuses',
        INT_OR_STRING,
        true,
        ['spec.foo: Invalid value: "boolean": spec.foo in body must be of type integer,string: "boolean"'],
      ],
      [
        'maximum',
        { type: 'integer', maximum: 5 },
        6,
        ['spec.foo: Invalid value: 6: spec.foo in body should be less than or equal to 5'],
      ],
      [
        'exclusiveMaximum',
        { type: 'integer', maximum: 5, exclusiveMaximum: true },
        5,
        ['spec.foo: Invalid value: 5: spec.foo in body should be less than 5'],
      ],
      [
        'minimum',
        { type: 'number', minimum: 0.00001 },
        0,
        ['spec.foo: Invalid value: 0: spec.foo in body should be greater than or equal to 1e-05'],
      ],
      [
        'exclusiveMinimum',
        { type: 'integer', minimum: 1, exclusiveMinimum: true },
        1,
        ['spec.foo: Invalid value: 1: spec.foo in body should be greater than 1'],
      ],
      [
        'multipleOf',
        { type: 'integer', multipleOf: 3 },
        4,
        ['spec.foo: Invalid value: 4: spec.foo in body should be a multiple of 3'],
      ],
      ['multipleOf of fractions', { type: 'number', multipleOf: 0.1 }, 0.3, []],
      [
        'multipleOf zero',
        { type: 'number', multipleOf: 0 },
        1,
        ['spec.foo: Invalid value: 1: factor MultipleOf declared for spec.foo must be positive: 0'],
      ],
      ['maxLength', { type: 'string', maxLength: 2 }, 'abc', ['spec.foo: Too long: may not be more than 2 bytes']],
      ['maxLength counts characters', { type: 'string', maxLength: 2 }, '😀😀', []],
      [
        'minLength',
        { type: 'string', minLength: 2 },
        '😀',
        ['spec.foo: Invalid value: "😀": spec.foo in body should be at least 2 chars long'],
      ],
      [
        'pattern',
        { type: 'string', pattern: '^a+$' },
        'b',
        ['spec.foo: Invalid value: "b": spec.foo in body should match \'^a+$\''],
      ],
      [
        'enum',
        { type: 'string', enum: ['a', 'b'] },
        'c',
        ['spec.foo: Unsupported value: "c": supported values: "a", "b"'],
      ],
      [
        'enum of numbers',
        { type: 'integer', enum: [1, 2] },
        3,
        ['spec.foo: Unsupported value: 3: supported values: "1", "2"'],
      ],
      [
        'null is in no enum',
        { type: 'string', nullable: true, enum: ['a'] },
        null,
        ['spec.foo: Unsupported value: null: supported values: "a"'],
      ],
      [
        'format',
        { type: 'string', format: 'date' },
        'soon',
        ['spec.foo: Invalid value: "soon": spec.foo in body must be of type date: "soon"'],
      ],
      ['a format that Kubernetes does not know', { type: 'string', format: 'colour' }, 'x', []],
      [
        'a number where a format is',
        { type: 'string', format: 'date' },
        1,
        ['spec.foo: Invalid value: "int64": spec.foo in body must be of type date: "int64"'],
      ],
      [
        'maxItems',
        { type: 'array', maxItems: 1, items: { type: 'string' } },
        ['a', 'b'],
        ['spec.foo: Too many: 2: must have at most 1 item'],
      ],
      [
        'minItems',
        { type: 'array', minItems: 1, items: { type: 'string' } },
        [],
        ['spec.foo: Invalid value: 0: spec.foo in body should have at least 1 items'],
      ],
      [
        'items',
        { type: 'array', items: { type: 'string' } },
        ['a', 1],
        ['spec.foo[1]: Invalid value: "integer": spec.foo[1] in body must be of type string: "integer"'],
      ],
      [
        'maxProperties',
        { type: 'object', maxProperties: 0 },
        { a: 1 },
        ['spec.foo: Too many: 1: must have at most 0 items'],
      ],
      [
        'minProperties',
        { type: 'object', minProperties: 2 },
        { a: 1 },
        ['spec.foo: Invalid value: 1: spec.foo in body should have at least 2 properties'],
      ],
      [
        'additionalProperties',
        { type: 'object', additionalProperties: { type: 'string' } },
        { a: 1 },
        ['spec.foo.a: Invalid value: "integer": spec.foo.a in body must be of type string: "integer"'],
      ],
      [
        'additionalProperties: false',
        { type: 'object', additionalProperties: false },
        { a: 1 },
        ['spec.foo: Invalid value: "a": spec.foo.a in body is a forbidden property'],
      ],
      ['required', { type: 'object', required: ['a'] }, {}, ['spec.foo.a: Required value']],
      [
        'allOf',
        { type: 'string', allOf: [{ maxLength: 1 }, { pattern: 'b' }] },
        'aa',
        [
          'spec.foo: Too long: may not be more than 1 byte',
          'spec.foo: Invalid value: "aa": spec.foo in body should match \'b\'',
          '<nil>: Invalid value: "": "spec.foo" must validate all the schemas (allOf). None validated',
        ],
      ],
      [
        'anyOf',
        { type: 'string', anyOf: [{ enum: ['a'] }, { enum: ['b'] }] },
        'c',
        [
          '<nil>: Invalid value: "": "spec.foo" must validate at least one schema (anyOf)',
          'spec.foo: Unsupported value: "c": supported values: "a"',
        ],
      ],
      ['anyOf holds', { type: 'string', anyOf: [{ enum: ['a'] }, { enum: ['b'] }] }, 'b', []],
      [
        'oneOf, none',
        { type: 'integer', oneOf: [{ minimum: 5 }, { minimum: 7 }] },
        1,
        [
          '<nil>: Invalid value: "": "spec.foo" must validate one and only one schema (oneOf). Found none valid',
          'spec.foo: Invalid value: 1: spec.foo in body should be greater than or equal to 5',
        ],
      ],
      [
        'oneOf, two',
        { type: 'integer', oneOf: [{ minimum: 5 }, { minimum: 7 }] },
        8,
        [
          '<nil>: Invalid value: "": "spec.foo" must validate one and only one schema (oneOf). Found 2 valid alternatives',
        ],
      ],
      [
        'not',
        { type: 'string', not: { enum: ['a'] } },
        'a',
        ['<nil>: Invalid value: "": "spec.foo" must not validate the schema (not)'],
      ],
    ];
  test.each(table)('%s', (_name, schema, value, texts) => {
    expect(errorsOf(schema, value)).toEqual(texts);
  });

  test('a missing field of the root', () => {
    const schema = objectSchema({ spec: { type: 'object' } }, { required: ['spec'] });
    expect(errorTexts(validateValue(schema, {}, ''))).toEqual(['spec: Required value']);
  });

  test('paths begin with the base', () => {
    const schema = objectSchema({ a: { type: 'string' } });
    expect(errorTexts(validateValue(schema, { a: 1 }, 'status'))).toEqual([
      'status.a: Invalid value: "integer": a in body must be of type string: "integer"',
    ]);
    expect(errorTexts(validateValue(schema, 'x', 'status'))).toEqual([
      'status: Invalid value: "string":  in body must be of type object: "string"',
    ]);
  });

  test('one wrong alternative in a junctor is told once', () => {
    const schema: JSONSchemaProps = { type: 'string', maxLength: 1, allOf: [{ maxLength: 1 }] };
    expect(errorsOf(schema, 'aa').filter((text) => text.includes('Too long'))).toHaveLength(1);
  });

  test('a property named __proto__ is one like any other', () => {
    const schema = objectSchema({ a: { type: 'object', additionalProperties: { type: 'string' } } });
    const object: unknown = JSON.parse('{"a": {"__proto__": 1}}');
    expect(errorTexts(validateValue(schema, object, ''))).toEqual([
      'a.__proto__: Invalid value: "integer": a.__proto__ in body must be of type string: "integer"',
    ]);
  });

  test('there are never more than 1000 failures', () => {
    const list = Array.from({ length: 5000 }, () => 1);
    expect(errorsOf({ type: 'array', items: { type: 'string' } }, list)).toHaveLength(1000);
  });
});

describe('validateChangedValue: ratcheting (KEP-4008)', () => {
  const spec = (more: JSONSchemaProps): ReturnType<typeof objectSchema> =>
    objectSchema({ spec: { type: 'object', ...more } });
  const errors = (s: ReturnType<typeof spec>, previous: unknown, next: unknown): string[] =>
    errorTexts(validateChangedValue(s, { next: { spec: next }, previous: { spec: previous } }, ''));

  test('what did not change may stay wrong, what changed may not', () => {
    const s = spec({ properties: { a: { type: 'string', maxLength: 1 }, b: { type: 'string', maxLength: 1 } } });
    expect(errors(s, { a: 'old', b: 'b' }, { a: 'old', b: 'new' })).toEqual([
      'spec.b: Too long: may not be more than 1 byte',
    ]);
    expect(errors(s, { a: 'old' }, { a: 'older' })).toHaveLength(1);
    expect(errors(s, {}, { a: 'old' })).toHaveLength(1);
  });

  test('a missing field counts against the object: forgiven while that is the same', () => {
    const s = spec({ required: ['a'], properties: { a: { type: 'string' }, b: { type: 'string' } } });
    expect(errors(s, { b: 'x' }, { b: 'x' })).toEqual([]);
    expect(errors(s, { b: 'x' }, { b: 'y' })).toEqual(['spec.a: Required value']);
  });

  const item: JSONSchemaProps = {
    type: 'object',
    required: ['name'],
    properties: { name: { type: 'string' }, size: { type: 'integer', maximum: 1 } },
  };
  const old = [
    { name: 'a', size: 5 },
    { name: 'b', size: 1 },
  ];

  test('items of a map list are found by their keys, wherever they moved', () => {
    const list: JSONSchemaProps = {
      type: 'array',
      items: item,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    };
    const s = spec({ properties: { list } });
    const moved = [
      { name: 'c', size: 0 },
      { name: 'b', size: 7 },
      { size: 5, name: 'a' },
    ];
    expect(errors(s, { list: old }, { list: moved })).toEqual([
      'spec.list[1].size: Invalid value: 7: spec.list[1].size in body should be less than or equal to 1',
    ]);
  });

  test('items of a list without a type, of a set or an atomic list are forgiven with the whole list only', () => {
    const next = [
      { name: 'a', size: 5 },
      { name: 'b', size: 0 },
    ];
    for (const type of [{}, { 'x-kubernetes-list-type': 'atomic' }, { 'x-kubernetes-list-type': 'set' }]) {
      const s = spec({ properties: { list: { type: 'array', items: item, ...type } } });
      expect(errors(s, { list: old }, { list: next })).toHaveLength(1);
      expect(errors(s, { list: old }, { list: old })).toEqual([]);
    }
  });

  test('a value with fields that no schema describes is never unchanged (k8s.io/apiserver/pkg/cel/common/equality.go)', () => {
    const s = spec({
      properties: { a: { type: 'integer' } },
      minProperties: 3,
      'x-kubernetes-preserve-unknown-fields': true,
    });
    expect(errors(s, { a: 1 }, { a: 1 })).toEqual([]);
    expect(errors(s, { a: 1, x: 1 }, { a: 1, x: 1 })).toHaveLength(1);
  });

  test('junctors are forgiven with the whole value only', () => {
    const s = spec({
      properties: { a: { type: 'integer' }, b: { type: 'integer' } },
      allOf: [{ properties: { a: { maximum: 1 } } }],
    });
    expect(errors(s, { a: 5 }, { a: 5 })).toEqual([]);
    expect(errors(s, { a: 5 }, { a: 5, b: 1 })).not.toEqual([]);
  });

  test('kind and apiVersion are never forgiven', () => {
    const s = objectSchema({ kind: { type: 'string', enum: ['A'] } });
    expect(
      errorTexts(validateChangedValue(s, { next: { kind: 'B', x: 1 }, previous: { kind: 'B' } }, '')),
    ).toHaveLength(1);
  });
});
