/** selectableFields of a version. Source: KEP-4358; as versions.ts. */
import { duplicate, type FieldError, invalid, required, tooMany } from '../../field-error.ts';
import type { CustomResourceDefinitionVersion } from '../../gen/types/apiextensions-v1.ts';
import { structuralForm } from '../parse.ts';
import { findField } from '../schema-path.ts';

export const SELECTABLE_FIELDS_MAX = 8;
const TYPES = ['string', 'boolean', 'integer'];

export function validateSelectableFields(
  v: CustomResourceDefinitionVersion,
  path: string,
  o: { readonly allowsMany: boolean },
): FieldError[] {
  const at = `${path}.selectableFields`;
  const props = v.schema?.openAPIV3Schema;
  if (props === undefined)
    return [invalid(at, '', 'may only be set when `version.schema.openAPIV3Schema` is not included')];
  const schema = structuralForm(props);
  // What is wrong with the schema has been said.
  if (schema === undefined) return [];
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  for (const [i, { jsonPath }] of (v.selectableFields ?? []).entries()) {
    const field = `${at}[${i}].jsonPath`;
    if (!jsonPath) {
      errors.push(required(field));
      continue;
    }
    const found = findField(schema, jsonPath, { allowsBrackets: false });
    if ('error' in found) {
      errors.push(invalid(field, jsonPath, `is an invalid path: ${found.error}`));
      continue;
    }
    if (found.root === 'metadata') errors.push(invalid(field, jsonPath, 'must not point to fields in metadata'));
    if (found.schema === undefined || !TYPES.includes(found.schema.type))
      errors.push(
        invalid(
          field,
          jsonPath,
          'must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.',
        ),
      );
    if (seen.has(found.path)) errors.push(duplicate(field, jsonPath));
    seen.add(found.path);
  }
  if (seen.size > SELECTABLE_FIELDS_MAX && !o.allowsMany) errors.push(tooMany(at, seen.size, SELECTABLE_FIELDS_MAX));
  return errors;
}
