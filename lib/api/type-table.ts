/**
 * The field table: what the Go types of the Kubernetes API say (JSON names, protobuf numbers, omitempty, pointers, patch and
 * list markers), for decoding, protobuf, patches, server-side apply, OpenAPI and explain. gen/table.ts holds it as JSON;
 * a type is expanded on first use and kept, so that start-up pays about 2 ms for JSON.parse and nothing else.
 *
 * Invariants: aliases are resolved in TypeRef; `fields` has inline structs flattened in declaration order (as JSON has
 * them), `own` and `inlined` keep the Go structure (as protobuf has it). Everything returned is shared: do not change it.
 */
import { assert } from '#lib/base';
import { TYPES_JSON } from './gen/table.ts';

/** `core/v1.Pod`: package and Go name. */
export type TypeName = string;

/** A Go type with aliases resolved. `goName` as Go's reflection prints it: `v1.PullPolicy`, `[]v1.Container`. */
export type TypeRef =
  | { readonly k: 'string'; readonly goName: string; readonly enum: readonly string[] | undefined }
  | { readonly k: 'bool' | 'int32' | 'int64' | 'uint32' | 'uint64' | 'float64'; readonly goName: string }
  | { readonly k: 'bytes' | 'any'; readonly goName: string }
  /** `wrapped`: a protobuf message of its own with the items at number 1 (meta/v1 Verbs, ExtraValue). */
  | { readonly k: 'list'; readonly goName: string; readonly of: TypeRef; readonly wrapped: boolean }
  /** Keys are strings. */
  | { readonly k: 'map'; readonly goName: string; readonly of: TypeRef }
  | { readonly k: 'struct'; readonly goName: string; readonly name: TypeName }
  /** Time, MicroTime, Duration, FieldsV1, RawExtension, Unknown, Quantity, IntOrString, JSON, JSONSchemaPropsOr*. */
  | { readonly k: 'wellKnown'; readonly goName: string; readonly name: TypeName };

export interface FieldInfo {
  readonly name: string;
  readonly type: TypeRef;
  /** The Go field is a pointer: absent differs from zero. */
  readonly pointer: boolean;
  readonly omitempty: boolean;
  readonly omitzero: boolean;
  /** +optional */
  readonly optional: boolean;
  /** +required */
  readonly required: boolean;
  readonly proto: number | undefined;
  /** `merge`, `retainKeys`, `replace`; empty: replace. */
  readonly patchStrategy: readonly string[];
  readonly mergeKey: string | undefined;
  readonly listType: 'atomic' | 'set' | 'map' | undefined;
  readonly listMapKeys: readonly string[];
  readonly mapType: 'atomic' | 'granular' | undefined;
  readonly structType: 'atomic' | 'granular' | undefined;
  /** The value of a +default marker, undefined without one. */
  readonly default: unknown;
}

export interface TypeInfo {
  readonly name: TypeName;
  readonly fields: readonly FieldInfo[];
  readonly byName: ReadonlyMap<string, FieldInfo>;
  /** The struct's own fields, without those of embedded structs. */
  readonly own: readonly FieldInfo[];
  /** Embedded structs; without a number they are not on the protobuf wire. */
  readonly inlined: readonly { readonly type: TypeName; readonly proto: number | undefined }[];
  readonly structType: 'atomic' | 'granular' | undefined;
}

type FieldRow = [name: string, type: string, flags: string, proto: number, extras?: Record<string, string>];
interface TypeRow {
  f?: FieldRow[];
  u?: string;
  v?: string[];
  e?: 1;
  p?: 1;
  w?: 1;
  s?: 'atomic' | 'granular';
}
type Table = Record<string, Record<string, TypeRow>>;

/** Struct types that have been asked for. A memo of constants: it never changes an answer. */
const EXPANDED = new Map<TypeName, TypeInfo>();
const LOADED: { table?: Table } = {};
/** References of +default markers that name a Go constant. */
const DEFAULT_REFS: Readonly<Record<string, string>> = {
  'ref(AzureDataDiskCachingReadWrite)': 'ReadWrite',
  'ref(AzureSharedBlobDisk)': 'Shared',
};

/** The struct type of that name; an unknown name or one that is no struct is a programmer error. */
export function typeOf(name: TypeName): TypeInfo {
  const known = EXPANDED.get(name);
  if (known !== undefined) return known;
  const info = expand(name);
  EXPANDED.set(name, info);
  return info;
}

export function isStructType(name: TypeName): boolean {
  return rowOf(name)?.f !== undefined;
}

/** The named constants of a string type (`core/v1.RestartPolicy`); empty when it has none. */
export function valuesOf(name: TypeName): readonly string[] {
  return rowOf(name)?.v ?? [];
}

/** Names of all struct types of a package (`core/v1`), in declaration order; empty when there is no such package. */
export function typesOfPackage(pkg: string): readonly TypeName[] {
  return Object.entries(loadTable()[pkg] ?? {})
    .filter(([, row]) => row.f !== undefined)
    .map(([name]) => `${pkg}.${name}`);
}

export function allPackages(): readonly string[] {
  return Object.keys(loadTable());
}

function loadTable(): Table {
  LOADED.table ??= JSON.parse(TYPES_JSON) as Table;
  return LOADED.table;
}

function rowOf(name: TypeName): TypeRow | undefined {
  const dot = name.lastIndexOf('.');
  return loadTable()[name.slice(0, dot)]?.[name.slice(dot + 1)];
}

function expand(name: TypeName): TypeInfo {
  const row = rowOf(name);
  assert(row?.f !== undefined, `no struct type ${name} in the field table`);
  const pkg = name.slice(0, name.lastIndexOf('.'));
  const fields: FieldInfo[] = [];
  const own: FieldInfo[] = [];
  const inlined: { type: TypeName; proto: number | undefined }[] = [];
  for (const r of row.f) {
    if (r[2].includes('i')) {
      const inner = qualify(r[1].replace('*', ''), pkg);
      inlined.push({ type: inner, proto: r[3] === 0 ? undefined : r[3] });
      fields.push(...typeOf(inner).fields);
    } else {
      const f = fieldInfo(r, pkg);
      own.push(f);
      fields.push(f);
    }
  }
  return { name, fields, byName: new Map(fields.map((f) => [f.name, f])), own, inlined, structType: row.s };
}

function fieldInfo(row: FieldRow, pkg: string): FieldInfo {
  const [name, go, flags, proto, extras = {}] = row;
  const pointer = go.startsWith('*');
  return {
    name,
    type: typeRef(pointer ? go.slice(1) : go, pkg),
    pointer,
    omitempty: flags.includes('e'),
    omitzero: flags.includes('z'),
    optional: flags.includes('o'),
    required: flags.includes('r'),
    proto: proto === 0 ? undefined : proto,
    patchStrategy: extras['p']?.split(',') ?? [],
    mergeKey: extras['k'],
    listType: extras['l'] as FieldInfo['listType'],
    listMapKeys: extras['lk']?.split(',') ?? [],
    mapType: extras['mt'] as FieldInfo['mapType'],
    structType: extras['st'] as FieldInfo['structType'],
    default: extras['d'] === undefined ? undefined : defaultValue(extras['d']),
  };
}

function defaultValue(text: string): unknown {
  return DEFAULT_REFS[text] ?? JSON.parse(text);
}

function qualify(go: string, pkg: string): TypeName {
  return go.includes('.') ? go : `${pkg}.${go}`;
}

/** `core/v1.Pod` as Go prints it: `v1.Pod`. */
function goNameOf(name: TypeName): string {
  return name.slice(name.indexOf('/') + 1);
}

function typeRef(go: string, pkg: string): TypeRef {
  if (go === '[]byte') return { k: 'bytes', goName: '[]uint8' };
  if (go.startsWith('[]')) {
    const of = typeRef(go.slice(2), pkg);
    return { k: 'list', goName: `[]${of.goName}`, of, wrapped: false };
  }
  if (go.startsWith('map[string]')) {
    const of = typeRef(go.slice(11), pkg);
    return { k: 'map', goName: `map[string]${of.goName}`, of };
  }
  if (go.startsWith('*')) return typeRef(go.slice(1), pkg);
  switch (go) {
    case 'string':
      return { k: 'string', goName: go, enum: undefined };
    case 'bool':
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'uint64':
    case 'float64':
      return { k: go, goName: go };
    case 'int':
      return { k: 'int64', goName: 'int' };
    case 'any':
      return { k: 'any', goName: 'interface {}' };
    default:
      return namedRef(qualify(go, pkg));
  }
}

function namedRef(name: TypeName): TypeRef {
  const row = rowOf(name);
  assert(row !== undefined, `no type ${name} in the field table`);
  const goName = goNameOf(name);
  if (row.w === 1) return { k: 'wellKnown', goName, name };
  if (row.u === undefined) return { k: 'struct', goName, name };
  const under = typeRef(row.u, name.slice(0, name.lastIndexOf('.')));
  if (under.k === 'string') return { ...under, goName, enum: row.e === 1 ? row.v : under.enum };
  if (under.k === 'list') return { ...under, goName, wrapped: row.p === 1 };
  return { ...under, goName };
}
