/** Arbitrary structural schemas, and values that are likely to meet them in interesting ways. */
import fc from 'fast-check';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';

const KEYS = ['a', 'b', 'name', '__proto__', 'metadata'] as const;
const key = fc.constantFrom(...KEYS);

const scalar: fc.Arbitrary<JSONSchemaProps> = fc.oneof(
  fc.record(
    {
      type: fc.constant('string'),
      nullable: fc.boolean(),
      maxLength: fc.nat(3),
      enum: fc.constant<unknown[]>(['a', 'bb']),
      default: fc.constantFrom('a', 'bb'),
    },
    { requiredKeys: ['type'] },
  ),
  fc.record(
    { type: fc.constant('integer'), nullable: fc.boolean(), minimum: fc.constant(0), default: fc.nat(5) },
    { requiredKeys: ['type'] },
  ),
  fc.record({ type: fc.constant('boolean'), default: fc.boolean() }, { requiredKeys: ['type'] }),
  fc.constant({ 'x-kubernetes-int-or-string': true }),
);

/** Of any node but the root. */
export function arbitrarySchema(depth: number): fc.Arbitrary<JSONSchemaProps> {
  if (depth <= 0) return scalar;
  const inner = fc.constant(depth - 1).chain(arbitrarySchema);
  return fc.oneof(
    scalar,
    arbitraryObjectSchema(depth),
    fc.record({ type: fc.constant('object'), additionalProperties: fc.oneof(inner, fc.constant(true)) }),
    fc.record({ type: fc.constant('array'), items: inner }),
    fc.constant({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true }),
  );
}

export function arbitraryObjectSchema(depth: number): fc.Arbitrary<JSONSchemaProps> {
  return fc
    .record({
      properties: fc.dictionary(
        fc.constantFrom('a', 'b', 'name', '__proto__'),
        fc.constant(depth - 1).chain(arbitrarySchema),
        { maxKeys: 3 },
      ),
      keeps: fc.boolean(),
      nullable: fc.boolean(),
      hasDefault: fc.boolean(),
      required: fc.subarray(['a', 'b']),
    })
    .map(({ properties, keeps, nullable, hasDefault, required }) => ({
      type: 'object',
      properties,
      ...(keeps ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
      ...(nullable ? { nullable } : {}),
      ...(hasDefault ? { default: {} } : {}),
      ...(required.some((name) => name in properties)
        ? { required: required.filter((name) => name in properties) }
        : {}),
    }));
}

export const arbitraryRoot: fc.Arbitrary<JSONSchemaProps> = arbitraryObjectSchema(4).map(
  ({ nullable: _nullable, default: _default, ...root }) => root,
);

export const arbitraryValue: fc.Arbitrary<unknown> = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, depthSize: 'medium' },
    fc.constantFrom<unknown>('a', 'bb', 'long text', 0, 3, -1, 1.5, true, null),
    fc.dictionary(key, tie('value'), { maxKeys: 4 }),
    fc.array(tie('value'), { maxLength: 3 }),
  ),
})).value;

export const arbitraryObject: fc.Arbitrary<Record<string, unknown>> = fc.dictionary(key, arbitraryValue, {
  maxKeys: 5,
});
