/** Reads the signatures in the libraries' tables, e.g. `list(A).(A) -> int`, `string, bool -> optional(T)`. */
import { assert } from '#lib/base';
import {
  BOOL,
  BYTES,
  DOUBLE,
  DURATION,
  DYN,
  INT,
  listOf,
  mapOf,
  NULL,
  opaque,
  optionalOf,
  STRING,
  TIMESTAMP,
  type Type,
  typeOf,
  UINT,
} from './types.ts';

const SCALARS: ReadonlyMap<string, Type> = new Map<string, Type>([
  ['bool', BOOL],
  ['int', INT],
  ['uint', UINT],
  ['double', DOUBLE],
  ['string', STRING],
  ['bytes', BYTES],
  ['null', NULL],
  ['dyn', DYN],
  ['timestamp', TIMESTAMP],
  ['duration', DURATION],
]);

export interface Signature {
  readonly member: boolean;
  readonly args: readonly Type[];
  readonly result: Type;
}

export function parseSignature(text: string): Signature {
  const [left = '', right = ''] = text.split(' -> ');
  const dot = left.indexOf('.(');
  if (dot < 0) return { member: false, args: parseTypes(left), result: parseType(right) };
  const rest = parseTypes(left.slice(dot + 2, -1));
  return { member: true, args: [parseType(left.slice(0, dot)), ...rest], result: parseType(right) };
}

function parseTypes(text: string): Type[] {
  const out: Type[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === '(') depth++;
    else if (c === ')') depth--;
    else if (depth === 0 && (c === ',' || c === undefined)) {
      const part = text.slice(start, i).trim();
      if (part !== '') out.push(parseType(part));
      start = i + 1;
    }
  }
  return out;
}

function parseType(text: string): Type {
  const scalar = SCALARS.get(text);
  if (scalar !== undefined) return scalar;
  if (/^[A-Z]$/.test(text)) return { kind: 'param', name: text };
  const m = /^(list|map|optional|type)\((.*)\)$/.exec(text);
  if (m === null) {
    assert(/^[\w.]+$/.test(text), `not a type: ${text}`);
    return opaque(text);
  }
  const [a, b] = parseTypes(m[2] ?? '');
  assert(a !== undefined, `not a type: ${text}`);
  if (m[1] === 'list') return listOf(a);
  if (m[1] === 'optional') return optionalOf(a);
  if (m[1] === 'type') return typeOf(a);
  assert(b !== undefined, `not a type: ${text}`);
  return mapOf(a, b);
}
