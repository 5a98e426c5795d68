/** x-kubernetes-list-type and -list-map-keys. Source: as keywords.ts, and validateMapListKeysMapSet. */
import { type FieldError, forbidden, invalid, notSupported, required } from '../../field-error.ts';
import type { JSONSchemaProps } from '../../gen/types/apiextensions-v1.ts';
import { schemaIn } from '../parse.ts';
import { child } from '../schema.ts';

const LIST_TYPES = ['atomic', 'set', 'map'];

export function validateListKeywords(s: JSONSchemaProps, path: string): FieldError[] {
  const listType = s['x-kubernetes-list-type'];
  const keys = s['x-kubernetes-list-map-keys'] ?? [];
  const errors: FieldError[] = [];
  if (listType !== undefined) {
    if (s.type !== 'array') errors.push(typeNeeded(s, path, 'must be array if x-kubernetes-list-type is specified'));
    else if (listType === 'set') errors.push(...validateSetItems(schemaIn(s.items), path));
    if (!LIST_TYPES.includes(listType))
      errors.push(notSupported(child(path, 'x-kubernetes-list-type'), listType, LIST_TYPES));
  }
  if (keys.length > 0 && listType !== 'map') {
    const at = child(path, 'x-kubernetes-list-type');
    const detail = 'must be map if x-kubernetes-list-map-keys is non-empty';
    errors.push(listType === undefined ? required(at, detail) : invalid(at, listType, detail));
  }
  if (listType === 'map') errors.push(...validateMapItems(s, keys, path));
  if (listType === 'map' || listType === 'set') errors.push(...validateNullable(s, listType, keys, path));
  return errors;
}

/** Items of a set are compared whole. */
function validateSetItems(items: JSONSchemaProps | undefined, path: string): FieldError[] {
  const detail = 'must be atomic as item of a list with x-kubernetes-list-type=set';
  const listType = items?.['x-kubernetes-list-type'];
  if (items?.type === 'array' && listType !== undefined && listType !== 'atomic')
    return [invalid(child(path, 'items.x-kubernetes-list-type'), listType, detail)];
  // Kubernetes shows the list type here, which an object has not.
  if (items?.type === 'object' && items['x-kubernetes-map-type'] !== 'atomic')
    return [invalid(child(path, 'items.x-kubernetes-map-type'), listType, detail)];
  return [];
}

function validateMapItems(s: JSONSchemaProps, keys: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const at = (name: string): string => child(path, name);
  if (keys.length === 0)
    errors.push(required(at('x-kubernetes-list-map-keys'), 'must not be empty if x-kubernetes-list-type is map'));
  const items = schemaIn(s.items);
  if (s.items === undefined) errors.push(required(at('items'), 'must have a schema if x-kubernetes-list-type is map'));
  else if (items === undefined)
    errors.push(invalid(at('items'), s.items, 'must only have a single schema if x-kubernetes-list-type is map'));
  else if (items.type !== 'object')
    errors.push(
      invalid(at('items.type'), items.type ?? '', "must be object if parent array's x-kubernetes-list-type is map"),
    );
  else errors.push(...validateKeys(items, keys, path));
  return errors;
}

function validateKeys(items: JSONSchemaProps, keys: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const seen = new Set<string>();
  const at = child(path, 'x-kubernetes-list-map-keys');
  for (const key of keys) {
    const property = propertyOf(items, key);
    if (property === undefined) errors.push(invalid(at, keys, 'entries must all be names of item properties'));
    else if (property.type === 'array' || property.type === 'object')
      errors.push(
        // Kubernetes shows the type of the items here.
        invalid(
          child(path, `items.properties[${key}].type`),
          items.type,
          "must be a scalar type if parent array's x-kubernetes-list-type is map",
        ),
      );
    if (seen.has(key)) errors.push(invalid(at, keys, 'must not contain duplicate entries'));
    seen.add(key);
  }
  return errors;
}

function propertyOf(items: JSONSchemaProps, key: string): JSONSchemaProps | undefined {
  return items.properties !== undefined && Object.hasOwn(items.properties, key) ? items.properties[key] : undefined;
}

/** Items that are null, or keys that may be absent or null, could not be told apart. */
function validateNullable(s: JSONSchemaProps, listType: string, keys: readonly string[], path: string): FieldError[] {
  const items = schemaIn(s.items);
  if (items === undefined) return [];
  const errors: FieldError[] = [];
  if (items.nullable === true)
    errors.push(
      forbidden(child(path, 'items.nullable'), `cannot be nullable when x-kubernetes-list-type is ${listType}`),
    );
  if (listType !== 'map') return errors;
  for (const key of keys) {
    const property = propertyOf(items, key);
    if (property === undefined) continue;
    const at = child(path, `items.properties[${key}]`);
    const hasDefault = property.default !== undefined && property.default !== null;
    if (!hasDefault && !(items.required ?? []).includes(key))
      errors.push(
        required(
          child(at, 'default'),
          'this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property',
        ),
      );
    if (property.nullable === true)
      errors.push(
        forbidden(child(at, 'nullable'), 'this property is in x-kubernetes-list-map-keys, so it cannot be nullable'),
      );
  }
  return errors;
}

/** Required when the type is absent, else Invalid. */
export function typeNeeded(s: JSONSchemaProps, path: string, detail: string): FieldError {
  const field = child(path, 'type');
  return s.type ? { type: 'Invalid', field, value: s.type, detail } : { type: 'Required', field, detail };
}
