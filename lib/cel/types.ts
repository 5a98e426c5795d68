/** The static types of CEL (cel-spec "Type Checking") and their text as cel-go prints it. */

export type ScalarKind =
  | 'dyn'
  | 'any'
  | 'error'
  | 'null'
  | 'bool'
  | 'int'
  | 'uint'
  | 'double'
  | 'string'
  | 'bytes'
  | 'timestamp'
  | 'duration';

export interface ScalarType {
  readonly kind: ScalarKind;
}
export interface WrapperType {
  readonly kind: 'wrapper';
  readonly of: ScalarType;
}
export interface ListType {
  readonly kind: 'list';
  readonly element: Type;
  /** x-kubernetes-list-type: `set` and `map` lists have an equality and a `+` of their own. */
  readonly listType?: 'set' | 'map';
  readonly mapKeys?: readonly string[];
  /** Bounds for cost estimation, in elements. */
  readonly maxItems?: number;
}
export interface MapType {
  readonly kind: 'map';
  readonly key: Type;
  readonly value: Type;
}
export interface ObjectField {
  readonly type: Type;
  /** The name in the JSON object, where it differs (escaped names). */
  readonly jsonName?: string;
}
export interface ObjectType {
  readonly kind: 'object';
  readonly name: string;
  /** Read lazily, so that types may be recursive. */
  readonly fields: ReadonlyMap<string, ObjectField>;
}
export interface OpaqueType {
  readonly kind: 'opaque';
  readonly name: string;
  readonly params: readonly Type[];
}
export interface TypeType {
  readonly kind: 'type';
  readonly of?: Type;
}
export interface ParamType {
  readonly kind: 'param';
  readonly name: string;
}
export type Type = ScalarType | WrapperType | ListType | MapType | ObjectType | OpaqueType | TypeType | ParamType;

export const DYN: ScalarType = { kind: 'dyn' };
export const ERROR: ScalarType = { kind: 'error' };
export const NULL: ScalarType = { kind: 'null' };
export const BOOL: ScalarType = { kind: 'bool' };
export const INT: ScalarType = { kind: 'int' };
export const UINT: ScalarType = { kind: 'uint' };
export const DOUBLE: ScalarType = { kind: 'double' };
export const STRING: ScalarType = { kind: 'string' };
export const BYTES: ScalarType = { kind: 'bytes' };
export const TIMESTAMP: ScalarType = { kind: 'timestamp' };
export const DURATION: ScalarType = { kind: 'duration' };

export const listOf = (element: Type): ListType => ({ kind: 'list', element });
export const mapOf = (key: Type, value: Type): MapType => ({ kind: 'map', key, value });
export const opaque = (name: string, ...params: Type[]): OpaqueType => ({ kind: 'opaque', name, params });
export const optionalOf = (of: Type): OpaqueType => opaque('optional_type', of);
/** A nullable scalar. */
export const wrapperOf = (of: ScalarType): WrapperType => ({ kind: 'wrapper', of });
export const typeOf = (of: Type): TypeType => ({ kind: 'type', of });
export const objectType = (
  name: string,
  fields: Readonly<Record<string, Type | ObjectField>> | ReadonlyMap<string, ObjectField>,
): ObjectType => ({
  kind: 'object',
  name,
  fields:
    fields instanceof Map
      ? fields
      : new Map(Object.entries(fields).map(([k, v]) => [k, 'kind' in v ? { type: v } : v] as const)),
});

export function isDyn(t: Type): boolean {
  return t.kind === 'dyn' || t.kind === 'any' || t.kind === 'error';
}

export function isOptional(t: Type): t is OpaqueType {
  return t.kind === 'opaque' && t.name === 'optional_type';
}

/** As cel-go's FormatCELType. */
export function formatType(t: Type): string {
  switch (t.kind) {
    case 'error':
      return '!error!';
    case 'null':
      return 'null';
    case 'wrapper':
      return `wrapper(${formatType(t.of)})`;
    case 'list':
      return `list(${formatType(t.element)})`;
    case 'map':
      return `map(${formatType(t.key)}, ${formatType(t.value)})`;
    case 'object':
      return t.name;
    case 'param':
      return t.name;
    case 'type':
      return t.of === undefined ? 'type' : `type(${formatType(t.of)})`;
    case 'opaque':
      return t.params.length === 0 ? t.name : `${t.name}(${t.params.map(formatType).join(', ')})`;
    default:
      return t.kind;
  }
}

/** The name that `type(x)` gives. */
export function runtimeTypeName(t: Type): string {
  switch (t.kind) {
    case 'null':
      return 'null_type';
    case 'timestamp':
      return 'google.protobuf.Timestamp';
    case 'duration':
      return 'google.protobuf.Duration';
    case 'any':
      return 'google.protobuf.Any';
    case 'wrapper':
      return runtimeTypeName(t.of);
    case 'object':
    case 'opaque':
    case 'param':
      return t.name;
    default:
      return t.kind;
  }
}

export function sameType(a: Type, b: Type): boolean {
  if (a === b) return true;
  if (a.kind !== b.kind) return false;
  if (a.kind === 'list' && b.kind === 'list') return sameType(a.element, b.element);
  if (a.kind === 'map' && b.kind === 'map') return sameType(a.key, b.key) && sameType(a.value, b.value);
  if (a.kind === 'wrapper' && b.kind === 'wrapper') return sameType(a.of, b.of);
  if (a.kind === 'object' && b.kind === 'object') return a.name === b.name;
  if (a.kind === 'param' && b.kind === 'param') return a.name === b.name;
  if (a.kind === 'type' && b.kind === 'type')
    return a.of === undefined || b.of === undefined ? a.of === b.of : sameType(a.of, b.of);
  if (a.kind === 'opaque' && b.kind === 'opaque')
    return (
      a.name === b.name &&
      a.params.length === b.params.length &&
      a.params.every((p, i) => {
        const q = b.params[i];
        return q !== undefined && sameType(p, q);
      })
    );
  return true;
}
