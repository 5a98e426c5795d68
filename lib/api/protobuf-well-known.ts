/**
 * Protobuf messages of the well-known types; their JSON forms are those of well-known.ts.
 * Source: wellKnown in data/kubernetes-types.json, k8s.io/apimachinery time_proto.go, quantity_proto.go, intstr generated.proto.
 */
import { durationText } from '#lib/base';
import { type BackWriter, BYTES, Reader, VARINT } from './protobuf-wire.ts';
import type { TypeName } from './type-table.ts';
import { parseGoDuration } from './well-known.ts';

const SCHEMA = 'apiextensions/v1.JSONSchemaProps';
/** Seconds of a time that JSON can show. */
const YEAR_ONE = -62_135_596_800;
const YEAR_9999 = 253_402_300_799;

export interface DecodeTools {
  struct(name: TypeName, r: Reader): unknown;
  /** A RawExtension may hold a whole envelope. */
  envelope(bytes: Buffer): unknown;
}

/** The numbers found in a message, last one wins. Lists only where `lists` says so. */
interface Parts {
  ints: Map<number, bigint>;
  bytes: Map<number, Buffer[]>;
}

function partsOf(r: Reader): Parts {
  const parts: Parts = { ints: new Map(), bytes: new Map() };
  while (!r.done) {
    const tag = r.varint();
    const number = Math.floor(tag / 8);
    if ((tag & 7) === VARINT) parts.ints.set(number, r.varintExact());
    else if ((tag & 7) === BYTES) parts.bytes.set(number, [...(parts.bytes.get(number) ?? []), r.slice()]);
    else r.skip(tag & 7);
  }
  return parts;
}

export function decodeWellKnownMessage(name: TypeName, r: Reader, t: DecodeTools): unknown {
  const isEmpty = r.done;
  const p = partsOf(r);
  const text = (n: number): string => p.bytes.get(n)?.at(-1)?.toString('utf8') ?? '';
  const schema = (b: Buffer): unknown => t.struct(SCHEMA, new Reader(b, 0, b.length));
  switch (name) {
    case 'meta/v1.Time':
    case 'meta/v1.MicroTime':
      return isEmpty ? null : timeText(p, name === 'meta/v1.MicroTime');
    case 'meta/v1.Duration':
      return durationText(p.ints.get(1) ?? 0n);
    case 'resource.Quantity':
      return text(1) === '' ? '0' : text(1);
    case 'intstr.IntOrString':
      return p.ints.get(1) === 1n ? text(3) : Number(p.ints.get(2) ?? 0n);
    case 'apiextensions/v1.JSONSchemaPropsOrArray': {
      const list = p.bytes.get(2);
      if (list !== undefined) return list.map(schema);
      break;
    }
    case 'apiextensions/v1.JSONSchemaPropsOrStringArray': {
      const list = p.bytes.get(2);
      if (list !== undefined) return list.map((b) => b.toString('utf8'));
      break;
    }
    case 'apiextensions/v1.JSONSchemaPropsOrBool': {
      const inner = p.bytes.get(2)?.at(-1);
      return inner === undefined ? p.ints.get(1) === 1n : schema(inner);
    }
    default: {
      const raw = p.bytes.get(name === 'runtime.Unknown' ? 2 : 1)?.at(-1);
      if (raw === undefined || raw.length === 0) return null;
      return raw.subarray(0, 4).equals(MAGIC) ? t.envelope(raw) : JSON.parse(raw.toString('utf8'));
    }
  }
  const one = p.bytes.get(1)?.at(-1);
  return one === undefined ? null : schema(one);
}

const MAGIC = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

function timeText(p: Parts, micro: boolean): string | null {
  const seconds = Number(p.ints.get(1) ?? 0n);
  if (seconds <= YEAR_ONE || seconds > YEAR_9999) return null;
  const head = new Date(seconds * 1000).toISOString().slice(0, 19);
  if (!micro) return `${head}Z`;
  const micros = (p.ints.get(2) ?? 0n) / 1000n;
  return `${head}.${micros.toString().padStart(6, '0')}Z`;
}

/** Writes the body, last number first; `value` null is the zero value. */
export function encodeWellKnownMessage(
  name: TypeName,
  value: unknown,
  w: BackWriter,
  struct: (name: TypeName, value: unknown) => void,
): void {
  switch (name) {
    case 'meta/v1.Time':
    case 'meta/v1.MicroTime':
      if (typeof value === 'string') encodeTime(value, w);
      return;
    case 'meta/v1.Duration':
      w.varintExact(typeof value === 'string' ? parseGoDuration(value) : 0n);
      w.tag(1, VARINT);
      return;
    case 'resource.Quantity':
      w.text(typeof value === 'string' ? value : '0');
      w.tag(1, BYTES);
      return;
    case 'intstr.IntOrString':
      w.text(typeof value === 'string' ? value : '');
      w.tag(3, BYTES);
      w.varint(typeof value === 'number' ? value : 0);
      w.tag(2, VARINT);
      w.varint(typeof value === 'string' ? 1 : 0);
      w.tag(1, VARINT);
      return;
    case 'apiextensions/v1.JSONSchemaPropsOrArray':
    case 'apiextensions/v1.JSONSchemaPropsOrStringArray':
    case 'apiextensions/v1.JSONSchemaPropsOrBool':
      encodeSchemaOr(name, value, w, struct);
      return;
    default:
      if (value === null) return;
      w.text(JSON.stringify(value));
      w.tag(1, BYTES);
      return;
  }
}

function encodeTime(text: string, w: BackWriter): void {
  const nanos = text.includes('.') ? Number(text.slice(text.indexOf('.') + 1, -1).padEnd(9, '0')) : 0;
  w.varint(nanos);
  w.tag(2, VARINT);
  w.varint(Math.floor(Date.parse(text) / 1000));
  w.tag(1, VARINT);
}

function encodeSchemaOr(
  name: TypeName,
  value: unknown,
  w: BackWriter,
  struct: (name: TypeName, value: unknown) => void,
): void {
  const nested = (v: unknown, number: number): void => {
    const before = w.length;
    struct(SCHEMA, v);
    w.varint(w.length - before);
    w.tag(number, BYTES);
  };
  if (Array.isArray(value)) {
    for (const item of [...value].reverse()) {
      if (typeof item !== 'string') nested(item, 2);
      else {
        w.text(item);
        w.tag(2, BYTES);
      }
    }
    return;
  }
  const isBool = name === 'apiextensions/v1.JSONSchemaPropsOrBool';
  if (typeof value === 'object' && value !== null) nested(value, isBool ? 2 : 1);
  if (isBool) {
    w.varint(value === false || value === null ? 0 : 1);
    w.tag(1, VARINT);
  }
}
