import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CustomResourceDefinition, Kinds, type KubeObject, kindByGvk, ref } from '#lib/api';
import { testContext as c, eventually, startTestServer, type TestServer } from '../../testing/server.ts';
import { addMutating, addValidating, apply, configMap, jsonPatch, refusalOf } from './testing/policies.ts';

type Mutation = ReturnType<typeof apply> | ReturnType<typeof jsonPatch>;

let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const selecting = (name: string) => ({ matchResources: { objectSelector: { matchLabels: { of: name } } } });

/** Sees ConfigMaps of its own label only. */
async function policy(spec: object) {
  const name = `m${++count}`;
  await addMutating(server, name, spec, selecting(name));
  const create = (data: Record<string, string> = {}) =>
    server.client.create(Kinds.configmaps, configMap(`c${++count}`, data, { of: name }), c);
  return { name, create };
}

const patched = (p: Awaited<ReturnType<typeof policy>>, data: Record<string, string>, wanted: object) =>
  eventually(async () => expect((await p.create(data)).data).toEqual(wanted));

describe('ApplyConfiguration', () => {
  test('merges maps, keeps what it does not name', async () => {
    const p = await policy({ mutations: [apply("Object{data: {'b': object.data.a + '!'}}")] });
    await patched(p, { a: '1' }, { a: '1', b: '1!' });
  });

  test('merges lists by their keys', async () => {
    const matchConstraints = {
      resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }],
    };
    const mutation = apply(
      "Object{spec: Object.spec{containers: object.spec.containers.map(x, Object.spec.containers{name: x.name, env: [Object.spec.containers.env{name: 'ADDED', value: 'yes'}]})}}",
    );
    const name = `m${++count}`;
    await addMutating(server, name, { matchConstraints, mutations: [mutation] });
    const spec = {
      containers: [
        { name: 'a', image: 'x' },
        { name: 'b', image: 'y', env: [{ name: 'OWN', value: '1' }] },
      ],
    };
    await eventually(async () => {
      const pod = await server.client.create(
        Kinds.pods,
        { metadata: { name: `pod${++count}`, namespace: 'default' }, spec },
        c,
      );
      expect(pod.spec.containers.map((x) => [x.image, (x.env ?? []).map((e) => e.name).toSorted()])).toEqual([
        ['x', ['ADDED']],
        ['y', ['ADDED', 'OWN']],
      ]);
    });
    await server.client.delete(Kinds.mutatingadmissionpolicies, { namespace: '', name }, {}, c);
  });

  test.each([
    ["Object{data: Object.spec{x: '1'}}", /type mismatch: unexpected type name "Object.spec", expected "Object.data"/],
    [
      "Object{nothing: {'a': 'b'}}",
      /failed to convert patch object to typed object: \.nothing: field not declared in schema/,
    ],
    [
      "Object{metadata: Object.metadata{ownerReferences: [Object.metadata.ownerReferences{name: 'a'}]}}",
      /omits a key field/,
    ],
    ["Object{data: {'a': 1}}", /cannot be handled as a ConfigMap|cannot unmarshal/],
  ])('%s is refused', async (expression, text) => {
    const p = await policy({ mutations: [apply(expression)] });
    const said = await refusalOf(() => p.create());
    expect(said).toMatch(text);
    expect(said.startsWith(`policy '${p.name}' with binding '${p.name}-b' denied request: `)).toBe(true);
    await expect(p.create()).rejects.toMatchObject({ kind: 'Forbidden', reason: 'Invalid' });
  });

  test('atomic lists are refused', async () => {
    const name = `m${++count}`;
    const matchConstraints = {
      resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }],
    };
    const mutation = apply("Object{spec: Object.spec{containers: [Object.spec.containers{name: 'a', args: ['x']}]}}");
    await addMutating(server, name, { matchConstraints, mutations: [mutation] });
    const pod = {
      metadata: { name: `pod${++count}`, namespace: 'default' },
      spec: { containers: [{ name: 'a', image: 'x' }] },
    };
    expect(await refusalOf(() => server.client.create(Kinds.pods, pod, c))).toContain(
      'invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].args',
    );
    await server.client.delete(Kinds.mutatingadmissionpolicies, { namespace: '', name }, {}, c);
  });
});

describe('JSONPatch', () => {
  test('operations, escaped keys, failed tests', async () => {
    const p = await policy({
      mutations: [
        jsonPatch("[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'x'}]"),
        jsonPatch("[JSONPatch{op: 'test', path: '/data/a', value: 'other'}, JSONPatch{op: 'remove', path: '/data/a'}]"),
      ],
    });
    await eventually(async () => {
      const made = await p.create({ a: '1' });
      expect(made.metadata.labels?.['a/b']).toBe('x');
      expect(made.data).toEqual({ a: '1' });
    });
  });

  test('one that cannot be applied refuses, unless failures are ignored', async () => {
    const mutations = [jsonPatch("[JSONPatch{op: 'remove', path: '/data/none'}]")];
    const p = await policy({ mutations });
    expect(await refusalOf(() => p.create())).toContain('denied request: JSON Patch: ');
    const ignoring = await policy({
      mutations: [...mutations, apply("Object{data: {'x': '1'}}")],
      failurePolicy: 'Ignore',
    });
    await patched(ignoring, {}, { x: '1' });
  });

  test('the namespace stays', async () => {
    const p = await policy({
      mutations: [jsonPatch("[JSONPatch{op: 'add', path: '/metadata/namespace', value: 'kube-system'}]")],
    });
    expect(await refusalOf(() => p.create())).toContain('the namespace of an object cannot be changed');
  });
});

test('IfNeeded sees the changes of policies after it, Never does not; validating policies see all', async () => {
  const [first, never, last] = ['a', 'b', 'c'].map((x) => `r${x}${++count}`);
  const label = { objectSelector: { matchLabels: { of: 'again' } } };
  const append = (name: string) =>
    apply(`Object{data: {'seen-${name}': has(object.data) && 'late' in object.data ? 'yes' : 'no'}}`);
  await addMutating(
    server,
    first ?? '',
    { mutations: [append('first')], reinvocationPolicy: 'IfNeeded' },
    { matchResources: label },
  );
  await addMutating(server, never ?? '', { mutations: [append('never')] }, { matchResources: label });
  await addMutating(
    server,
    last ?? '',
    { mutations: [apply("Object{data: {'late': '1'}}")] },
    { matchResources: label },
  );
  await eventually(async () => {
    const made = await server.client.create(Kinds.configmaps, configMap(`c${++count}`, {}, { of: 'again' }), c);
    expect(made.data).toEqual({ late: '1', 'seen-first': 'yes', 'seen-never': 'no' });
  });
  const validations = [{ expression: "object.data.late != '1'", message: 'late' }];
  await addValidating(server, 'sees-late', { validations }, { matchResources: label });
  expect(
    await refusalOf(() => server.client.create(Kinds.configmaps, configMap(`c${++count}`, {}, { of: 'again' }), c)),
  ).toContain('late');
});

test('an older version of a kind is matched, seen and changed in that version', async () => {
  const v1 = kindByGvk('autoscaling/v1', 'HorizontalPodAutoscaler');
  expect(v1).toBeDefined();
  const matchConstraints = {
    resourceRules: [
      {
        apiGroups: ['autoscaling'],
        apiVersions: ['v1'],
        resources: ['horizontalpodautoscalers'],
        operations: ['CREATE'],
      },
    ],
  };
  const mutation = apply('Object{spec: Object.spec{targetCPUUtilizationPercentage: 42}}');
  await addMutating(server, 'hpa', { matchConstraints, mutations: [mutation] });
  await eventually(async () => {
    const spec = { scaleTargetRef: { kind: 'Deployment', name: 'x', apiVersion: 'apps/v1' }, maxReplicas: 3 };
    const made = await server.client.create(
      Kinds.horizontalpodautoscalers,
      { metadata: { name: `h${++count}`, namespace: 'default' }, spec },
      c,
    );
    expect(made.spec?.metrics?.[0]?.resource?.target.averageUtilization).toBe(42);
  });
});

test('custom resources are changed, and are parameters', async () => {
  const definition = {
    metadata: { name: 'gauges.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'gauges', kind: 'Gauge', singular: 'gauge', listKind: 'GaugeList' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              properties: {
                spec: { type: 'object', properties: { size: { type: 'integer' }, unit: { type: 'string' } } },
              },
            },
          },
        },
      ],
    },
  };
  await server.client.create(Kinds.customresourcedefinitions, definition as unknown as CustomResourceDefinition, c);
  const gauges = ref<KubeObject & { spec: object }>({
    group: 'example.com',
    version: 'v1',
    kind: 'Gauge',
    resource: 'gauges',
    namespaced: true,
  });
  const gauge = (name: string, spec: object) => ({ metadata: { name, namespace: 'default' }, spec });
  await eventually(async () => await server.client.create(gauges, gauge('limit', { size: 5 }), c));
  const matchConstraints = {
    resourceRules: [{ apiGroups: ['example.com'], apiVersions: ['*'], resources: ['gauges'], operations: ['CREATE'] }],
  };
  await addMutating(server, 'unit', { matchConstraints, mutations: [apply("Object{spec: Object.spec{unit: 'm'}}")] });
  await addValidating(
    server,
    'size',
    {
      matchConstraints,
      paramKind: { apiVersion: 'example.com/v1', kind: 'Gauge' },
      validations: [{ expression: 'object.spec.size <= params.spec.size', message: 'too large' }],
    },
    { paramRef: { name: 'limit', parameterNotFoundAction: 'Deny' } },
  );
  expect(await refusalOf(() => server.client.create(gauges, gauge(`g${++count}`, { size: 6 }), c))).toContain(
    'too large',
  );
  const made = await server.client.create(gauges, gauge(`g${++count}`, { size: 4 }), c);
  expect(made.spec).toEqual({ size: 4, unit: 'm' });
});

test('bodies of subresources are seen and changed as what they are', async () => {
  const matchConstraints = {
    resourceRules: [
      { apiGroups: [''], apiVersions: ['v1'], resources: ['serviceaccounts/token'], operations: ['CREATE'] },
    ],
  };
  const matchConditions = [
    { name: 'kind', expression: "request.kind.kind == 'TokenRequest' && object.kind == 'TokenRequest'" },
  ];
  const mutation = apply('Object{spec: Object.spec{expirationSeconds: 7200}}');
  await addMutating(server, 'tokens', { matchConstraints, matchConditions, mutations: [mutation] });
  await eventually(async () => {
    const body = {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      metadata: {},
      spec: { expirationSeconds: 600 },
    };
    const request = {
      user: { name: 'admin', groups: ['system:masters'] },
      kind: Kinds.serviceaccounts,
      namespace: 'default',
      name: 'default',
      subresource: 'token',
    };
    const answer = await server.api.handler.handle({ ...request, verb: 'create', body, options: {} }, c);
    expect(answer).toMatchObject({ object: { spec: { expirationSeconds: 7200 } } });
  });
});

test('mutations that do not compile are refused when they are written', async () => {
  const spec = (mutation: Mutation) => ({
    reinvocationPolicy: 'Never',
    matchConstraints: {
      resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }],
    },
    mutations: [mutation],
  });
  const refused = (mutation: Mutation) =>
    server.client.create(Kinds.mutatingadmissionpolicies, { metadata: { name: 'bad' }, spec: spec(mutation) }, c).then(
      () => 'taken',
      (e: Error) => e.message,
    );
  expect(await refused(apply('{"a": 1}'))).toContain('must evaluate to Object but got map(string, int)');
  expect(await refused(jsonPatch('Object{}'))).toContain('must evaluate to list(JSONPatch) but got Object');
  expect(await refused(jsonPatch('[JSONPatch{op: 1}]'))).toContain("expected type of field 'op' is 'string'");
  expect(await refused(jsonPatch('[JSONPatch{nope: 1}]'))).toContain("undefined field 'nope'");
});
