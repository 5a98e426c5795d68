import { describe, expect, test } from 'vitest';
import { type CustomResourceDefinition, isConditionTrue, type KindRef, Kinds, type KubeObject } from '#lib/api';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';

interface Widget extends KubeObject {
  spec?: { color?: string; size?: number; replicas?: number; parts?: { name: string; count?: number }[] };
  status?: { replicas?: number; phase?: string };
}

const WIDGETS: KindRef<Widget> = {
  group: 'example.com',
  version: 'v1',
  kind: 'Widget',
  resource: 'widgets',
  namespaced: true,
};
const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

const SCHEMA = {
  type: 'object',
  properties: {
    spec: {
      type: 'object',
      required: ['color'],
      'x-kubernetes-validations': [
        {
          rule: "self.color != 'green' || self.size < 10",
          messageExpression: "'too large for ' + self.color",
        },
      ],
      properties: {
        color: { type: 'string', enum: ['red', 'green'], pattern: '^[a-z]+$' },
        size: {
          type: 'integer',
          default: 3,
          minimum: 1,
          'x-kubernetes-validations': [{ rule: 'self >= oldSelf', message: 'must not shrink' }],
        },
        replicas: { type: 'integer' },
        parts: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
          items: {
            type: 'object',
            required: ['name'],
            properties: { name: { type: 'string' }, count: { type: 'integer' } },
          },
        },
      },
    },
    status: { type: 'object', properties: { replicas: { type: 'integer' }, phase: { type: 'string' } } },
  },
};

function definition(): Omit<CustomResourceDefinition, 'apiVersion' | 'kind'> {
  return {
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', kind: 'Widget', shortNames: ['wd'] },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: SCHEMA },
          subresources: {
            status: {},
            scale: { specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas' },
          },
          additionalPrinterColumns: [{ name: 'Color', type: 'string', jsonPath: '.spec.color' }],
          selectableFields: [{ jsonPath: '.spec.color' }],
        },
        { name: 'v1beta1', served: true, storage: false, schema: { openAPIV3Schema: SCHEMA } },
      ],
    },
  } as Omit<CustomResourceDefinition, 'apiVersion' | 'kind'>;
}

async function defined(server: TestServer): Promise<void> {
  await server.client.create(Kinds.customresourcedefinitions, definition(), c);
  await expect
    .poll(async () => {
      const crd = await server.client.get(
        Kinds.customresourcedefinitions,
        { namespace: '', name: 'widgets.example.com' },
        c,
      );
      return isConditionTrue(crd.status?.conditions, 'Established');
    })
    .toBe(true);
}

describe('custom resources', () => {
  test('created with defaults and without what the schema does not know; read, listed, selected, deleted', async () => {
    await using server = await startTestServer();
    await defined(server);
    const { client } = server;
    const spec: Record<string, unknown> = { color: 'red', unknown: 1 };
    const made = await client.create(WIDGETS, { metadata: { name: 'a', namespace: 'default' }, spec }, c);
    expect(made).toMatchObject({ apiVersion: 'example.com/v1', kind: 'Widget', metadata: { generation: 1 } });
    expect(made.spec).toEqual({ color: 'red', size: 3 });
    await client.create(WIDGETS, { metadata: { name: 'b', namespace: 'default' }, spec: { color: 'green' } }, c);
    const red = await client.list(WIDGETS, { fieldSelector: 'spec.color=red' }, c);
    expect(red.items.map((w) => w.metadata.name)).toEqual(['a']);
    await expect(
      client.create(WIDGETS, { metadata: { name: 'x', namespace: 'default' }, spec: { color: 'blue' } }, c),
    ).rejects.toThrow('spec.color: Unsupported value: "blue": supported values: "red", "green"');
    await client.delete(WIDGETS, key('a'), {}, c);
    await expect(client.get(WIDGETS, key('a'), c)).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test('rules in CEL: of values, of transitions; one that does not compile refuses the definition', async () => {
    await using server = await startTestServer();
    await defined(server);
    const { client } = server;
    const metadata = { name: 'a', namespace: 'default' };
    await expect(client.create(WIDGETS, { metadata, spec: { color: 'green', size: 12 } }, c)).rejects.toThrow(
      'too large for green',
    );
    await client.create(WIDGETS, { metadata, spec: { color: 'red', size: 12 } }, c);
    const patch = (size: number): Promise<unknown> =>
      client.patch(WIDGETS, key('a'), { type: 'merge', body: { spec: { size } } }, c);
    await expect(patch(11)).rejects.toThrow('spec.size: Invalid value: 11: must not shrink');
    await patch(13);
    const bad = definition();
    bad.metadata = { name: 'bads.example.com' };
    bad.spec.names = { plural: 'bads', kind: 'Bad' };
    const text = JSON.stringify(bad).replace('self >= oldSelf', 'self >= no.such');
    await expect(client.create(Kinds.customresourcedefinitions, JSON.parse(text), c)).rejects.toThrow(
      "undeclared reference to 'no'",
    );
  });

  test('status and scale are endpoints of their own', async () => {
    await using server = await startTestServer();
    await defined(server);
    const { client } = server;
    const spec = { color: 'red', replicas: 2 };
    const given = { metadata: { name: 'a', namespace: 'default' }, spec, status: { phase: 'no' } };
    const made = await client.create(WIDGETS, given, c);
    expect(made.status).toBeUndefined();
    const status = { replicas: 1, phase: 'Up' };
    const changed = { ...made, spec: { color: 'green' }, status } as Widget;
    const updated = await client.update(WIDGETS, changed, c, { subresource: 'status' });
    expect(updated).toMatchObject({ spec: { color: 'red' }, status, metadata: { generation: 1 } });
    const body = { spec: { replicas: 5 } };
    const scaled = await client.patch(WIDGETS, key('a'), { type: 'merge', body }, c, { subresource: 'scale' });
    expect(scaled).toMatchObject({ kind: 'Scale', spec: { replicas: 5 }, status: { replicas: 1 } });
    expect(await client.get(WIDGETS, key('a'), c)).toMatchObject({
      spec: { replicas: 5 },
      metadata: { generation: 2 },
    });
  });

  test('server-side apply merges lists by their keys; strategic merge is refused', async () => {
    await using server = await startTestServer();
    await defined(server);
    const { client } = server;
    const config = (count: number, name: string): object => ({
      apiVersion: 'example.com/v1',
      kind: 'Widget',
      metadata: { name: 'a', namespace: 'default' },
      spec: { color: 'red', parts: [{ name, count }] },
    });
    await client.patch(WIDGETS, key('a'), { type: 'apply', body: config(1, 'x') }, c, { fieldManager: 'one' });
    const both = await client.patch(WIDGETS, key('a'), { type: 'apply', body: config(2, 'y') }, c, {
      fieldManager: 'two',
    });
    expect(both.spec?.parts).toEqual([
      { name: 'x', count: 1 },
      { name: 'y', count: 2 },
    ]);
    await expect(
      client.patch(WIDGETS, key('a'), { type: 'strategic', body: { spec: { size: 4 } } }, c),
    ).rejects.toMatchObject({ kind: 'UnsupportedMediaType' });
  });

  test('another version is the same object; what was stored before a change of the schema is read by the new one', async () => {
    await using server = await startTestServer();
    await defined(server);
    const { client } = server;
    const beta = { ...WIDGETS, version: 'v1beta1' };
    await client.create(beta, { metadata: { name: 'a', namespace: 'default' }, spec: { color: 'red' } }, c);
    expect(await client.get(WIDGETS, key('a'), c)).toMatchObject({ apiVersion: 'example.com/v1' });
    expect(await client.get(beta, key('a'), c)).toMatchObject({ apiVersion: 'example.com/v1beta1' });
    const crd = await client.get(Kinds.customresourcedefinitions, { namespace: '', name: 'widgets.example.com' }, c);
    const next = structuredClone(crd) as CustomResourceDefinition;
    for (const v of next.spec.versions) {
      const schema = v.schema?.openAPIV3Schema as unknown as typeof SCHEMA & {
        properties: { spec: { properties: Record<string, unknown> } };
      };
      schema.properties.spec.properties['shape'] = { type: 'string', default: 'round' };
    }
    await client.update(Kinds.customresourcedefinitions, next, c);
    await expect.poll(async () => (await client.get(WIDGETS, key('a'), c)).spec).toMatchObject({ shape: 'round' });
    expect((await client.list(WIDGETS, { namespace: 'default' }, c)).items[0]?.spec).toMatchObject({ shape: 'round' });
  });

  test('objects are there after a restart; they go with their definition, which goes last', async () => {
    await using first = await startTestServer();
    await defined(first);
    await first.client.create(WIDGETS, { metadata: { name: 'a', namespace: 'default' }, spec: { color: 'red' } }, c);
    await using server = await startTestServer({ store: first.store });
    const { client } = server;
    expect(await client.get(WIDGETS, key('a'), c)).toMatchObject({ spec: { color: 'red' } });
    const name = { namespace: '', name: 'widgets.example.com' };
    await client.delete(Kinds.customresourcedefinitions, name, {}, c);
    await expect
      .poll(() =>
        client.get(Kinds.customresourcedefinitions, name, c).then(
          () => 'there',
          (e) => e.kind,
        ),
      )
      .toBe('NotFound');
    await expect.poll(() => client.list(WIDGETS, {}, c).catch((e) => e.kind)).toBe('NotFound');
    await defined(server);
    expect((await client.list(WIDGETS, {}, c)).items).toEqual([]);
  });

  test('names that another definition of the group has are not accepted, until they are free', async () => {
    await using server = await startTestServer();
    await defined(server);
    const other = definition();
    other.metadata = { name: 'gadgets.example.com' };
    other.spec.names = { plural: 'gadgets', kind: 'Gadget', shortNames: ['wd'] };
    await server.client.create(Kinds.customresourcedefinitions, other, c);
    const conditions = async (): Promise<unknown> =>
      (
        await server.client.get(Kinds.customresourcedefinitions, { namespace: '', name: 'gadgets.example.com' }, c)
      ).status?.conditions.map((x) => `${x.type}=${x.status} ${x.reason}`);
    await expect.poll(conditions).toEqual(['NamesAccepted=False ShortNamesConflict', 'Established=False NotAccepted']);
    await server.client.delete(Kinds.customresourcedefinitions, { namespace: '', name: 'widgets.example.com' }, {}, c);
    await expect.poll(conditions).toEqual(['NamesAccepted=True NoConflicts', 'Established=True InitialNamesAccepted']);
  });
});
