/**
 * A structural schema as a CEL type, with what cost estimates need: how many elements a value may have and how few octets of JSON
 * it takes. What has no schema (unknown fields that are preserved) has no declaration, and rules cannot name it.
 * Source: k8s.io/apiserver/pkg/cel/common/schemas.go SchemaDeclType, pkg/cel/limits.go.
 */
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  escapePropertyName,
  INT,
  type ListType,
  mapOf,
  type ObjectField,
  objectType,
  type SizeEstimator,
  STRING,
  TIMESTAMP,
  type Type,
} from '#lib/cel';
import type { Structural } from '../schema.ts';

export interface Declaration {
  readonly type: Type;
  /** Of a list, a map, a text. */
  readonly elementsMax: number;
  readonly jsonSizeMin: number;
  /** Of a list's items, a map's values. */
  readonly element?: Declaration;
  /** Of an object, by escaped name. */
  readonly fields?: ReadonlyMap<string, Declaration>;
}

/** The largest request that estimates reckon with (celconfig.MaxRequestSizeBytes), whatever this server accepts. */
export const REQUEST_SIZE_MAX = 3 * 1024 * 1024;

const STRING_LENGTH_MAX = REQUEST_SIZE_MAX - 2;
/** Characters are at most so many octets. */
const CHARACTER_SIZE_MAX = 4;
const KEY: Declaration = { type: STRING, elementsMax: 0, jsonSizeMin: 2 };

/** Declarations of schemas, each made once. Types of objects have names, but expressions cannot use them. */
export class Declarations {
  private readonly made = new WeakMap<Structural, Declaration | 'none'>();
  private readonly roots = new WeakMap<Structural, Declaration>();
  private names = 0;

  /** undefined: rules cannot reach the value. */
  of(s: Structural): Declaration | undefined {
    const known = this.made.get(s);
    if (known !== undefined) return known === 'none' ? undefined : known;
    const declaration = this.declare(s);
    this.made.set(s, declaration ?? 'none');
    return declaration;
  }

  /** Of the root of a resource. */
  ofRoot(s: Structural): Declaration {
    const known = this.roots.get(s);
    if (known !== undefined) return known;
    const declaration = this.object(s, fieldsOfResource(s));
    this.roots.set(s, declaration);
    return declaration;
  }

  private declare(s: Structural): Declaration | undefined {
    if (s.isIntOrString) return { type: DYN, elementsMax: textLength(s) ?? STRING_LENGTH_MAX, jsonSizeMin: 1 };
    switch (s.type) {
      case 'array':
        return this.list(s);
      case 'object':
        if (typeof s.additionalProperties === 'object') return this.map(s, s.additionalProperties);
        return this.object(s, s.isEmbeddedResource ? fieldsOfResource(s) : NO_FIELDS);
      case 'string':
        return text(s);
      case 'boolean':
        return { type: BOOL, elementsMax: 0, jsonSizeMin: 4 };
      case 'number':
        return { type: DOUBLE, elementsMax: 0, jsonSizeMin: 1 };
      case 'integer':
        return { type: INT, elementsMax: 0, jsonSizeMin: 1 };
      default:
        return undefined;
    }
  }

  private list(s: Structural): Declaration | undefined {
    const element = s.items && this.of(s.items);
    if (element === undefined) return undefined;
    const listType: Pick<ListType, 'listType'> =
      s.listType === 'set' || s.listType === 'map' ? { listType: s.listType } : {};
    const mapKeys = s.listMapKeys.map((key) => escapePropertyName(key) ?? key);
    const type: ListType = { kind: 'list', element: element.type, ...listType, mapKeys };
    const most = Math.floor((REQUEST_SIZE_MAX - 2) / (element.jsonSizeMin + 1));
    return { type, elementsMax: given(s.limits.maxItems) ?? most, jsonSizeMin: 2, element };
  }

  private map(s: Structural, values: Structural): Declaration | undefined {
    const element = this.of(values);
    if (element === undefined) return undefined;
    const most = Math.floor((REQUEST_SIZE_MAX - 2) / (element.jsonSizeMin + 6));
    const elementsMax = given(s.limits.maxProperties) ?? most;
    return { type: mapOf(STRING, element.type), elementsMax, jsonSizeMin: 2, element };
  }

  /** `given`: fields whatever the schema says of them. */
  private object(s: Structural, given: ReadonlyMap<string, Declaration>): Declaration {
    const declared = new Map(given);
    let jsonSizeMin = 2;
    const names = new Map([...given.keys()].map((name) => [name, name]));
    for (const [name, property] of s.properties) {
      const declaration = given.get(name) ?? this.of(property);
      if (declaration === undefined) continue;
      const escaped = escapePropertyName(name);
      if (escaped !== undefined) {
        declared.set(escaped, declaration);
        names.set(escaped, name);
      }
      // Quotes, colon and comma; a default is filled in by the server and takes nothing of a request.
      if (s.required.includes(name) && property.default === undefined)
        jsonSizeMin += name.length + declaration.jsonSizeMin + 4;
    }
    const fields = new Map<string, ObjectField>();
    for (const [escaped, { type }] of declared) fields.set(escaped, { type, jsonName: names.get(escaped) ?? escaped });
    return { type: objectType(`selfType${++this.names}`, fields), elementsMax: 0, jsonSizeMin, fields: declared };
  }
}

const TEXT: Declaration = { type: STRING, elementsMax: STRING_LENGTH_MAX, jsonSizeMin: 2 };
const NAMES = new Map([
  ['name', TEXT],
  ['generateName', TEXT],
]);
const NAMES_TYPE = objectType('objectMeta', { name: STRING, generateName: STRING });
const METADATA: Declaration = { type: NAMES_TYPE, elementsMax: 0, jsonSizeMin: 2, fields: NAMES };
const NO_FIELDS: ReadonlyMap<string, Declaration> = new Map();
const RESOURCE_FIELDS = new Map([
  ['kind', TEXT],
  ['apiVersion', TEXT],
  ['metadata', METADATA],
]);

/** Rules of a resource see its kind, apiVersion, name and generateName, and no other metadata unless the schema has all of these. */
function fieldsOfResource(s: Structural): ReadonlyMap<string, Declaration> {
  const metadata = s.properties.get('metadata');
  const isText = (of: Structural | undefined, name: string): boolean => of?.properties.get(name)?.type === 'string';
  const hasAll =
    isText(s, 'kind') && isText(s, 'apiVersion') && isText(metadata, 'name') && isText(metadata, 'generateName');
  return hasAll && metadata?.type === 'object' ? NO_FIELDS : RESOURCE_FIELDS;
}

function text(s: Structural): Declaration {
  switch (s.format) {
    case 'byte':
      return { type: BYTES, elementsMax: given(s.limits.maxLength) ?? STRING_LENGTH_MAX, jsonSizeMin: 2 };
    case 'duration':
      return { type: DURATION, elementsMax: 32, jsonSizeMin: 3 };
    case 'date':
      return { type: TIMESTAMP, elementsMax: 12, jsonSizeMin: 12 };
    case 'date-time':
      return { type: TIMESTAMP, elementsMax: 32, jsonSizeMin: 21 };
    default:
      return { type: STRING, elementsMax: textLength(s) ?? enumLength(s) ?? STRING_LENGTH_MAX, jsonSizeMin: 2 };
  }
}

function given(limit: number | undefined): number | undefined {
  return limit === undefined ? undefined : Math.max(limit, 0);
}

function textLength(s: Structural): number | undefined {
  const length = given(s.limits.maxLength);
  return length === undefined ? undefined : length * CHARACTER_SIZE_MAX;
}

function enumLength(s: Structural): number | undefined {
  if (s.enum.length === 0) return undefined;
  return s.enum.reduce<number>((most, v) => (typeof v === 'string' ? Math.max(most, Buffer.byteLength(v)) : most), 0);
}

/** Sizes of what expressions name, by path from `self` or `oldSelf`. */
export function sizesOf(root: Declaration): SizeEstimator {
  return (path) => {
    let at: Declaration | undefined = root;
    for (const name of path.slice(1)) {
      if (name === '@items' || name === '@values') at = at.element;
      else if (name === '@keys') at = at.type.kind === 'map' ? KEY : undefined;
      else at = at.fields?.get(name);
      if (at === undefined) return undefined;
    }
    return { min: 0, max: at.elementsMax };
  };
}
