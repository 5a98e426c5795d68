import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type FlowSchema, Kinds } from '#lib/api';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';
import { danglingCondition, ensureFlowControl, keepConditions, planObjects } from './flow-control.ts';
import { AUTO_UPDATE, mandatorySchemas, suggestedSchemas } from './flow-control-objects.ts';

const SCHEMAS = Kinds.flowschemas;
const LEVELS = Kinds.prioritylevelconfigurations;
const LIMITED = { type: 'Limited', limited: { nominalConcurrencyShares: 5, limitResponse: { type: 'Reject' } } };
const key = (name: string): { namespace: string; name: string } => ({ namespace: '', name });

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

const versions = async (): Promise<string[]> =>
  [...(await server.client.list(SCHEMAS, {}, c)).items, ...(await server.client.list(LEVELS, {}, c)).items].map(
    (o) => `${o.metadata.name} ${o.metadata.resourceVersion}`,
  );

describe('the bootstrap objects', () => {
  test('are made at start, none dangles, and a second look changes nothing', async () => {
    await keepConditions(server.client, c);
    const { items } = await server.client.list(SCHEMAS, {}, c);
    expect(items.map((s) => s.metadata.name)).toContain('global-default');
    for (const s of items)
      expect(s.status?.conditions?.[0]).toMatchObject({ type: 'Dangling', status: 'False', reason: 'Found' });
    expect((await server.client.list(LEVELS, {}, c)).items).toHaveLength(8);
    const before = await versions();
    await ensureFlowControl(server.client, c);
    await keepConditions(server.client, c);
    expect(await versions()).toEqual(before);
  });

  test('mandatory ones come back as they were', async () => {
    await server.client.delete(SCHEMAS, key('exempt'), {}, c);
    const body = { spec: { limited: { nominalConcurrencyShares: 77 } } };
    await expect(server.client.patch(LEVELS, key('catch-all'), { type: 'merge', body }, c)).rejects.toThrow(
      'must equal the fixed value',
    );
    await server.client.delete(LEVELS, key('catch-all'), {}, c);
    await ensureFlowControl(server.client, c);
    expect(await server.client.get(SCHEMAS, key('exempt'), c)).toMatchObject({ spec: { matchingPrecedence: 1 } });
    expect((await server.client.get(LEVELS, key('catch-all'), c)).spec.limited?.nominalConcurrencyShares).toBe(5);
  });

  test('a suggested one that says it is not to be kept stays as the operator made it', async () => {
    const body = {
      metadata: { annotations: { [AUTO_UPDATE]: 'false' } },
      spec: { limited: { nominalConcurrencyShares: 77 } },
    };
    await server.client.patch(LEVELS, key('system'), { type: 'merge', body }, c);
    await server.client.patch(LEVELS, key('node-high'), { type: 'merge', body: { spec: body.spec } }, c);
    await ensureFlowControl(server.client, c);
    expect((await server.client.get(LEVELS, key('system'), c)).spec.limited?.nominalConcurrencyShares).toBe(77);
    expect((await server.client.get(LEVELS, key('node-high'), c)).spec.limited?.nominalConcurrencyShares).toBe(40);
  });

  test('Dangling says when the level of a schema is missing, and when it is back', async () => {
    const condition = async (): Promise<unknown> =>
      (await server.client.get(SCHEMAS, key('mine'), c)).status?.conditions?.[0];
    const spec = { matchingPrecedence: 5, priorityLevelConfiguration: { name: 'gone' } };
    await server.client.create(SCHEMAS, { metadata: { name: 'mine' }, spec }, c);
    await expect.poll(condition).toMatchObject({
      type: 'Dangling',
      status: 'True',
      reason: 'NotFound',
      message:
        'This FlowSchema references the PriorityLevelConfiguration object named "gone" but there is no such object',
    });
    await server.client.create(LEVELS, { metadata: { name: 'gone' }, spec: LIMITED }, c);
    await expect.poll(condition).toMatchObject({ status: 'False', reason: 'Found' });
    await server.client.delete(LEVELS, key('gone'), {}, c);
    await expect.poll(condition).toMatchObject({ status: 'True', reason: 'NotFound' });
  });
});

describe('planObjects', () => {
  const [wanted] = suggestedSchemas() as [FlowSchema];
  const present = (o: { generation: number; precedence: number; annotation?: string }): FlowSchema => ({
    ...wanted,
    metadata: {
      name: wanted.metadata.name,
      generation: o.generation,
      ...(o.annotation === undefined ? {} : { annotations: { [AUTO_UPDATE]: o.annotation } }),
    },
    spec: { ...wanted.spec, matchingPrecedence: o.precedence },
  });

  test('one without the annotation is taken over when nobody has changed it, else marked as the operator’s', () => {
    const untouched = planObjects([present({ generation: 1, precedence: 3 })], [wanted], 'suggested');
    expect(untouched).toMatchObject([{ patch: [{}, { value: { [AUTO_UPDATE]: 'true' } }, { value: wanted.spec }] }]);
    const changed = planObjects([present({ generation: 2, precedence: 3 })], [wanted], 'suggested');
    expect(changed).toMatchObject([
      { patch: [{}, { value: { [AUTO_UPDATE]: 'false' } }, { value: { matchingPrecedence: 3 } }] },
    ]);
    expect(
      planObjects([present({ generation: 2, precedence: 3, annotation: 'false' })], [wanted], 'suggested'),
    ).toEqual([]);
  });

  test('a condition that is right is left alone, and keeps its time while its status holds', () => {
    const [schema] = mandatorySchemas() as [FlowSchema];
    const first = danglingCondition(schema, new Set(), 0);
    expect(first).toMatchObject({ status: 'True', lastTransitionTime: '1970-01-01T00:00:00Z' });
    const stored = { ...schema, status: { conditions: first === undefined ? [] : [first] } };
    expect(danglingCondition(stored, new Set(), 9_000)).toBeUndefined();
    expect(danglingCondition(stored, new Set(['exempt']), 9_000)).toMatchObject({
      status: 'False',
      lastTransitionTime: '1970-01-01T00:00:09Z',
    });
  });
});
