/** Definitions in the manner of well-known projects: what their generators write is taken, and their objects behave. */
import { describe, expect, test } from 'vitest';
import { type CustomResourceDefinition, isConditionTrue, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { testContext as c, eventually, startTestServer, type TestServer } from '../testing/server.ts';

type Json = Record<string, unknown>;
interface Custom extends KubeObject {
  spec?: Json;
  status?: Json;
}

const text = (maxLength: number, o: Json = {}): Json => ({ type: 'string', maxLength, ...o });
const struct = (properties: Json, o: Json = {}): Json => ({ type: 'object', properties, ...o });
const list = (items: Json, o: Json = {}): Json => ({ type: 'array', items, ...o });
const listMap = (items: Json, keys: string[], o: Json = {}): Json =>
  list(items, { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys, ...o });
const rules = (...all: [string, string][]): Json => ({
  'x-kubernetes-validations': all.map(([message, rule]) => ({ message, rule })),
});

const CONDITIONS = listMap(
  struct(
    {
      lastTransitionTime: { type: 'string', format: 'date-time' },
      message: text(32_768),
      observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
      reason: text(1024, { minLength: 1, pattern: '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$' }),
      status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
      type: text(316, {
        pattern:
          '^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$',
      }),
    },
    { required: ['lastTransitionTime', 'message', 'reason', 'status', 'type'] },
  ),
  ['type'],
  { maxItems: 8 },
);

/** As a route of the Gateway API: list maps with defaulted keys, CEL over lists, a default status. */
const ROUTE_SPEC = struct({
  hostnames: list(
    text(253, {
      minLength: 1,
      pattern: '^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
    }),
    { maxItems: 16, 'x-kubernetes-list-type': 'atomic' },
  ),
  parentRefs: list(
    struct(
      {
        group: text(253, { default: 'gateway.example.io', pattern: '^$|^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' }),
        kind: text(63, { default: 'Gateway', minLength: 1 }),
        name: text(253, { minLength: 1 }),
        sectionName: text(253, { minLength: 1 }),
      },
      { required: ['name'] },
    ),
    {
      maxItems: 32,
      'x-kubernetes-list-type': 'atomic',
      ...rules([
        'sectionName must be unique when parentRefs includes 2 or more references to the same parent',
        "self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name && ((!has(p1.sectionName) || p1.sectionName == '') == (!has(p2.sectionName) || p2.sectionName == '')) && (!has(p1.sectionName) || p1.sectionName == p2.sectionName)))",
      ]),
    },
  ),
  rules: list(
    struct(
      {
        name: text(253),
        matches: list(
          struct({
            path: struct(
              {
                type: { type: 'string', enum: ['Exact', 'PathPrefix', 'RegularExpression'], default: 'PathPrefix' },
                value: text(1024, { default: '/' }),
              },
              {
                default: { type: 'PathPrefix', value: '/' },
                ...rules(
                  [
                    "value must be an absolute path and start with '/'",
                    "(self.type in ['Exact','PathPrefix']) ? self.value.startsWith('/') : true",
                  ],
                  [
                    "must not contain '//'",
                    "(self.type in ['Exact','PathPrefix']) ? !self.value.contains('//') : true",
                  ],
                ),
              },
            ),
            headers: listMap(
              struct({ name: text(256), value: text(4096) }, { required: ['name', 'value'] }),
              ['name'],
              {
                maxItems: 16,
              },
            ),
          }),
          { maxItems: 64, default: [{ path: { type: 'PathPrefix', value: '/' } }] },
        ),
        timeouts: struct(
          {
            request: { type: 'string', pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' },
            backendRequest: { type: 'string', pattern: '^([0-9]{1,5}(h|m|s|ms)){1,4}$' },
          },
          rules([
            'backendRequest timeout cannot be longer than request timeout',
            "!(has(self.request) && has(self.backendRequest) && duration(self.request) != duration('0s') && duration(self.backendRequest) > duration(self.request))",
          ]),
        ),
      },
      {},
    ),
    {
      maxItems: 16,
      default: [{ matches: [{ path: { type: 'PathPrefix', value: '/' } }] }],
      ...rules([
        'Rule name must be unique within the route',
        'self.all(l1, !has(l1.name) || self.exists_one(l2, has(l2.name) && l1.name == l2.name))',
      ]),
    },
  ),
});
const ROUTE_STATUS = struct({ conditions: CONDITIONS });
const ROUTE_DEFAULT = {
  conditions: [
    {
      type: 'Accepted',
      status: 'Unknown',
      reason: 'Pending',
      message: 'Waiting for controller',
      lastTransitionTime: '1970-01-01T00:00:00Z',
    },
  ],
};

/** As a monitor or a certificate: quantities, int-or-strings, atomic maps, secrets' keys, free parts, durations. */
const QUANTITY = {
  'x-kubernetes-int-or-string': true,
  anyOf: [{ type: 'integer' }, { type: 'string' }],
  pattern:
    '^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$',
};
const MONITOR_SPEC = struct(
  {
    replicas: { type: 'integer', format: 'int32' },
    interval: {
      type: 'string',
      pattern: '^(0|(([0-9]+)y)?(([0-9]+)w)?(([0-9]+)d)?(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?)$',
    },
    resources: struct({ limits: { type: 'object', additionalProperties: QUANTITY } }),
    selector: struct(
      {
        matchExpressions: list(
          struct(
            { key: { type: 'string' }, operator: { type: 'string' }, values: list({ type: 'string' }) },
            { required: ['key', 'operator'] },
          ),
          { 'x-kubernetes-list-type': 'atomic' },
        ),
        matchLabels: { type: 'object', additionalProperties: { type: 'string' } },
      },
      { 'x-kubernetes-map-type': 'atomic' },
    ),
    keystore: struct(
      {
        key: { type: 'string', default: '' },
        name: { type: 'string', default: '' },
        optional: { type: 'boolean' },
      },
      { required: ['key'], 'x-kubernetes-map-type': 'atomic' },
    ),
    config: { 'x-kubernetes-preserve-unknown-fields': true },
    template: struct({ metadata: { type: 'object' } }, { 'x-kubernetes-preserve-unknown-fields': true }),
    weight: { type: 'number', format: 'double', nullable: true },
    expiry: { type: 'string', format: 'date-time' },
    usages: list({ type: 'string', enum: ['signing', 'server auth'] }, { 'x-kubernetes-list-type': 'set' }),
  },
  { required: ['replicas'] },
);

function definition(o: { plural: string; kind: string; spec: Json; status: Json; isDefault?: Json }): Json {
  const group = 'known.example.io';
  const schema = struct(
    {
      apiVersion: { type: 'string', description: 'its version' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      spec: o.spec,
      status: o.isDefault === undefined ? o.status : { ...o.status, default: o.isDefault },
    },
    { required: ['spec'], description: 'in their manner' },
  );
  return {
    metadata: {
      name: `${o.plural}.${group}`,
      annotations: { 'controller-gen.kubebuilder.io/version': 'v0.17.0' },
      labels: { app: 'known' },
    },
    spec: {
      group,
      scope: 'Namespaced',
      names: {
        plural: o.plural,
        kind: o.kind,
        singular: o.kind.toLowerCase(),
        listKind: `${o.kind}List`,
        categories: ['known'],
      },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: schema },
          subresources: {
            status: {},
            scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
          },
          additionalPrinterColumns: [
            { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' },
            { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
          ],
        },
      ],
    },
    status: { acceptedNames: { kind: '', plural: '' }, conditions: [], storedVersions: [] },
  };
}

async function define(server: TestServer, wanted: Json): Promise<void> {
  const made = await server.client.create(
    Kinds.customresourcedefinitions,
    wanted as unknown as CustomResourceDefinition,
    c,
  );
  const key = { namespace: '', name: made.metadata.name };
  await eventually(async () => {
    const { status } = await server.client.get(Kinds.customresourcedefinitions, key, c);
    expect(isConditionTrue(status?.conditions, 'Established')).toBe(true);
  });
}

function kindOf(plural: string, kind: string): KindRef<Custom> {
  return { group: 'known.example.io', version: 'v1', kind, resource: plural, namespaced: true };
}

const meta = (name: string): { name: string; namespace: string } => ({ name, namespace: 'default' });

describe('definitions in the manner of well-known projects', () => {
  test('routes: keys and rules by default, a status that is there before anyone wrote it, rules over lists', async () => {
    await using server = await startTestServer();
    const { client } = server;
    await define(
      server,
      definition({ plural: 'routes', kind: 'Route', spec: ROUTE_SPEC, status: ROUTE_STATUS, isDefault: ROUTE_DEFAULT }),
    );
    const routes = kindOf('routes', 'Route');
    const made = await client.create(routes, { metadata: meta('a'), spec: { parentRefs: [{ name: 'gw' }] } }, c);
    expect(made.spec).toEqual({
      parentRefs: [{ group: 'gateway.example.io', kind: 'Gateway', name: 'gw' }],
      rules: [{ matches: [{ path: { type: 'PathPrefix', value: '/' } }] }],
    });
    expect(await client.get(routes, meta('a'), c)).toMatchObject({ status: ROUTE_DEFAULT });
    const bad = async (spec: Json): Promise<string> =>
      await client.create(routes, { metadata: meta('b'), spec }, c, { dryRun: true }).then(
        () => 'taken',
        (e) => String(e.message),
      );
    expect(await bad({ parentRefs: [{ name: 'x' }, { name: 'x' }] })).toContain('sectionName must be unique');
    expect(await bad({ rules: [{ matches: [{ path: { value: 'x' } }] }] })).toContain("start with '/'");
    expect(await bad({ rules: [{ timeouts: { request: '1s', backendRequest: '1m' } }] })).toContain('cannot be longer');
    expect(await bad({ rules: [{ timeouts: { request: '1m', backendRequest: '1s' } }] })).toBe('taken');
    expect(await bad({ hostnames: ['Not A Host'] })).toContain('spec.hostnames[0] in body should match');
    const status = {
      conditions: [{ ...ROUTE_DEFAULT.conditions[0], type: 'Programmed', status: 'True' }],
    };
    const apply = { apiVersion: 'known.example.io/v1', kind: 'Route', metadata: meta('a'), status };
    const applied = await client.patch(routes, meta('a'), { type: 'apply', body: apply }, c, {
      fieldManager: 'controller',
      subresource: 'status',
    });
    expect(applied.status).toMatchObject({ conditions: [{ type: 'Accepted' }, { type: 'Programmed' }] });
    expect(applied.metadata.generation).toBe(1);
  });

  test('monitors: quantities, free parts, formats, sets', async () => {
    await using server = await startTestServer();
    const { client } = server;
    const status = struct({ replicas: { type: 'integer', format: 'int32' }, conditions: CONDITIONS });
    await define(server, definition({ plural: 'monitors', kind: 'Monitor', spec: MONITOR_SPEC, status }));
    const monitors = kindOf('monitors', 'Monitor');
    const spec = {
      replicas: 2,
      interval: '1d12h',
      resources: { limits: { cpu: 2, memory: '1.5Gi' } },
      selector: { matchLabels: { a: 'b' } },
      keystore: { name: 'n' },
      config: { any: [1, { deep: null }], 'x-y': 'z' },
      template: { metadata: { labels: { a: 'b' } }, spec: { free: true } },
      weight: null,
      expiry: '2026-11-26T20:00:00.5Z',
      usages: ['signing'],
    };
    const made = await client.create(monitors, { metadata: meta('a'), spec }, c);
    // What is specified is pruned inside what is not.
    const template = { metadata: {}, spec: { free: true } };
    expect(made.spec).toEqual({ ...spec, template, keystore: { name: 'n', key: '' } });
    const bad = async (part: Json): Promise<string> =>
      await client.create(monitors, { metadata: meta('b'), spec: { replicas: 1, ...part } }, c, { dryRun: true }).then(
        () => 'taken',
        (e) => String(e.message),
      );
    expect(await bad({ replicas: 2 ** 31 })).toContain('spec.replicas');
    expect(await bad({ resources: { limits: { cpu: 'much' } } })).toContain('spec.resources.limits.cpu');
    expect(await bad({ resources: { limits: { cpu: true } } })).toContain('spec.resources.limits.cpu');
    expect(await bad({ expiry: 'tomorrow' })).toContain('spec.expiry in body must be of type date-time');
    expect(await bad({ usages: ['signing', 'signing'] })).toContain('spec.usages[1]: Duplicate value: "signing"');
    expect(await bad({ weight: 1e300, interval: '5m' })).toBe('taken');
    const scaled = await client.patch(monitors, meta('a'), { type: 'merge', body: { spec: { replicas: 7 } } }, c, {
      subresource: 'scale',
    });
    expect(scaled).toMatchObject({ kind: 'Scale', spec: { replicas: 7 }, status: { replicas: 0 } });
  });
});
