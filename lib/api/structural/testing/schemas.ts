/** Tools of this folder's tests: schemas without ceremony, and the texts of errors. */
import { assert } from '#lib/base';
import { errorBody, type FieldError } from '../../field-error.ts';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { parseStructural } from '../parse.ts';
import type { Structural } from '../schema.ts';

/** An object with these properties; a structural schema or the test fails. */
export function objectSchema(properties: Record<string, JSONSchemaProps>, more: JSONSchemaProps = {}): Structural {
  return schemaOf({ type: 'object', properties, ...more });
}

export function schemaOf(props: JSONSchemaProps): Structural {
  const parsed = parseStructural(props, 'schema');
  assert(parsed.schema !== undefined, (parsed.errors ?? []).map(errorText).join('\n'));
  return parsed.schema;
}

/** `spec.foo: Required value` */
export function errorText(e: FieldError): string {
  return `${e.field}: ${errorBody(e)}`;
}

export function errorTexts(errors: readonly FieldError[]): string[] {
  return errors.map(errorText);
}
