/**
 * Strategic merge patch: a merge patch that knows the types. Lists with patchStrategy `merge` are merged element by
 * element (by patchMergeKey, or by value for scalars), other lists are replaced, maps are merged, null deletes.
 *
 * Directives in the patch:
 *   {"$patch": "delete"|"replace"|"merge"}          in a map: empty it / take the rest as it is / (default) merge
 *   [{"$patch": "delete", KEY: v}, ...]             in a merging list: remove the element; {"$patch": "replace"}: the whole list
 *   "$deleteFromPrimitiveList/F": [v]               remove scalars from the merging list F
 *   "$setElementOrder/F": [{KEY: v}|v]              relative order of the merged list F; elements only the server knows keep their place
 *   "$retainKeys": [k]                              clear every other key of the map (unions: volumes, strategy)
 * Invariants: the input is never changed; no directive ever reaches the result; an element of a patch without its merge
 * key is an error.
 * Source: k8s.io/apimachinery/pkg/util/strategicpatch/patch.go; kubernetes/community contributors/devel/sig-api-machinery/strategic-merge-patch.md.
 */
import { StatusError } from '#lib/base';
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from '../type-table.ts';
import { mergeElementOrder, type OrderKey } from './element-order.ts';
import { canonicalText, getOwn, isObject, type JsonObject, setOwn } from './value.ts';

const DIRECTIVE = '$patch';
const RETAIN_KEYS = '$retainKeys';
const DELETE_FROM = '$deleteFromPrimitiveList/';
const SET_ORDER = '$setElementOrder/';

/** The patched value. `schema` is the type of `object`. Throws BadRequest for a patch that makes no sense. */
export function applyStrategicMergePatch(schema: TypeName, object: unknown, patch: unknown): unknown {
  if (!isObject(patch)) throw bad('a strategic merge patch must be a JSON object');
  return mergeMap(isObject(object) ? object : {}, patch, fieldsOfType(schema));
}

/** What is known of the values below a map: its fields by name, or one type for all keys, or nothing (free form). */
type Below = (key: string) => Field | undefined;
type Field = Pick<FieldInfo, 'type' | 'patchStrategy' | 'mergeKey'>;

function fieldsOfType(name: TypeName): Below {
  const { byName } = typeOf(name);
  return (key) => byName.get(key);
}

function below(type: TypeRef | undefined): Below {
  if (type?.k === 'struct') return fieldsOfType(type.name);
  if (type?.k === 'map') return () => ({ type: type.of, patchStrategy: [], mergeKey: undefined });
  return () => undefined;
}

function mergeMap(original: JsonObject, patch: JsonObject, fields: Below): JsonObject {
  switch (getOwn(patch, DIRECTIVE)) {
    case undefined:
    case 'merge':
      break;
    case 'delete':
      return {};
    case 'replace':
      return cleanMap(patch, fields, [DIRECTIVE]);
    default:
      throw bad(`Unknown patch type: ${directiveText(getOwn(patch, DIRECTIVE))} in map: ${canonicalText(patch)}`);
  }
  const result = retainKeys(original, patch);
  applyListDirectives(result, patch, fields);
  for (const key of Object.keys(patch)) {
    if (key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER)) continue;
    const value = patch[key];
    if (value === null) delete result[key];
    else setOwn(result, key, mergeField(getOwn(result, key), value, { key, field: fields(key), patch }));
  }
  return result;
}

interface Place {
  readonly key: string;
  readonly field: Field | undefined;
  /** The map of the patch that holds the value: its $setElementOrder is looked up there. */
  readonly patch: JsonObject;
}

function mergeField(original: unknown, value: unknown, place: Place): unknown {
  const { field } = place;
  if (isObject(value)) {
    const inner = below(field?.type);
    const replaces = field?.patchStrategy.includes('replace') ?? false;
    if (isObject(original) && !replaces) return mergeMap(original, value, inner);
    return cleanMap(value, inner, []);
  }
  if (Array.isArray(value)) {
    if (field !== undefined && isMergingList(field))
      return mergeList(Array.isArray(original) ? original : [], value, place, field);
    return cleanList(value, field?.type);
  }
  return value;
}

function isMergingList(field: Field): boolean {
  return field.type.k === 'list' && field.patchStrategy.includes('merge');
}

/** `$retainKeys`: drops every key of the original that is not listed. Every key the patch sets must be listed. */
function retainKeys(original: JsonObject, patch: JsonObject): JsonObject {
  const listed = getOwn(patch, RETAIN_KEYS);
  if (listed === undefined) return { ...original };
  if (!Array.isArray(listed)) throw bad('$retainKeys must be a list');
  for (const key of Object.keys(patch)) {
    if (key.startsWith('$') || patch[key] === null) continue;
    if (!listed.includes(key)) throw bad('patch contains a key that is not in its $retainKeys list');
  }
  const result: JsonObject = {};
  for (const key of Object.keys(original)) if (listed.includes(key)) setOwn(result, key, original[key]);
  return result;
}

/** `$deleteFromPrimitiveList/F`, and `$setElementOrder/F` where the patch has no F of its own. */
function applyListDirectives(result: JsonObject, patch: JsonObject, fields: Below): void {
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (key.startsWith(DELETE_FROM)) {
      const name = key.slice(DELETE_FROM.length);
      if (!Array.isArray(value)) throw bad(`${key} must be a list`);
      const list = getOwn(result, name);
      const removed = new Set(value.map(canonicalText));
      if (Array.isArray(list))
        setOwn(
          result,
          name,
          list.filter((element) => !removed.has(canonicalText(element))),
        );
    }
  }
  for (const key of Object.keys(patch)) {
    if (!key.startsWith(SET_ORDER)) continue;
    const name = key.slice(SET_ORDER.length);
    const list = getOwn(result, name);
    const field = fields(name);
    if (!Object.hasOwn(patch, name) && Array.isArray(list) && field !== undefined)
      setOwn(result, name, ordered({ original: list, merged: list, patch: [] }, { key: name, field, patch }, field));
  }
}

function mergeList(original: readonly unknown[], patch: readonly unknown[], place: Place, field: Field): unknown[] {
  const { mergeKey } = field;
  if (mergeKey === undefined) {
    return ordered({ original, merged: dedupe([...original, ...patch]), patch }, place, field);
  }
  const elementType = field.type.k === 'list' ? field.type.of : undefined;
  const elements = patch.map((element) => {
    if (!isObject(element)) throw bad(`${place.key}: a list of maps is expected`);
    return element;
  });
  if (elements.some((element) => getOwn(element, DIRECTIVE) === 'replace'))
    return elements
      .filter((element) => !(getOwn(element, DIRECTIVE) === 'replace' && Object.keys(element).length === 1))
      .map((element) => cleanMap(element, below(elementType), [DIRECTIVE]));
  const merged = new KeyedList(original, mergeKey);
  for (const element of elements) {
    const value = keyOf(element, mergeKey, place.key);
    const directive = getOwn(element, DIRECTIVE);
    if (directive === 'delete') {
      merged.remove(value);
      continue;
    }
    if (directive !== undefined && directive !== 'merge')
      throw bad(`Unknown patch type: ${directiveText(directive)} in list ${place.key}`);
    const before = merged.find(value);
    const next = before === undefined ? undefined : mergeMap(before, element, below(elementType));
    merged.put(value, next ?? cleanMap(element, below(elementType), [DIRECTIVE]));
  }
  return ordered({ original, merged: merged.elements(), patch }, place, field);
}

/** A list of maps found by their merge key in constant time. Keys may stand twice (a port number with two protocols). */
class KeyedList {
  /** undefined = removed. */
  readonly #slots: unknown[];
  readonly #places = new Map<string, number[]>();

  constructor(original: readonly unknown[], mergeKey: string) {
    this.#slots = [...original];
    for (const [place, element] of original.entries())
      if (isObject(element)) this.#add(canonicalText(getOwn(element, mergeKey)), place);
  }

  /** The first of that key. */
  find(key: unknown): JsonObject | undefined {
    const found = this.#slots[this.#places.get(canonicalText(key))?.[0] ?? -1];
    return isObject(found) ? found : undefined;
  }

  /** In the place of the first of that key, else at the end. */
  put(key: unknown, element: unknown): void {
    const text = canonicalText(key);
    const place = this.#places.get(text)?.[0];
    if (place === undefined) this.#add(text, this.#slots.push(element) - 1);
    else this.#slots[place] = element;
  }

  /** All of that key. */
  remove(key: unknown): void {
    const text = canonicalText(key);
    for (const place of this.#places.get(text) ?? []) this.#slots[place] = undefined;
    this.#places.delete(text);
  }

  elements(): unknown[] {
    return this.#slots.filter((element) => element !== undefined);
  }

  #add(key: string, place: number): void {
    const places = this.#places.get(key);
    if (places === undefined) this.#places.set(key, [place]);
    else places.push(place);
  }
}

/** A list of scalars that merges is a set: later doubles are dropped. */
function dedupe(list: readonly unknown[]): unknown[] {
  const seen = new Set<string>();
  return list.filter((element) => {
    const text = canonicalText(element);
    if (seen.has(text)) return false;
    seen.add(text);
    return true;
  });
}

interface Lists {
  readonly original: readonly unknown[];
  readonly merged: readonly unknown[];
  readonly patch: readonly unknown[];
}

/** The merged list in the order that $setElementOrder asks for; without one it stays as it is. */
function ordered(lists: Lists, place: Place, field: Field): unknown[] {
  const { original, merged, patch } = lists;
  const order = getOwn(place.patch, SET_ORDER + place.key);
  if (order === undefined) return [...merged];
  if (!Array.isArray(order)) throw bad(`${SET_ORDER}${place.key} must be a list`);
  const { mergeKey } = field;
  const keyText: OrderKey = (element) =>
    canonicalText(mergeKey !== undefined && isObject(element) ? getOwn(element, mergeKey) : element);
  const wanted = order.map((element) => {
    if (mergeKey !== undefined) keyOf(isObject(element) ? element : {}, mergeKey, `${SET_ORDER}${place.key}`);
    return keyText(element);
  });
  const listed = new Set(wanted);
  for (const element of patch) {
    if (isObject(element) && getOwn(element, DIRECTIVE) !== undefined) continue;
    if (!listed.has(keyText(element)))
      throw bad(
        `The order in patch list:\n${canonicalText(patch)}\n doesn't match ${SET_ORDER}${place.key} list:\n${canonicalText(order)}`,
      );
  }
  return mergeElementOrder(merged, { wanted, known: new Set(original.map(keyText)) }, keyText);
}

function keyOf(element: JsonObject, mergeKey: string, list: string): unknown {
  const value = getOwn(element, mergeKey);
  if (value === undefined || value === null)
    throw bad(`map: ${canonicalText(element)} in list ${list} does not contain declared merge key: ${mergeKey}`);
  return value;
}

/** A map of the patch that has nothing to merge with: directives and nulls are dropped, at every depth. */
function cleanMap(patch: JsonObject, fields: Below, dropped: readonly string[]): JsonObject {
  const directive = getOwn(patch, DIRECTIVE);
  if (directive === 'delete') return {};
  const result: JsonObject = {};
  for (const key of Object.keys(patch)) {
    const value = patch[key];
    if (value === null || dropped.includes(key) || isDirective(key)) continue;
    setOwn(result, key, mergeField(undefined, value, { key, field: fields(key), patch }));
  }
  return result;
}

function cleanList(list: readonly unknown[], type: TypeRef | undefined): unknown[] {
  const inner = below(type?.k === 'list' ? type.of : undefined);
  return list
    .filter((element) => !(isObject(element) && Object.hasOwn(element, DIRECTIVE)))
    .map((element) => (isObject(element) ? cleanMap(element, inner, []) : element));
}

function isDirective(key: string): boolean {
  return key === DIRECTIVE || key === RETAIN_KEYS || key.startsWith(DELETE_FROM) || key.startsWith(SET_ORDER);
}

function bad(text: string): StatusError {
  return new StatusError('BadRequest', text);
}

function directiveText(directive: unknown): string {
  return typeof directive === 'string' ? directive : canonicalText(directive);
}
