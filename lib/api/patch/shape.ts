/**
 * The topology of a value for server-side apply: what is one unit of ownership and what is merged part by part.
 *
 * Rules: scalars, lists without listType and whatever is marked atomic are one unit (`leaf`); structs and maps are granular
 * by field and key; `listType=set` is granular by value, `listType=map` by the item's key fields (absent ones take their
 * default, as protocol "TCP" of a port).
 * Source: kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy.
 */
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from '../type-table.ts';
import { canonicalText, getOwn, type JsonObject } from './value.ts';

export type Shape =
  | { readonly k: 'leaf' }
  | { readonly k: 'struct'; readonly field: (name: string) => FieldShape | undefined }
  | { readonly k: 'map'; readonly of: Shape }
  | { readonly k: 'set' }
  | {
      readonly k: 'list';
      readonly keys: readonly { readonly name: string; readonly default: unknown }[];
      readonly of: Shape;
    };

export interface FieldShape {
  readonly shape: Shape;
  /** A struct that is always there in Go (not a pointer): absent in JSON means empty, not missing. */
  readonly isAlwaysPresent: boolean;
}

const LEAF: Shape = { k: 'leaf' };

export function shapeOfType(name: TypeName): Shape {
  const info = typeOf(name);
  if (info.structType === 'atomic') return LEAF;
  return {
    k: 'struct',
    field: (fieldName) => {
      const field = info.byName.get(fieldName);
      return field && { shape: shapeOfField(field), isAlwaysPresent: field.type.k === 'struct' && !field.pointer };
    },
  };
}

function shapeOfField(field: FieldInfo): Shape {
  const { type } = field;
  if (field.structType === 'atomic' || field.mapType === 'atomic') return LEAF;
  if (type.k !== 'list') return shapeOfRef(type);
  if (field.listType === 'set') return { k: 'set' };
  if (field.listType !== 'map' || type.of.k !== 'struct') return LEAF;
  const element = typeOf(type.of.name);
  const keys = field.listMapKeys.map((name) => ({ name, default: element.byName.get(name)?.default }));
  return { k: 'list', keys: keys.toSorted((a, b) => (a.name < b.name ? -1 : 1)), of: shapeOfType(type.of.name) };
}

function shapeOfRef(type: TypeRef): Shape {
  if (type.k === 'struct') return shapeOfType(type.name);
  if (type.k === 'map') return { k: 'map', of: shapeOfRef(type.of) };
  return LEAF;
}

/** The path element of an item of a `list`; undefined if a key is missing that has no default. */
export function itemElement(shape: Extract<Shape, { k: 'list' }>, item: JsonObject): string | undefined {
  const keys: [string, unknown][] = [];
  for (const key of shape.keys) {
    const value = getOwn(item, key.name) ?? key.default;
    if (value === undefined || value === null) return undefined;
    keys.push([key.name, value]);
  }
  return `k:${canonicalText(Object.fromEntries(keys))}`;
}

export function valueElement(value: unknown): string {
  return `v:${canonicalText(value)}`;
}
