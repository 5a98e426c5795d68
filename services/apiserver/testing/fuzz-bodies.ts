/**
 * Arbitrary request bodies: JSON text, JSON of a kind with a hole in it, patches of all types, YAML, Kubernetes protobuf and
 * plain bytes. Made as text, so that what no object can say (a field twice, `__proto__`, numbers beyond 64 bits) is said too.
 */
import fc from 'fast-check';
import type { KindInfo } from '#lib/api';
import { arbitraryObject } from '../../../lib/api/testing/arbitrary.ts';

export interface Body {
  readonly type: string;
  readonly bytes: Buffer;
}

/** Names that every JavaScript object knows, and names that this API gives a meaning. */
export const NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'a',
  '',
  'metadata',
  'name',
  'namespace',
  'labels',
  'annotations',
  'finalizers',
  'ownerReferences',
  'managedFields',
  'resourceVersion',
  'uid',
  'spec',
  'status',
  'template',
  'containers',
  'replicas',
  'selector',
  'data',
  'rules',
  'kind',
  'apiVersion',
  '$patch',
  '$retainKeys',
  '$setElementOrder/containers',
  '$deleteFromPrimitiveList/finalizers',
  'length',
  '0',
] as const;

const LEAVES = [
  'null',
  'true',
  'false',
  '0',
  '-1',
  '1.5',
  '1e999',
  '2147483648',
  '9223372036854775808',
  '""',
  '"a"',
  '"default"',
  '"__proto__"',
  '"constructor"',
  '"\\u0000"',
  '"\\ud800"',
  '"ü→😀"',
  '"a,b=c"',
  '"replace"',
  '"delete"',
  '"2024-01-02T03:04:05Z"',
  '"1Gi"',
  '"1e99999999"',
  '"100%"',
  '"AA=="',
  '"10.0.0.1/33"',
  '{}',
  '[]',
  '[null]',
  '{"":null}',
] as const;

const leaf = fc.oneof(
  { weight: 20, arbitrary: fc.constantFrom(...LEAVES) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary' }).map((s) => JSON.stringify(s)) },
  { weight: 1, arbitrary: fc.nat({ max: 20_000 }).map((n) => JSON.stringify('x'.repeat(n))) },
  { weight: 1, arbitrary: fc.nat({ max: 1_200 }).map((n) => `${'['.repeat(n)}${']'.repeat(n)}`) },
  { weight: 1, arbitrary: fc.nat({ max: 1_200 }).map((n) => `${'{"a":'.repeat(n)}1${'}'.repeat(n)}`) },
);

/** Text of any JSON value. */
export const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string; list: string; map: string }>((tie) => ({
  value: fc.oneof({ maxDepth: 4, withCrossShrink: true }, leaf, tie('map'), tie('list')),
  list: fc.array(tie('value'), { maxLength: 3 }).map((items) => `[${items.join(',')}]`),
  map: fc
    .array(fc.tuple(fc.constantFrom(...NAMES), tie('value')), { maxLength: 4 })
    .map((pairs) => `{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${v}`).join(',')}}`),
})).value;

const kindBodies = new Map<string, fc.Arbitrary<string>>();

/** An object of the kind, of the right types, often valid, sometimes with one value replaced by any other. */
export function kindText(kind: KindInfo, seed: object | undefined): fc.Arbitrary<string> {
  const key = `${kind.group}/${kind.version}/${kind.resource}`;
  let typed = kindBodies.get(key);
  if (typed === undefined) {
    const named = arbitraryObject(kind.schema, 5).map((o) => JSON.stringify({ ...o, metadata: { name: 'a' } }));
    typed = fc.oneof({ weight: 1, arbitrary: arbitraryObject(kind.schema, 5).map((o) => JSON.stringify(o)) }, named);
    kindBodies.set(key, typed);
  }
  const base =
    seed === undefined ? typed : fc.oneof({ weight: 3, arbitrary: fc.constant(JSON.stringify(seed)) }, typed);
  return fc.tuple(base, fc.nat(), jsonText, fc.nat({ max: 2 })).map(([text, at, value, holes]) => {
    let out = text;
    for (let i = 0; i < holes; i++) out = replacedAt(out, at + i * 7, value);
    return out;
  });
}

/** The text of one value of a JSON text, by its number, replaced. */
function replacedAt(text: string, number: number, by: string): string {
  const places = [...text.matchAll(/:("(?:[^"\\]|\\.)*"|[-\w.]+|\{\}|\[\]|(?=[{[]))/g)];
  const place = places[number % Math.max(1, places.length)];
  if (place === undefined) return by;
  const start = place.index + 1;
  const end = place[1] === '' ? closing(text, start) : place.index + place[0].length;
  return `${text.slice(0, start)}${by}${text.slice(end)}`;
}

/** Behind the bracket that closes the one at `start`. Brackets in strings count too: what comes out need not be JSON. */
function closing(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    const char = text[i];
    if (char === '{' || char === '[') depth++;
    else if ((char === '}' || char === ']') && --depth === 0) return i + 1;
  }
  return text.length;
}

const pointer = fc
  .array(fc.constantFrom(...NAMES, '-', '1', '99999999999', '~0', '~1', '~2'), { maxLength: 4 })
  .map((steps) => steps.map((s) => `/${s}`).join(''));

const jsonPatch = fc
  .array(
    fc
      .record({
        op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test', 'x'),
        path: fc.oneof({ weight: 9, arbitrary: pointer }, fc.string()),
        from: fc.option(pointer, { nil: undefined }),
        value: jsonText,
      })
      .map((o) => `{${JSON.stringify({ op: o.op, path: o.path, from: o.from }).slice(1, -1)},"value":${o.value}}`),
    { maxLength: 4 },
  )
  .map((ops) => `[${ops.join(',')}]`);

export function patchBody(kind: KindInfo, seed: object | undefined): fc.Arbitrary<Body> {
  const object = fc.oneof(kindText(kind, seed), jsonText);
  return fc.oneof(
    as('application/json-patch+json', fc.oneof({ weight: 5, arbitrary: jsonPatch }, jsonText)),
    as('application/merge-patch+json', object),
    as('application/strategic-merge-patch+json', object),
    as('application/apply-patch+yaml', fc.oneof(object, yamlText)),
  );
}

export function objectBody(kind: KindInfo, seed: object | undefined): fc.Arbitrary<Body> {
  const { group, version } = kind;
  return fc.oneof(
    { weight: 10, arbitrary: as('application/json', kindText(kind, seed)) },
    { weight: 3, arbitrary: as('application/json', jsonText) },
    { weight: 1, arbitrary: as('application/yaml', fc.oneof(kindText(kind, seed), yamlText)) },
    {
      weight: 4,
      arbitrary: protobuf(group === '' ? version : `${group}/${version}`, kind.kind),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        type: fc.constantFrom(
          '',
          'application/json',
          'application/vnd.kubernetes.protobuf',
          'application/cbor',
          'a/b;c',
        ),
        bytes: fc.uint8Array({ maxLength: 60 }).map((b) => Buffer.from(b)),
      }),
    },
  );
}

function as(type: string, text: fc.Arbitrary<string>): fc.Arbitrary<Body> {
  return text.map((t) => ({ type, bytes: Buffer.from(t) }));
}

const yamlText = fc.oneof(
  fc.constantFrom(
    '{',
    'a: &a [*a]',
    '--- 1\n--- 2',
    '!!js/function x',
    '? {a: 1}\n: b',
    'a: 1\na: 2',
    '<<: {a: 1}',
    '__proto__: {polluted: 1}',
    'a: !!binary x',
    'a: 2024-01-01',
    `a: &a ["x","x"]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]`,
  ),
  fc.string({ unit: fc.constantFrom('a', ':', ' ', '\n', '-', '{', '}', '[', ']', '&', '*', '!', '"', "'", '|', '?') }),
);

const PROTOBUF_MAGIC = Buffer.from('k8s\0');

/** A `runtime.Unknown` of this kind around any message, or something that only begins like one. */
function protobuf(apiVersion: string, kind: string): fc.Arbitrary<Body> {
  const typeMeta = Buffer.concat([delimited(1, Buffer.from(apiVersion)), delimited(2, Buffer.from(kind))]);
  const whole = message.map((raw) => Buffer.concat([PROTOBUF_MAGIC, delimited(1, typeMeta), delimited(2, raw)]));
  const bytes = fc.oneof(
    { weight: 5, arbitrary: whole },
    fc.tuple(whole, fc.nat({ max: 40 })).map(([b, cut]) => b.subarray(0, Math.max(0, b.length - cut))),
    fc.uint8Array({ maxLength: 60 }).map((b) => Buffer.concat([PROTOBUF_MAGIC, b])),
  );
  return bytes.map((b) => ({ type: 'application/vnd.kubernetes.protobuf', bytes: b }));
}

const message: fc.Arbitrary<Buffer> = fc.letrec<{ message: Buffer; field: Buffer }>((tie) => ({
  message: fc.array(tie('field'), { maxLength: 5 }).map((fields) => Buffer.concat(fields)),
  field: fc.oneof(
    { maxDepth: 4 },
    fc.tuple(number(), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })).map(([n, v]) => tagged(n, 0, varint(v))),
    fc.tuple(number(), fc.string({ unit: 'binary', maxLength: 8 })).map(([n, s]) => delimited(n, Buffer.from(s))),
    fc.tuple(number(), fc.constantFrom(...NAMES)).map(([n, s]) => delimited(n, Buffer.from(s))),
    fc.tuple(number(), fc.uint8Array({ minLength: 8, maxLength: 8 })).map(([n, b]) => tagged(n, 1, Buffer.from(b))),
    fc.tuple(number(), fc.nat({ max: 1_500 })).map(([n, d]) => Buffer.alloc(d, tag(n, 3))),
    fc.tuple(number(), tie('message')).map(([n, m]) => delimited(n, m)),
  ),
})).message;

function number(): fc.Arbitrary<number> {
  return fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 45 }));
}

function delimited(field: number, bytes: Buffer): Buffer {
  return tagged(field, 2, Buffer.concat([varint(BigInt(bytes.length)), bytes]));
}

function tagged(field: number, wireType: number, bytes: Buffer): Buffer {
  return Buffer.concat([tag(field, wireType), bytes]);
}

function tag(field: number, wireType: number): Buffer {
  return varint(BigInt(field * 8 + wireType));
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = value;
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
