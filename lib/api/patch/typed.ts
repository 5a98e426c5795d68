/**
 * Values seen through their shape: which paths a value has, how two values differ, how one is merged into another, how paths
 * are removed. All functions are pure.
 * Source: sigs.k8s.io/structured-merge-diff/v4/typed {tofieldset,merge,remove}.go.
 */
import { type FieldSet, type Path, setOfPaths } from './field-set.ts';
import { itemElement, type Shape, valueElement } from './shape.ts';
import { equalJson, getOwn, isObject, type JsonObject, setOwn } from './value.ts';

export interface Comparison {
  readonly added: FieldSet;
  readonly modified: FieldSet;
  readonly removed: FieldSet;
}

/** One part of a granular value: its path element, value and shape. */
interface Part {
  readonly element: string;
  readonly value: unknown;
  readonly shape: Shape;
  /** Map keys and list items are members themselves; a struct's field only by what is in it. */
  readonly isItem: boolean;
  readonly isAlwaysPresent: boolean;
}

/** The parts of a value; undefined if it is one unit (or has not the type its shape says). */
function partsOf(shape: Shape, value: unknown): Part[] | undefined {
  switch (shape.k) {
    case 'leaf':
      return undefined;
    case 'struct':
      return isObject(value) ? Object.keys(value).flatMap((key) => structPart(shape, key, value[key])) : undefined;
    case 'map':
      return isObject(value) ? Object.keys(value).map((key) => part(`f:${key}`, value[key], shape.of)) : undefined;
    case 'set':
      return Array.isArray(value) ? distinct(value.map((v) => part(valueElement(v), v, { k: 'leaf' }))) : undefined;
    case 'list':
      return Array.isArray(value) ? distinct(value.flatMap((item) => listPart(shape, item))) : undefined;
  }
}

function part(element: string, value: unknown, shape: Shape): Part {
  return { element, value, shape, isItem: true, isAlwaysPresent: false };
}

function structPart(shape: Extract<Shape, { k: 'struct' }>, key: string, value: unknown): Part[] {
  if (value === undefined) return [];
  const field = shape.field(key);
  const { shape: inner, isAlwaysPresent } = field ?? { shape: { k: 'leaf' } as const, isAlwaysPresent: false };
  return [{ element: `f:${key}`, value, shape: inner, isItem: false, isAlwaysPresent }];
}

/** An item without its keys cannot be told from others: it has no path (validation refuses such objects later). */
function listPart(shape: Extract<Shape, { k: 'list' }>, item: unknown): Part[] {
  const element = isObject(item) ? itemElement(shape, item) : undefined;
  return element === undefined ? [] : [part(element, item, shape.of)];
}

/** Only the first of parts with one element: lists of old objects may hold doubles. */
function distinct(parts: readonly Part[]): Part[] {
  const seen = new Set<string>();
  return parts.filter((p) => !seen.has(p.element) && seen.add(p.element));
}

/** All paths that a manager owns who wrote this value. */
export function fieldSetOf(shape: Shape, value: unknown): FieldSet {
  return setOfPaths(pathsOf(shape, value, []));
}

function pathsOf(shape: Shape, value: unknown, prefix: Path): Path[] {
  return (partsOf(shape, value) ?? []).flatMap((p) => {
    const path = [...prefix, p.element];
    const isUnit = partsOf(p.shape, p.value) === undefined;
    const isEmptyMap = isObject(p.value) && Object.keys(p.value).length === 0;
    return [...(p.isItem || isUnit || isEmptyMap ? [path] : []), ...pathsOf(p.shape, p.value, path)];
  });
}

/** How `next` differs from `previous`: paths of units and items that came, changed or went, and of containers that came or went. */
export function compareTyped(shape: Shape, previous: unknown, next: unknown): Comparison {
  const lists = { added: [] as Path[], modified: [] as Path[], removed: [] as Path[] };
  comparePaths({ shape, previous, next }, [], lists);
  return {
    added: setOfPaths(lists.added),
    modified: setOfPaths(lists.modified),
    removed: setOfPaths(lists.removed),
  };
}

interface Lists {
  readonly added: Path[];
  readonly modified: Path[];
  readonly removed: Path[];
}

function comparePaths(v: { shape: Shape; previous: unknown; next: unknown }, prefix: Path, lists: Lists): void {
  const before = new Map((partsOf(v.shape, v.previous) ?? []).map((p) => [p.element, p]));
  const after = new Map((partsOf(v.shape, v.next) ?? []).map((p) => [p.element, p]));
  for (const p of after.values()) {
    const old = before.get(p.element);
    const path = [...prefix, p.element];
    if (old === undefined || old.value === null) appeared(p, path, lists.added);
    else if (p.value === null) appeared(old, path, lists.removed);
    else comparePart({ old, p }, path, lists);
  }
  for (const old of before.values())
    if (!after.has(old.element)) appeared(old, [...prefix, old.element], lists.removed);
}

function comparePart(v: { old: Part; p: Part }, path: Path, lists: Lists): void {
  const { old, p } = v;
  // Most of an object is the same in most writes: to compare it whole is cheaper than part by part.
  if (equalJson(old.value, p.value)) return;
  const isGranular = partsOf(p.shape, p.value) !== undefined && partsOf(old.shape, old.value) !== undefined;
  if (isGranular) comparePaths({ shape: p.shape, previous: old.value, next: p.value }, path, lists);
  else lists.modified.push(path);
}

/**
 * All of a part that is on one side only, containers included. A struct that is always there in Go came only if what holds
 * it came.
 */
function appeared(p: Part, path: Path, list: Path[], isParentNew = false): void {
  if (p.value === null) return;
  const parts = partsOf(p.shape, p.value);
  const isNew = isParentNew || !p.isAlwaysPresent;
  if (isNew || parts === undefined) list.push(path);
  for (const inner of parts ?? []) appeared(inner, [...path, inner.element], list, isNew);
}

/** `applied` laid over `live`: units replace, containers merge; the order of lists is that of `applied`, live-only items keep their place. */
export function mergeTyped(shape: Shape, live: unknown, applied: unknown): unknown {
  if (applied === undefined) return live;
  if (live === undefined || live === null || shape.k === 'leaf') return applied;
  if ((shape.k === 'struct' || shape.k === 'map') && isObject(live) && isObject(applied)) {
    const result: JsonObject = { ...live };
    for (const key of Object.keys(applied)) {
      const inner = shape.k === 'map' ? shape.of : (shape.field(key)?.shape ?? { k: 'leaf' as const });
      const merged = mergeTyped(inner, getOwn(live, key), applied[key]);
      // null in the applied configuration clears the field (and owns it).
      if (merged === null) delete result[key];
      else setOwn(result, key, merged);
    }
    return result;
  }
  if ((shape.k === 'set' || shape.k === 'list') && Array.isArray(live) && Array.isArray(applied))
    return mergeLists(shape, live, applied);
  return applied;
}

function mergeLists(
  shape: Extract<Shape, { k: 'set' | 'list' }>,
  live: readonly unknown[],
  applied: readonly unknown[],
): unknown[] {
  const keyText = (item: unknown): string =>
    shape.k === 'set'
      ? valueElement(item)
      : ((isObject(item) ? itemElement(shape, item) : undefined) ?? valueElement(item));
  const byKey = new Map(applied.map((item) => [keyText(item), item]));
  const known = new Set(live.map(keyText));
  const merged = live.map((item) =>
    shape.k === 'list' && byKey.has(keyText(item)) ? mergeTyped(shape.of, item, byKey.get(keyText(item))) : item,
  );
  for (const [key, item] of byKey) if (!known.has(key)) merged.push(item);
  return inAppliedOrder(merged, [...byKey.keys()], keyText);
}

/** Items that only the live list has come as early as their order allows, the others in the applied order. */
function inAppliedOrder(
  merged: readonly unknown[],
  applied: readonly string[],
  keyText: (item: unknown) => string,
): unknown[] {
  const byKey = new Map(merged.map((item) => [keyText(item), item]));
  const wanted = new Set(applied);
  const placed = new Set<string>();
  const result: unknown[] = [];
  let next = 0;
  const place = (key: string): void => {
    placed.add(key);
    result.push(byKey.get(key));
  };
  for (const item of merged) {
    const key = keyText(item);
    if (!wanted.has(key)) {
      result.push(item);
      continue;
    }
    // Before an applied item may stand here, all that were applied before it must have been placed.
    while (!placed.has(key)) place(applied[next++] ?? key);
  }
  return result;
}

/**
 * `value` without the members of `removed`. Containers that this empties go too, unless `kept` (what all managers own now)
 * has them. Key fields of a list item stay as long as the item does.
 */
export function removePaths(shape: Shape, value: unknown, sets: { removed: FieldSet; kept: FieldSet }): unknown {
  const { removed, kept } = sets;
  if (removed.isEmpty) return value;
  if ((shape.k === 'struct' || shape.k === 'map') && isObject(value)) {
    const result: JsonObject = {};
    for (const p of partsOf(shape, value) ?? []) {
      const left = removePart(p, { removed, kept });
      if (left !== undefined) setOwn(result, p.element.slice(2), left);
    }
    return result;
  }
  if ((shape.k === 'set' || shape.k === 'list') && Array.isArray(value))
    return value.flatMap((item) => {
      const [p] = partsOf(shape, [item]) ?? [];
      if (p === undefined) return [item];
      const left = removePart(p, { removed, kept });
      if (left === undefined) return [];
      return shape.k === 'list' && isObject(left) && isObject(item) ? [withKeys(shape, left, item)] : [left];
    });
  return value;
}

function removePart(p: Part, sets: { removed: FieldSet; kept: FieldSet }): unknown {
  const removed = sets.removed.children.get(p.element);
  const kept = sets.kept.children.get(p.element);
  // A field of a struct stays when someone owns a part of it; a map's key or a list's item is owned by itself.
  if (sets.removed.members.has(p.element) && (p.isItem || kept === undefined)) return undefined;
  if (removed === undefined) return p.value;
  const left = removePaths(p.shape, p.value, { removed, kept: kept ?? EMPTY_SETS });
  const isEmptied = isEmptyContainer(left) && !isEmptyContainer(p.value);
  return isEmptied && !sets.kept.members.has(p.element) ? undefined : left;
}

const EMPTY_SETS: FieldSet = setOfPaths([]);

function isEmptyContainer(value: unknown): boolean {
  return Array.isArray(value) ? value.length === 0 : isObject(value) && Object.keys(value).length === 0;
}

function withKeys(shape: Extract<Shape, { k: 'list' }>, left: JsonObject, item: JsonObject): JsonObject {
  const missing = shape.keys.filter((k) => Object.hasOwn(item, k.name) && !Object.hasOwn(left, k.name));
  return missing.length === 0 ? left : { ...Object.fromEntries(missing.map((k) => [k.name, item[k.name]])), ...left };
}
