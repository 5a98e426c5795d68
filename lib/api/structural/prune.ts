/**
 * Pruning: fields that the schema does not specify are dropped, except below x-kubernetes-preserve-unknown-fields (where those
 * that are specified are still pruned inside) and except apiVersion, kind and metadata of resources.
 * Invariants: pure, shares what did not change; pruning twice is pruning once.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning/algorithm.go.
 */
import { getOwn, isObject, type JsonObject, setOwn } from '../patch/value.ts';
import { asResource, child, META_FIELDS, type Structural } from './schema.ts';

export interface Pruned {
  readonly value: unknown;
  /** Paths of what was dropped (`spec.list[0].foo`), sorted, for fieldValidation; the first PRUNED_PATHS_MAX that were met. */
  readonly paths: readonly string[];
}

/** Kubernetes stops listing strict errors here. */
export const PRUNED_PATHS_MAX = 100;

/** A whole object of a custom resource: its metadata is left alone. */
export function pruneObject(schema: Structural, object: unknown): Pruned {
  return pruneValue(asResource(schema), object);
}

export function pruneValue(schema: Structural, value: unknown): Pruned {
  const paths: string[] = [];
  const pruned = prune(value, schema, { path: '', paths });
  return { value: pruned, paths: paths.sort() };
}

interface At {
  readonly path: string;
  readonly paths: string[];
}

/** undefined: a place that has no schema, below additionalProperties without one. */
function prune(value: unknown, schema: Structural | undefined, at: At): unknown {
  if (Array.isArray(value)) return pruneItems(value, schema, at);
  return isObject(value) ? pruneFields(value, schema, at) : value;
}

/** The items of a list that preserves unknown fields do so too. */
function pruneItems(list: readonly unknown[], schema: Structural | undefined, at: At): readonly unknown[] {
  let items = schema?.items;
  if (schema?.preservesUnknownFields === true) {
    if (items === undefined) return list;
    items = { ...items, preservesUnknownFields: true };
  }
  return mapList(list, (item, i) => prune(item, items, { ...at, path: `${at.path}[${i}]` }));
}

function pruneFields(value: JsonObject, schema: Structural | undefined, at: At): JsonObject {
  const result: JsonObject = {};
  let isChanged = false;
  for (const key of Object.keys(value)) {
    const given = getOwn(value, key);
    const path = child(at.path, key);
    if (isKeptWhole(schema, key)) setOwn(result, key, given);
    else if (schema !== undefined && isSpecified(schema, key)) {
      const inner = schema.properties.get(key) ?? additionalSchema(schema);
      const kept = prune(given, inner, { ...at, path });
      if (kept !== given) isChanged = true;
      setOwn(result, key, kept);
    } else {
      isChanged = true;
      // At the root these three are nobody's mistake.
      const isQuiet = at.path === '' && META_FIELDS.has(key) && schema !== undefined;
      if (!isQuiet && at.paths.length < PRUNED_PATHS_MAX) at.paths.push(path);
    }
  }
  return isChanged ? result : value;
}

function isSpecified(schema: Structural, key: string): boolean {
  return schema.properties.has(key) || schema.additionalProperties !== undefined;
}

function isKeptWhole(schema: Structural | undefined, key: string): boolean {
  if (schema === undefined) return false;
  if (schema.isEmbeddedResource && META_FIELDS.has(key)) return true;
  return schema.preservesUnknownFields && !isSpecified(schema, key);
}

function additionalSchema(schema: Structural): Structural | undefined {
  return typeof schema.additionalProperties === 'object' ? schema.additionalProperties : undefined;
}

/** The same list when no item changed. */
export function mapList(list: readonly unknown[], fn: (item: unknown, index: number) => unknown): readonly unknown[] {
  let isChanged = false;
  const mapped = list.map((item, i) => {
    const next = fn(item, i);
    if (next !== item) isChanged = true;
    return next;
  });
  return isChanged ? mapped : list;
}
