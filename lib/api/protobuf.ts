/**
 * Kubernetes protobuf bodies, by the field table: stock kubectl and client-go send typed bodies this way.
 * A body is `k8s\0` and a runtime.Unknown {1 TypeMeta {1 apiVersion, 2 kind}, 2 raw, 4 contentType}; raw is the message of the kind.
 *
 * Decoding gives plain JSON first and sends that through the JSON decoder, which applies the same rules as for JSON bodies:
 * gogo writes every non-pointer scalar, so zeros of those are dropped, while zeros of pointers are kept. Encoding follows gogo
 * byte for byte: fields in ascending number, non-pointer scalars and structs always, map keys sorted.
 * Source: reference/kubernetes-api.md sections 5 and 27, runtime/generated.proto.
 */
import { StatusError } from '#lib/base';
import { isJsonWithinDepth, JSON_DEPTH_MAX } from './json-depth.ts';
import type { KubeObject } from './object.ts';
import { decodeWellKnownMessage, encodeWellKnownMessage } from './protobuf-well-known.ts';
import { BackWriter, BYTES, FIXED64, Reader, VARINT, WireError } from './protobuf-wire.ts';
import { schemaOf } from './registry.ts';
import { decodeAny, setOwn } from './schema.ts';
import { type TypeName, type TypeRef, typeOf } from './type-table.ts';

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

type Json = Record<string, unknown>;

/** One number of a message: a field, or an embedded struct whose fields are flattened in JSON. */
interface WireField {
  readonly number: number;
  /** undefined: embedded. */
  readonly name: string | undefined;
  readonly type: TypeRef;
  readonly pointer: boolean;
}
interface Message {
  /** Ascending. */
  readonly fields: readonly WireField[];
  readonly byNumber: ReadonlyMap<number, WireField>;
}

/** Compiled messages. A memo of constants. */
const MESSAGES = new Map<TypeName, Message>();

export function isProtobuf(bytes: Uint8Array): boolean {
  return MAGIC.every((b, i) => bytes[i] === b);
}

/** BadRequest: not an envelope, broken bytes, a kind that is not known, or values that do not fit their type. */
export function decodeProtobuf(bytes: Uint8Array): { apiVersion: string; kind: string; object: KubeObject } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (!isProtobuf(buffer))
    throw new StatusError(
      'BadRequest',
      'provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]',
    );
  try {
    const json = decodeEnvelope(buffer);
    const { object } = decodeAny(json);
    return { apiVersion: object.apiVersion, kind: object.kind, object };
  } catch (e) {
    if (e instanceof WireError || e instanceof SyntaxError)
      throw new StatusError('BadRequest', e.message, { cause: e });
    throw e;
  }
}

/** `object` in canonical form, as decodeObject and applyDefaults leave it; its kind must have a type in the table. */
export function encodeProtobuf(object: KubeObject): Buffer {
  const schema = schemaOf(object.apiVersion, object.kind);
  if (schema === undefined)
    throw new StatusError('NotAcceptable', `${object.apiVersion} ${object.kind} has no protobuf form`);
  const w = new BackWriter();
  w.text('');
  w.tag(4, BYTES);
  w.text('');
  w.tag(3, BYTES);
  const beforeRaw = w.length;
  encodeMessage(messageOf(schema), object as unknown as Json, w);
  w.varint(w.length - beforeRaw);
  w.tag(2, BYTES);
  const beforeMeta = w.length;
  w.text(object.kind);
  w.tag(2, BYTES);
  w.text(object.apiVersion);
  w.tag(1, BYTES);
  w.varint(w.length - beforeMeta);
  w.tag(1, BYTES);
  return Buffer.concat([MAGIC, w.finish()]);
}

function decodeEnvelope(buffer: Buffer): Json {
  const r = new Reader(buffer, MAGIC.length, buffer.length);
  let apiVersion = '';
  let kind = '';
  let raw: Buffer = Buffer.alloc(0);
  let contentType = '';
  while (!r.done) {
    const tag = r.varint();
    const number = Math.floor(tag / 8);
    if (number === 1) ({ apiVersion, kind } = decodeTypeMeta(r.nested()));
    else if (number === 2) raw = r.slice();
    else if (number === 4) contentType = r.text();
    else r.skip(tag & 7);
  }
  if (contentType === 'application/json' && !isJsonWithinDepth(raw))
    throw new WireError(`exceeded max depth: objects and arrays may nest ${JSON_DEPTH_MAX} deep`);
  if (contentType === 'application/json') return { ...(JSON.parse(raw.toString('utf8')) as Json), apiVersion, kind };
  const schema = schemaOf(apiVersion, kind);
  if (schema === undefined)
    throw new StatusError(
      'BadRequest',
      `no kind ${JSON.stringify(kind)} is registered for version ${JSON.stringify(apiVersion)}`,
    );
  const object = decodeMessage(messageOf(schema), new Reader(raw, 0, raw.length), {});
  return { ...object, apiVersion, kind };
}

function decodeTypeMeta(r: Reader): { apiVersion: string; kind: string } {
  const meta = { apiVersion: '', kind: '' };
  while (!r.done) {
    const tag = r.varint();
    if (tag >> 3 === 1) meta.apiVersion = r.text();
    else if (tag >> 3 === 2) meta.kind = r.text();
    else r.skip(tag & 7);
  }
  return meta;
}

function messageOf(name: TypeName): Message {
  const known = MESSAGES.get(name);
  if (known !== undefined) return known;
  const info = typeOf(name);
  const fields: WireField[] = [];
  for (const f of info.own)
    if (f.proto !== undefined) fields.push({ number: f.proto, name: f.name, type: f.type, pointer: f.pointer });
  for (const i of info.inlined)
    if (i.proto !== undefined)
      fields.push({
        number: i.proto,
        name: undefined,
        type: { k: 'struct', goName: i.type, name: i.type },
        pointer: false,
      });
  fields.sort((a, b) => a.number - b.number);
  const message: Message = { fields, byNumber: new Map(fields.map((f) => [f.number, f])) };
  MESSAGES.set(name, message);
  return message;
}

/** Adds the fields found to `out`, so that an embedded message and one split in two merge. */
function decodeMessage(m: Message, r: Reader, out: Json): Json {
  while (!r.done) {
    const tag = r.varint();
    const f = m.byNumber.get(Math.floor(tag / 8));
    if (f === undefined) r.skip(tag & 7);
    else if (f.name === undefined) decodeMessage(messageOf((f.type as { name: TypeName }).name), r.nested(), out);
    else decodeField(f.name, f.type, tag & 7, r, out);
  }
  return out;
}

function decodeField(name: string, t: TypeRef, wire: number, r: Reader, out: Json): void {
  if (t.k === 'list' && !t.wrapped) {
    out[name] ??= [];
    const list = out[name] as unknown[];
    if (wire === BYTES && isScalar(t.of)) {
      const packed = r.nested();
      while (!packed.done) list.push(decodeValue(t.of, wireOf(t.of), packed));
    } else list.push(decodeValue(t.of, wire, r));
  } else if (t.k === 'map') {
    out[name] ??= {};
    decodeEntry(t.of, r.nested(), out[name] as Json);
  } else if (t.k === 'struct' && typeof out[name] === 'object' && out[name] !== null) {
    checkWire(wire, BYTES, name);
    decodeMessage(messageOf(t.name), r.nested(), out[name] as Json);
  } else out[name] = decodeValue(t, wire, r);
}

/** A missing key is ''; a missing value is the zero value, which null stands for. */
function decodeEntry(of: TypeRef, r: Reader, map: Json): void {
  let key = '';
  let value: unknown = null;
  while (!r.done) {
    const tag = r.varint();
    const number = Math.floor(tag / 8);
    if (number === 1) key = r.text();
    else if (number === 2) value = decodeValue(of, tag & 7, r);
    else r.skip(tag & 7);
  }
  setOwn(map, key, value);
}

function decodeValue(t: TypeRef, wire: number, r: Reader): unknown {
  checkWire(wire, wireOf(t), t.goName);
  switch (t.k) {
    case 'string':
      return r.text();
    case 'bool':
      return r.varint() !== 0;
    case 'int32':
      return r.varint() | 0;
    case 'int64':
    case 'uint32':
    case 'uint64':
      return r.varint();
    case 'float64':
      return r.double();
    case 'bytes':
      return r.slice().toString('base64');
    case 'struct':
      return decodeMessage(messageOf(t.name), r.nested(), {});
    case 'wellKnown':
      return decodeWellKnownMessage(t.name, r.nested(), {
        struct: (name, inner) => decodeMessage(messageOf(name), inner, {}),
        envelope: decodeEnvelope,
      });
    case 'list':
      return decodeMessage(wrappedList(t.of), r.nested(), {})['items'] ?? [];
    case 'map':
    case 'any':
      throw new WireError(`proto: ${t.goName} has no protobuf form`);
  }
}

/** The message that a named list type is on the wire: its items at number 1. */
function wrappedList(of: TypeRef): Message {
  const items: WireField = {
    number: 1,
    name: 'items',
    type: { k: 'list', goName: `[]${of.goName}`, of, wrapped: false },
    pointer: false,
  };
  return { fields: [items], byNumber: new Map([[1, items]]) };
}

function checkWire(given: number, expected: number, what: string): void {
  if (given !== expected) throw new WireError(`proto: wrong wireType = ${given} for field ${what}`);
}

function isScalar(t: TypeRef): boolean {
  return wireOf(t) !== BYTES;
}

function wireOf(t: TypeRef): number {
  switch (t.k) {
    case 'bool':
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'uint64':
      return VARINT;
    case 'float64':
      return FIXED64;
    default:
      return BYTES;
  }
}

function encodeMessage(m: Message, value: Json, w: BackWriter): void {
  for (let i = m.fields.length - 1; i >= 0; i--) {
    const f = m.fields[i];
    if (f === undefined) continue;
    if (f.name === undefined) encodeNested(messageOf((f.type as { name: TypeName }).name), f.number, value, w);
    else encodeField(f, value[f.name], w);
  }
}

function encodeField(f: WireField, value: unknown, w: BackWriter): void {
  const absent = value === undefined || value === null;
  const { type } = f;
  if (type.k === 'list' && !type.wrapped) {
    if (absent) return;
    const list = value as unknown[];
    for (let i = list.length - 1; i >= 0; i--) encodeValue(type.of, f.number, list[i], w);
  } else if (type.k === 'map') {
    if (absent) return;
    const map = value as Json;
    for (const key of Object.keys(map).sort().reverse()) encodeEntry(type.of, f.number, key, map[key], w);
  } else if (absent && (f.pointer || type.k === 'bytes' || type.k === 'list')) return;
  else encodeValue(type, f.number, value, w);
}

function encodeEntry(of: TypeRef, number: number, key: string, value: unknown, w: BackWriter): void {
  const before = w.length;
  encodeValue(of, 2, value, w);
  w.text(key);
  w.tag(1, BYTES);
  w.varint(w.length - before);
  w.tag(number, BYTES);
}

/** Absent values are written as zero. */
function encodeValue(t: TypeRef, number: number, value: unknown, w: BackWriter): void {
  switch (t.k) {
    case 'string':
      w.text(typeof value === 'string' ? value : '');
      break;
    case 'bytes':
      w.bytes(Buffer.from(typeof value === 'string' ? value : '', 'base64'));
      break;
    case 'bool':
      w.varint(value === true ? 1 : 0);
      break;
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'uint64':
      w.varint(typeof value === 'number' ? value : 0);
      break;
    case 'float64':
      w.double(typeof value === 'number' ? value : 0);
      break;
    case 'struct':
      encodeNested(messageOf(t.name), number, (value ?? {}) as Json, w);
      return;
    case 'list':
      encodeNested(wrappedList(t.of), number, { items: value ?? [] }, w);
      return;
    case 'wellKnown': {
      const before = w.length;
      encodeWellKnownMessage(t.name, value ?? null, w, (name, inner) =>
        encodeMessage(messageOf(name), inner as Json, w),
      );
      w.varint(w.length - before);
      break;
    }
    case 'map':
    case 'any':
      throw new WireError(`proto: ${t.goName} has no protobuf form`);
  }
  w.tag(number, wireOf(t));
}

function encodeNested(m: Message, number: number, value: Json, w: BackWriter): void {
  const before = w.length;
  encodeMessage(m, value, w);
  w.varint(w.length - before);
  w.tag(number, BYTES);
}
