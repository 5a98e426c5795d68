import { describe, expect, test } from 'vitest';
import { BYTES, Reader } from '../protobuf-wire.ts';
import { allKinds } from '../registry.ts';
import { openApiOf } from './openapi.ts';
import { swaggerProtobufOf } from './swagger-protobuf.ts';

type Json = { [key: string]: unknown };
type Fields = ReadonlyMap<number, readonly (number | Buffer)[]>;

/** The fields of a message, each with its values in order; doubles are not read. */
function fieldsOf(bytes: Buffer): Fields {
  const reader = new Reader(bytes, 0, bytes.length);
  const out = new Map<number, (number | Buffer)[]>();
  while (!reader.done) {
    const tag = reader.varint();
    const values = out.get(Math.floor(tag / 8)) ?? [];
    out.set(Math.floor(tag / 8), values);
    if (tag % 8 === BYTES) {
      const inner = reader.nested();
      values.push(bytes.subarray(inner.at, inner.end));
    } else values.push(reader.varint());
  }
  return out;
}

const messages = (f: Fields, n: number): Buffer[] => (f.get(n) ?? []).filter((v) => Buffer.isBuffer(v));
const texts = (f: Fields, n: number): string[] => messages(f, n).map(String);
const one = (f: Fields, n: number): Buffer => {
  const [first] = messages(f, n);
  if (first === undefined) throw new Error(`no field ${n}`);
  return first;
};
const anyOf = (bytes: Buffer): unknown => JSON.parse(String(one(fieldsOf(bytes), 2)));
const namedOf = (bytes: Buffer, entries: number): [string, Buffer][] =>
  messages(fieldsOf(bytes), entries).map((entry) => {
    const f = fieldsOf(entry);
    return [String(one(f, 1)), one(f, 2)];
  });
const extensionsOf = (f: Fields, n: number): Json =>
  Object.fromEntries(messages(f, n).map((entry) => [String(one(fieldsOf(entry), 1)), anyOf(one(fieldsOf(entry), 2))]));

/** A Schema message as JSON: numbers of the fields from gnostic's OpenAPIv2.proto. */
function schemaOf(bytes: Buffer): Json {
  const f = fieldsOf(bytes);
  const out: Json = { ...extensionsOf(f, 31) };
  for (const [n, key] of [
    [1, '$ref'],
    [2, 'format'],
    [4, 'description'],
  ] as const)
    if (f.has(n)) out[key] = String(one(f, n));
  if (f.has(19)) out['required'] = texts(f, 19);
  if (f.has(20)) out['enum'] = messages(f, 20).map(anyOf);
  if (f.has(21)) out['additionalProperties'] = schemaOf(one(fieldsOf(one(f, 21)), 1));
  if (f.has(22)) [out['type']] = texts(fieldsOf(one(f, 22)), 1);
  if (f.has(23)) out['items'] = schemaOf(one(fieldsOf(one(f, 23)), 1));
  if (f.has(25)) out['properties'] = Object.fromEntries(namedOf(one(f, 25), 1).map(([k, v]) => [k, schemaOf(v)]));
  return out;
}

describe('swaggerProtobufOf', async () => {
  const api = openApiOf(allKinds(), 'v1.36.0');
  const json = JSON.parse(String(await api.v2().bytes())) as { definitions: Json; paths: Json; info: Json };
  const document = fieldsOf(await api.v2Protobuf().bytes());

  test('the decoded definitions are those of the JSON form', () => {
    const definitions = Object.fromEntries(namedOf(one(document, 9), 1).map(([k, v]) => [k, schemaOf(v)]));
    expect(Object.keys(definitions).length).toBeGreaterThan(550);
    expect(definitions).toEqual(json.definitions);
  });

  test('the head is that of the JSON form', () => {
    expect(texts(document, 1)).toEqual(['2.0']);
    const info = fieldsOf(one(document, 2));
    expect({ title: String(one(info, 1)), version: String(one(info, 2)) }).toEqual(json.info);
    const [name, item] = namedOf(one(document, 13), 1)[0] ?? [];
    expect(name).toBe('BearerToken');
    expect(texts(fieldsOf(one(fieldsOf(item ?? Buffer.alloc(0)), 2)), 2)).toEqual(['authorization']);
  });

  test('paths have their operations, parameters and answers', () => {
    const paths = new Map(namedOf(one(document, 8), 2));
    expect([...paths.keys()]).toEqual(Object.keys(json.paths));
    const item = fieldsOf(paths.get('/apis/apps/v1/namespaces/{namespace}/deployments/{name}') ?? Buffer.alloc(0));
    const patch = fieldsOf(one(item, 8));
    expect(texts(patch, 5)).toEqual(['patchAppsV1NamespacedDeployment']);
    expect(texts(patch, 7)).toContain('application/strategic-merge-patch+json');
    expect(extensionsOf(patch, 13)).toEqual({
      'x-kubernetes-action': 'patch',
      'x-kubernetes-group-version-kind': { group: 'apps', version: 'v1', kind: 'Deployment' },
    });
    const parameters = messages(patch, 8).map((p) => fieldsOf(one(fieldsOf(p), 1)));
    const query = parameters.flatMap((p) => messages(p, 2)).map((p) => fieldsOf(one(fieldsOf(p), 3)));
    expect(query.map((p) => String(one(p, 4)))).toEqual(['dryRun', 'fieldManager', 'fieldValidation', 'force']);
    const body = parameters.flatMap((p) => messages(p, 1)).map(fieldsOf);
    expect(body.map((p) => schemaOf(one(p, 5)))).toEqual([
      { $ref: '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.Patch' },
    ]);
    const inPath = messages(item, 9).flatMap((p) => messages(fieldsOf(one(fieldsOf(p), 1)), 2).map(fieldsOf));
    expect(inPath.flatMap((p) => messages(p, 4)).map((p) => String(one(fieldsOf(p), 4)))).toEqual([
      'namespace',
      'name',
    ]);
    const answers = new Map(namedOf(one(patch, 9), 1));
    const ok = fieldsOf(one(fieldsOf(answers.get('200') ?? Buffer.alloc(0)), 1));
    expect(texts(ok, 1)).toEqual(['OK']);
    expect(schemaOf(one(fieldsOf(one(ok, 2)), 1))).toEqual({ $ref: '#/definitions/io.k8s.api.apps.v1.Deployment' });
  });

  test('additionalProperties may be true or false, numbers are whole, what is of the wrong type is left out', () => {
    const of = (schema: Json): Fields => {
      const value = { swagger: '2.0', definitions: { A: schema } };
      const f = fieldsOf(swaggerProtobufOf(Buffer.from(JSON.stringify(value))));
      return fieldsOf(namedOf(one(f, 9), 1)[0]?.[1] ?? Buffer.alloc(0));
    };
    for (const [value, expected] of [
      [true, 1],
      [false, 0],
    ] as const)
      expect(fieldsOf(one(of({ additionalProperties: value }), 21)).get(2)).toEqual([expected]);
    expect(of({ maxLength: 300, minItems: 0 }).get(11)).toEqual([300]);
    expect(of({ maxLength: 'x' }).has(11)).toBe(false);
  });

  test('what gnostic has no field for is left out; names that JavaScript knows are names', () => {
    const value = {
      swagger: '2.0',
      unknown: 1,
      constructor: 'x',
      definitions: { A: { nullable: true, type: 'object' } },
    };
    const f = fieldsOf(swaggerProtobufOf(Buffer.from(JSON.stringify(value))));
    expect([...f.keys()]).toEqual([1, 9]);
    expect(namedOf(one(f, 9), 1).map(([k, v]) => [k, schemaOf(v)])).toEqual([['A', { type: 'object' }]]);
  });
});
