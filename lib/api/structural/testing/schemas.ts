/** Tools of this folder's tests: schemas without ceremony, and the texts of errors. */
import { assert } from '#lib/base';
import { errorBody, type FieldError } from '../../field-error.ts';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { parseStructural } from '../parse.ts';
import type { RegexEngine } from '../regex.ts';
import type { Structural } from '../schema.ts';

/** Of tests alone: it backtracks. Go's words for the one error that tests make. */
export const TEST_REGEX: RegexEngine = {
  compile: (pattern) => {
    try {
      const regex = new RegExp(pattern, 'u');
      return { regex: { test: (text) => regex.test(text) } };
    } catch {
      return { error: `error parsing regexp: missing closing ): \`${pattern}\`` };
    }
  },
};

/** An object with these properties; a structural schema or the test fails. */
export function objectSchema(properties: Record<string, JSONSchemaProps>, more: JSONSchemaProps = {}): Structural {
  return schemaOf({ type: 'object', properties, ...more });
}

export function schemaOf(props: JSONSchemaProps): Structural {
  const parsed = parseStructural(props, 'schema', TEST_REGEX);
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
