/** Any body at every verb of a custom object, in both versions: refused or stored, never a fault of the server. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type CustomResourceDefinition, isConditionTrue, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { toStatusError } from '#lib/base';
import { testContext as c, eventually, startTestServer, type TestServer } from '../testing/server.ts';

const RUNS = 1_000;
const WORDS =
  'spec status metadata name labels annotations finalizers ownerReferences managedFields apiVersion kind a list n sub __proto__ ' +
  'constructor emb uid resourceVersion any creationTimestamp generation selector deletionTimestamp map replicas';
const LEAF = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.string(),
);
const { value: VALUE } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'medium' },
    LEAF,
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...WORDS.split(' ')), tie('value'), { maxKeys: 4 }),
  ),
}));
const BODY = fc.dictionary(fc.constantFrom(...WORDS.split(' ')), VALUE, { maxKeys: 5 });

const item = { type: 'object', required: ['name'], properties: { name: { type: 'string' }, n: { type: 'integer' } } };
const SPEC = {
  type: 'object',
  properties: {
    a: { type: 'string', nullable: true, default: 'x' },
    n: { 'x-kubernetes-int-or-string': true },
    any: { 'x-kubernetes-preserve-unknown-fields': true },
    emb: { type: 'object', 'x-kubernetes-embedded-resource': true, 'x-kubernetes-preserve-unknown-fields': true },
    map: {
      type: 'object',
      additionalProperties: { type: 'object', properties: { a: { type: 'string', default: 'q' } } },
    },
    list: {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      maxItems: 9,
      items: item,
    },
  },
  'x-kubernetes-validations': [{ rule: '!has(self.list) || self.list.all(x, x.name != "bad")' }],
};
const SCHEMA = {
  openAPIV3Schema: {
    type: 'object',
    properties: { spec: SPEC, status: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
  },
};
const SCALE = {
  specReplicasPath: '.spec.any.sub.n',
  statusReplicasPath: '.status.n',
  labelSelectorPath: '.status.selector',
};
const AT = { namespace: 'default', name: 'a' };

function kindOf(version: string): KindRef<KubeObject> {
  return { group: 'example.com', version, kind: 'Widget', resource: 'widgets', namespaced: true };
}

async function define({ client }: TestServer): Promise<void> {
  const subresources = { status: {}, scale: SCALE };
  const definition = {
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget' },
      versions: [
        { name: 'v1', served: true, storage: true, schema: SCHEMA, subresources },
        { name: 'v1beta1', served: true, storage: false, schema: SCHEMA, subresources },
      ],
    },
  };
  await client.create(Kinds.customresourcedefinitions, definition as unknown as CustomResourceDefinition, c);
  await eventually(async () => {
    const key = { namespace: '', name: 'widgets.example.com' };
    const { status } = await client.get(Kinds.customresourcedefinitions, key, c);
    expect(isConditionTrue(status?.conditions, 'Established')).toBe(true);
  });
}

test('custom objects of any form', { timeout: 60_000 }, async () => {
  await using server = await startTestServer();
  await define(server);
  const { client } = server;
  await client.create(kindOf('v1'), { metadata: AT }, c);
  const subresource = fc.constantFrom(undefined, 'status', 'scale');
  const verb = fc.constantFrom('create', 'update', 'merge', 'json', 'apply');
  const seen = new Set<string>();
  const run = async (given: object, how: string, version: string, at: string | undefined): Promise<void> => {
    const kind = kindOf(version);
    const o = { ...(at === undefined ? {} : { subresource: at }), fieldManager: 'm' };
    const whole = { apiVersion: `example.com/${version}`, kind: 'Widget', ...given, metadata: { ...AT } } as KubeObject;
    const json = Object.entries(given).map(([key, value]) => ({ op: 'add', path: `/${key}`, value }));
    const calls: Record<string, () => Promise<unknown>> = {
      create: () => client.create(kind, { ...whole, metadata: { ...whole.metadata, name: 'b' } }, c, { dryRun: true }),
      update: async () => {
        const { resourceVersion } = (await client.get(kind, AT, c)).metadata;
        return await client.update(kind, { ...whole, metadata: { ...AT, resourceVersion } } as KubeObject, c, o);
      },
      merge: () => client.patch(kind, AT, { type: 'merge', body: given }, c, o),
      json: () => client.patch(kind, AT, { type: 'json', body: json }, c, o),
      apply: () => client.patch(kind, AT, { type: 'apply', body: { ...whole, ...given } }, c, { ...o, force: true }),
    };
    const outcome = await calls[how]?.().then(
      () => 'done',
      (e) => toStatusError(e),
    );
    if (typeof outcome === 'object' && outcome.kind === 'Internal') throw outcome;
    seen.add(`${how} ${typeof outcome === 'object' ? outcome.kind : outcome}`);
  };
  const version = fc.constantFrom('v1', 'v1beta1');
  await fc.assert(fc.asyncProperty(BODY, verb, version, subresource, run), { numRuns: RUNS });
  for (const how of ['create', 'update', 'merge', 'json', 'apply']) expect([...seen]).toContain(`${how} done`);
  for (const v of ['v1', 'v1beta1']) expect((await client.list(kindOf(v), {}, c)).items).toHaveLength(1);
  expect(Object.getPrototypeOf({})).toBe(Object.prototype);
});
