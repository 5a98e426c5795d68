/**
 * Defaulting: absent fields, and nulls where null is not allowed, take the schema's default; nulls that may not be and have no
 * default are dropped. It happens on every write and on every read from storage, so that a default added to a schema shows in
 * old objects.
 * Invariants: pure, shares what did not change, never shares a default; defaulting twice is defaulting once.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting/{algorithm,prunenulls}.go.
 */
import { cloneJson, getOwn, isObject, type JsonObject, setOwn } from '../patch/value.ts';
import { mapList } from './prune.ts';
import { fieldSchema, type Structural } from './schema.ts';

export function applyStructuralDefaults(schema: Structural, value: unknown): unknown {
  return withDefaults(withoutNulls(value, schema), schema);
}

/** Nulls that may not be go. They stay where they are nullable, where a default will replace them, and as items of lists. */
export function withoutNulls(value: unknown, schema: Structural | undefined): unknown {
  if (Array.isArray(value)) return mapList(value, (item) => withoutNulls(item, schema?.items));
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  let isChanged = false;
  for (const key of Object.keys(value)) {
    const given = getOwn(value, key);
    const inner = schema && fieldSchema(schema, key);
    if (given === null && inner !== undefined && !inner.nullable && inner.default === undefined) {
      isChanged = true;
      continue;
    }
    const kept = withoutNulls(given, inner);
    if (kept !== given) isChanged = true;
    setOwn(result, key, kept);
  }
  return isChanged ? result : value;
}

function withDefaults(value: unknown, schema: Structural | undefined): unknown {
  if (schema === undefined) return value;
  if (Array.isArray(value)) return mapList(value, (item) => withDefaults(orDefault(item, schema.items), schema.items));
  if (!isObject(value)) return value;
  const result: JsonObject = {};
  let isChanged = false;
  for (const key of Object.keys(value)) {
    const given = getOwn(value, key);
    const inner = fieldSchema(schema, key);
    const next = withDefaults(orDefault(given, inner), inner);
    if (next !== given) isChanged = true;
    setOwn(result, key, next);
  }
  for (const [key, property] of schema.properties) {
    if (property.default === undefined || Object.hasOwn(value, key)) continue;
    isChanged = true;
    setOwn(result, key, withDefaults(cloneJson(property.default), property));
  }
  return isChanged ? result : value;
}

function orDefault(value: unknown, schema: Structural | undefined): unknown {
  const isReplaced = value === null && schema !== undefined && !schema.nullable && schema.default !== undefined;
  return isReplaced ? cloneJson(schema.default) : value;
}
