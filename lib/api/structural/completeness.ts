/**
 * Completeness: whatever a junctor (allOf, anyOf, oneOf, not) says about a property or the items of a list is also specified
 * outside of the junctors, so that it has a type. As in Kubernetes this is asked of the junctors of the root alone: a stricter
 * server would refuse definitions that people have.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/complete.go.
 */
import { type FieldError, required } from '../field-error.ts';
import { child, type Structural } from './schema.ts';

interface Paths {
  /** Of the structural counterpart. */
  readonly structural: string;
  /** Of the value validation. */
  readonly value: string;
}

export function validateCompleteness(s: Structural, path: string): FieldError[] {
  return junctors(s, s, { structural: path, value: path });
}

function junctors(v: Structural, s: Structural, at: Paths): FieldError[] {
  const below = (inner: Structural, name: string): FieldError[] =>
    nested(inner, s, { structural: at.structural, value: child(at.value, name) });
  return [
    ...(v.not === undefined ? [] : below(v.not, 'not')),
    ...v.allOf.flatMap((inner, i) => below(inner, `allOf[${i}]`)),
    ...v.anyOf.flatMap((inner, i) => below(inner, `anyOf[${i}]`)),
    ...v.oneOf.flatMap((inner, i) => below(inner, `oneOf[${i}]`)),
  ];
}

function nested(v: Structural, s: Structural | undefined, at: Paths): FieldError[] {
  if (s === undefined) return [required(at.structural, `because it is defined in ${at.value}`)];
  const errors = junctors(v, s, at);
  const below = (inner: Structural, counterpart: Structural | undefined, name: string): void => {
    const paths = { structural: child(at.structural, name), value: child(at.value, name) };
    errors.push(...nested(inner, counterpart, paths));
  };
  if (v.items !== undefined) below(v.items, s.items, 'items');
  for (const [name, inner] of v.properties) below(inner, s.properties.get(name), `properties[${name}]`);
  return errors;
}
