/**
 * Type-checked decoding of JSON values by the field table, with the result that Go's decoder followed by Go's encoder would
 * give: unknown fields dropped and listed, null read as absent, zero values dropped where the Go field is omitempty and
 * written where it is not (`status: {}`, `lastTransitionTime: null`), quantities and times canonical, fields in declaration
 * order and map keys sorted. Hence equal objects have equal JSON texts.
 *
 * Each type is compiled on first use into a plan of closures; a pod takes a few microseconds.
 * Source: sigs.k8s.io/json and encoding/json (texts of errors), apiserver handlers/create.go (transformDecodeError).
 */
import { StatusError } from '#lib/base';
import { decodeWellKnown, wellKnownZero } from './decode-well-known.ts';
import { apiVersionOf, type KindRef, type KubeObject } from './object.ts';
import { kindInfo, schemaOf } from './registry.ts';
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from './type-table.ts';
import { FormatError } from './well-known.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

export interface Decoded<T> {
  object: T;
  /** As Kubernetes words them: `unknown field "spec.foo"`, in order of the type's fields. */
  unknown: string[];
}

/** A JSON value that does not fit its Go type; the message is Go's. */
export class DecodeError extends Error {}

/** Where the decoder is. Map keys are in `path` with a leading NUL: Go's type errors leave them out, field errors do not. */
interface State {
  readonly path: (string | number)[];
  readonly unknown: string[];
  /** Innermost Go struct, for error texts. */
  struct: string;
}

/** `value` is neither null nor undefined. */
type Decoder = (value: unknown, s: State) => unknown;

interface FieldPlan {
  readonly name: string;
  readonly decode: Decoder;
  readonly drops: 'nothing' | 'zero' | 'emptyList' | 'emptyMap';
  /** What Go's encoder writes for an absent field; undefined: nothing. */
  readonly zero: (() => unknown) | undefined;
}

interface StructPlan {
  readonly goName: string;
  fields: readonly FieldPlan[];
  known: ReadonlySet<string>;
}

/** Compiled types. A memo of constants. */
const PLANS = new Map<TypeName, StructPlan>();
/** Kubernetes stops listing strict errors here. */
const UNKNOWN_MAX = 100;

/**
 * Decodes a body for `kind`; the object is a copy that shares nothing with `value`. Absent apiVersion and kind are filled in.
 * BadRequest: a JSON value of the wrong type, or another apiVersion or kind.
 */
export function decodeObject(kind: KindRef, value: unknown): Decoded<KubeObject> {
  const expected = apiVersionOf(kind);
  const given = isObject(value) ? value : {};
  const apiVersion = textOr(given['apiVersion'], expected);
  const name = textOr(given['kind'], kind.kind);
  if (apiVersion !== expected)
    throw new StatusError(
      'BadRequest',
      `the API version in the data (${apiVersion}) does not match the expected API version (${expected})`,
    );
  if (name !== kind.kind)
    throw new StatusError(
      'BadRequest',
      `${name} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: the kind in the data does not match the expected kind`,
    );
  const info = kindInfo(kind);
  const decoded = info.custom?.decode(value) ?? decodeFor(kind.kind, kind.version, info.schema, value);
  const { apiVersion: _v, kind: _k, ...rest } = decoded.object as Record<string, unknown>;
  return {
    object: { kind: kind.kind, apiVersion: expected, ...rest } as unknown as KubeObject,
    unknown: decoded.unknown,
  };
}

/** The object in canonical form (fields in declaration order, zero values as Go writes them): equal objects have equal texts. */
export function canonicalObject(kind: KindRef, object: KubeObject): KubeObject {
  return decodeObject(kind, object).object;
}

/** Decodes any struct type: DeleteOptions, Binding, Scale, Eviction, ...; BadRequest as above. */
export function decodeType(name: TypeName, value: unknown): Decoded<object> {
  const kind = name.slice(name.lastIndexOf('.') + 1);
  return decodeFor(kind, name.slice(name.indexOf('/') + 1, name.lastIndexOf('.')), name, value);
}

/** Decodes a body of whatever kind it says it is (resources, lists, options); BadRequest when the kind is not known. */
export function decodeAny(value: unknown): Decoded<KubeObject> {
  const given = isObject(value) ? value : {};
  const apiVersion = textOr(given['apiVersion'], '');
  const kind = textOr(given['kind'], '');
  const schema = schemaOf(apiVersion, kind);
  if (schema === undefined)
    throw new StatusError(
      'BadRequest',
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`,
    );
  return decodeFor(kind, apiVersion, schema, value) as Decoded<KubeObject>;
}

function decodeFor(kind: string, version: string, schema: TypeName, value: unknown): Decoded<object> {
  const s: State = { path: [], unknown: [], struct: '' };
  try {
    if (!isObject(value)) throw typeError(value, `v1.${kind}`, s);
    return { object: decodeStruct(planOf(schema), value, s), unknown: s.unknown };
  } catch (e) {
    if (!(e instanceof DecodeError || e instanceof FormatError)) throw e;
    throw new StatusError(
      'BadRequest',
      `${kind} in version ${JSON.stringify(version)} cannot be handled as a ${kind}: ${e.message}`,
      { cause: e },
    );
  }
}

function planOf(name: TypeName): StructPlan {
  const known = PLANS.get(name);
  if (known !== undefined) return known;
  const plan: StructPlan = { goName: name.slice(name.lastIndexOf('.') + 1), fields: [], known: new Set() };
  PLANS.set(name, plan);
  const info = typeOf(name);
  plan.fields = info.fields.map(fieldPlan);
  plan.known = new Set(info.byName.keys());
  return plan;
}

function fieldPlan(f: FieldInfo): FieldPlan {
  // The well-known types are Go structs: omitempty alone never drops them.
  const isStruct = f.type.k === 'struct' || f.type.k === 'wellKnown';
  let drops: FieldPlan['drops'] = 'nothing';
  if (f.omitempty && !f.pointer && !isStruct) {
    if (f.type.k === 'list') drops = 'emptyList';
    else if (f.type.k === 'map') drops = 'emptyMap';
    else drops = 'zero';
  }
  return { name: f.name, decode: decoderOf(f.type), drops, zero: zeroOfField(f, isStruct) };
}

function zeroOfField(f: FieldInfo, isStruct: boolean): (() => unknown) | undefined {
  if (f.omitempty && (f.pointer || !isStruct)) return undefined;
  if (f.omitzero) return undefined;
  if (f.pointer) return () => null;
  return zeroOf(f.type);
}

/** The JSON of the Go zero value. */
function zeroOf(t: TypeRef): () => unknown {
  switch (t.k) {
    case 'string':
      return () => '';
    case 'bool':
      return () => false;
    case 'struct': {
      const { name } = t;
      return () => decodeStruct(planOf(name), {}, { path: [], unknown: [], struct: '' });
    }
    case 'wellKnown': {
      const zero = wellKnownZero(t.name);
      return () => zero;
    }
    case 'list':
    case 'map':
    case 'bytes':
    case 'any':
      return () => null;
    default:
      return () => 0;
  }
}

function decodeStruct(plan: StructPlan, value: Record<string, unknown>, s: State): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  const outer = s.struct;
  s.struct = plan.goName;
  let seen = 0;
  for (const f of plan.fields) {
    const v = value[f.name];
    if (v !== undefined) seen++;
    if (v === undefined || v === null) {
      if (f.zero !== undefined) out[f.name] = f.zero();
      continue;
    }
    s.path.push(f.name);
    const decoded = f.decode(v, s);
    s.path.pop();
    if (!isDropped(f.drops, decoded)) out[f.name] = decoded;
  }
  let given = 0;
  for (const _ in value) given++;
  if (given !== seen) noteUnknown(plan, value, s);
  s.struct = outer;
  return out;
}

function isDropped(drops: FieldPlan['drops'], v: unknown): boolean {
  switch (drops) {
    case 'nothing':
      return false;
    case 'zero':
      return v === '' || v === 0 || v === false || v === null;
    case 'emptyList':
      return (v as unknown[]).length === 0;
    case 'emptyMap':
      for (const _ in v as object) return false;
      return true;
  }
}

function noteUnknown(plan: StructPlan, value: Record<string, unknown>, s: State): void {
  for (const key of Object.keys(value)) {
    if (plan.known.has(key) || value[key] === undefined || s.unknown.length >= UNKNOWN_MAX) continue;
    s.path.push(key);
    s.unknown.push(`unknown field "${fieldPath(s.path)}"`);
    s.path.pop();
  }
}

/** `spec.containers[0].env`: with list indexes and map keys. */
function fieldPath(path: readonly (string | number)[]): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += (text === '' ? '' : '.') + part.replace('\0', '');
  }
  return text;
}

function decoderOf(t: TypeRef): Decoder {
  switch (t.k) {
    case 'string':
      return (v, s) => (typeof v === 'string' ? v : fail(v, t.goName, s));
    case 'bool':
      return (v, s) => (typeof v === 'boolean' ? v : fail(v, t.goName, s));
    case 'int32':
      return integerDecoder(t.goName, -(2 ** 31), 2 ** 31 - 1);
    case 'uint32':
      return integerDecoder(t.goName, 0, 2 ** 32 - 1);
    case 'int64':
      return integerDecoder(t.goName, -(2 ** 63), 2 ** 63);
    case 'uint64':
      return integerDecoder(t.goName, 0, 2 ** 64);
    case 'float64':
      return (v, s) => (typeof v === 'number' ? v : fail(v, t.goName, s));
    case 'bytes':
      return (v, s) => (typeof v === 'string' ? canonicalBase64(v) : fail(v, t.goName, s));
    case 'any':
      return copyJson;
    case 'list':
      return listDecoder(t.goName, decoderOf(t.of), zeroOf(t.of));
    case 'map':
      return mapDecoder(t.goName, decoderOf(t.of), zeroOf(t.of));
    case 'struct':
      return structDecoder(t.name, t.goName);
    case 'wellKnown':
      return decodeWellKnown(t.name, {
        fail: (v, goName, s) => fail(v, goName, s as State),
        nested: (name) => structDecoder(name, name) as (v: unknown, s: unknown) => unknown,
      }) as Decoder;
  }
}

function structDecoder(name: TypeName, goName: string): Decoder {
  let plan: StructPlan | undefined;
  return (v, s) => {
    if (!isObject(v)) return fail(v, goName, s);
    plan ??= planOf(name);
    return decodeStruct(plan, v, s);
  };
}

function integerDecoder(goName: string, min: number, max: number): Decoder {
  return (v, s) => {
    if (typeof v !== 'number') return fail(v, goName, s);
    if (!Number.isInteger(v) || v < min || v > max) throw typeErrorOf(`number ${v}`, goName, s);
    return v;
  };
}

function listDecoder(goName: string, item: Decoder, zero: () => unknown): Decoder {
  return (v, s) => {
    if (!Array.isArray(v)) return fail(v, goName, s);
    const out: unknown[] = [];
    for (let i = 0; i < v.length; i++) {
      s.path.push(i);
      out.push(v[i] === null || v[i] === undefined ? zero() : item(v[i], s));
      s.path.pop();
    }
    return out;
  };
}

function mapDecoder(goName: string, item: Decoder, zero: () => unknown): Decoder {
  return (v, s) => {
    if (!isObject(v)) return fail(v, goName, s);
    const out: Record<string, unknown> = {};
    for (const key of sortedKeys(v)) {
      s.path.push(`\0${key}`);
      const given = v[key];
      setOwn(out, key, given === null || given === undefined ? zero() : item(given, s));
      s.path.pop();
    }
    return out;
  };
}

/** An own property even for the key `__proto__`. */
export function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  if (key === '__proto__')
    Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

function sortedKeys(v: object): string[] {
  const keys = Object.keys(v);
  for (let i = 1; i < keys.length; i++) if ((keys[i - 1] ?? '') > (keys[i] ?? '')) return keys.sort();
  return keys;
}

/** Standard base64 with padding; line breaks are skipped, as Go does. */
function canonicalBase64(text: string): string {
  const bare = /[\r\n]/.test(text) ? text.replace(/[\r\n]/g, '') : text;
  const bad = /[^A-Za-z0-9+/=]|=(?=[^=])|^={1,}|={3,}/.exec(bare);
  if (bad !== null) throw new DecodeError(`illegal base64 data at input byte ${bad.index}`);
  if (bare.length % 4 !== 0)
    throw new DecodeError(`illegal base64 data at input byte ${bare.length - (bare.length % 4)}`);
  return bare;
}

export function copyJson(v: unknown): unknown {
  if (Array.isArray(v)) return v.map(copyJson);
  if (!isObject(v)) return v;
  const out: Record<string, unknown> = {};
  for (const key of Object.keys(v)) if (v[key] !== undefined) setOwn(out, key, copyJson(v[key]));
  return out;
}

function fail(v: unknown, goName: string, s: State): never {
  throw typeError(v, goName, s);
}

function typeError(v: unknown, goName: string, s: State): DecodeError {
  return typeErrorOf(jsonTypeOf(v), goName, s);
}

function typeErrorOf(what: string, goName: string, s: State): DecodeError {
  const fields = s.path.filter((p): p is string => typeof p === 'string' && !p.startsWith('\0'));
  const target = s.struct === '' ? 'Go value' : `Go struct field ${s.struct}.${fields.join('.')}`;
  return new DecodeError(`json: cannot unmarshal ${what} into ${target} of type ${goName}`);
}

function jsonTypeOf(v: unknown): string {
  if (Array.isArray(v)) return 'array';
  return typeof v === 'boolean' ? 'bool' : typeof v;
}

function isObject(v: unknown): v is Record<string, unknown> {
  return typeof v === 'object' && v !== null && !Array.isArray(v);
}

function textOr(v: unknown, absent: string): string {
  return typeof v === 'string' && v !== '' ? v : absent;
}
