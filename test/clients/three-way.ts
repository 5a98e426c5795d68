/**
 * The patches that helm and `kubectl apply` compute on the client's side, from what was applied last (`original`), what is to be
 * (`modified`) and what is there (`current`): fields that only others set stay, fields that were applied once and no longer are
 * go, and what differs from `modified` is set.
 * Source: k8s.io/apimachinery pkg/util/strategicpatch (CreateThreeWayMergePatch), helm pkg/kube/client.go (two-way merge patches for
 * custom objects); kubernetes/community contributors/devel/sig-api-machinery/strategic-merge-patch.md.
 */
import { isDeepStrictEqual } from 'node:util';
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from '#lib/api';

export type Json = Record<string, unknown>;

/** JSON merge patch (RFC 7386) that makes `modified` of `original`. */
export function twoWayMergePatch(original: Json, modified: Json): Json {
  const patch: Json = {};
  for (const key of Object.keys(original)) if (!Object.hasOwn(modified, key)) patch[key] = null;
  for (const [key, value] of Object.entries(modified)) {
    const before = original[key];
    if (isMap(value) && isMap(before)) {
      const inner = twoWayMergePatch(before, value);
      if (Object.keys(inner).length > 0) patch[key] = inner;
    } else if (!isDeepStrictEqual(value, before)) patch[key] = value;
  }
  return patch;
}

/** `{}` when there is nothing to do. */
export function threeWayStrategicPatch(type: TypeName, original: Json, modified: Json, current: Json): Json {
  return mapPatch({ original, modified, current }, { k: 'struct', goName: '', name: type });
}

interface Three<T> {
  readonly original: T;
  readonly modified: T;
  readonly current: T;
}

type Field = Pick<FieldInfo, 'type' | 'patchStrategy' | 'mergeKey'>;

function fieldOf(type: TypeRef | undefined, key: string): Field | undefined {
  if (type?.k === 'struct') return typeOf(type.name).byName.get(key);
  return type?.k === 'map' ? { type: type.of, patchStrategy: [], mergeKey: undefined } : undefined;
}

function mapPatch({ original, modified, current }: Three<Json>, type: TypeRef | undefined): Json {
  const patch: Json = {};
  for (const key of Object.keys(original)) if (!Object.hasOwn(modified, key)) patch[key] = null;
  for (const [key, value] of Object.entries(modified)) {
    const field = fieldOf(type, key);
    const [before, now] = [original[key], current[key]];
    if (isMap(value) && isMap(now) && field?.patchStrategy.includes('replace') !== true) {
      const inner = mapPatch({ original: isMap(before) ? before : {}, modified: value, current: now }, field?.type);
      if (Object.keys(inner).length > 0) {
        if (field?.patchStrategy.includes('retainKeys') === true) inner['$retainKeys'] = Object.keys(value).toSorted();
        patch[key] = inner;
      }
    } else if (Array.isArray(value) && Array.isArray(now) && field?.patchStrategy.includes('merge') === true) {
      const lists = { original: Array.isArray(before) ? before : [], modified: value, current: now };
      Object.assign(patch, listPatch(key, lists, field));
    } else if (!isDeepStrictEqual(value, now)) patch[key] = value;
  }
  return patch;
}

function listPatch(key: string, lists: Three<readonly unknown[]>, field: Field): Json {
  const { mergeKey } = field;
  if (mergeKey === undefined) return scalarsPatch(key, lists);
  const element = field.type.k === 'list' ? field.type.of : undefined;
  const elements: Json[] = [];
  for (const item of lists.modified.filter(isMap)) {
    const id = item[mergeKey];
    const now = find(lists.current, mergeKey, id);
    if (now === undefined) elements.push(item);
    else {
      const before = find(lists.original, mergeKey, id) ?? {};
      const inner = mapPatch({ original: before, modified: item, current: now }, element);
      if (Object.keys(inner).length > 0) elements.push({ ...inner, [mergeKey]: id });
    }
  }
  for (const item of lists.original.filter(isMap))
    if (find(lists.modified, mergeKey, item[mergeKey]) === undefined)
      elements.push({ $patch: 'delete', [mergeKey]: item[mergeKey] });
  if (elements.length === 0) return {};
  const order = lists.modified.filter(isMap).map((item) => ({ [mergeKey]: item[mergeKey] }));
  return { [key]: elements, [`$setElementOrder/${key}`]: order };
}

function scalarsPatch(key: string, { original, modified, current }: Three<readonly unknown[]>): Json {
  const added = modified.filter((x) => !current.includes(x));
  const removed = original.filter((x) => !modified.includes(x));
  if (added.length === 0 && removed.length === 0) return {};
  return {
    ...(added.length > 0 ? { [key]: added } : {}),
    ...(removed.length > 0 ? { [`$deleteFromPrimitiveList/${key}`]: removed } : {}),
    [`$setElementOrder/${key}`]: modified,
  };
}

function find(list: readonly unknown[], mergeKey: string, id: unknown): Json | undefined {
  return list.filter(isMap).find((item) => item[mergeKey] === id);
}

function isMap(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
