import { afterEach, beforeEach, expect, test } from 'vitest';
import { type KindInfo, type KubeObject, kindByResource } from '#lib/api';
import { testContext as c, startTestServer, type TestServer } from './testing/server.ts';

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

function kind(group: string, version: string, resource: string): KindInfo {
  const found = kindByResource(group, version, resource);
  if (found === undefined) throw new Error(`no ${group}/${version} ${resource}`);
  return found;
}

const key = (name: string): { namespace: string; name: string } => ({ namespace: 'default', name });

test('events: written as events.k8s.io, read as core events, and back', async () => {
  const core = kind('', 'v1', 'events');
  const modern = kind('events.k8s.io', 'v1', 'events');
  const event = {
    metadata: key('e'),
    eventTime: '2026-11-23T09:00:00.000000Z',
    regarding: { kind: 'Pod', namespace: 'default', name: 'p' },
    note: 'hello',
    reason: 'Started',
    action: 'Start',
    type: 'Normal',
    reportingController: 'berth.io/agent',
    reportingInstance: 'n1',
  };
  const made = await server.client.create(modern, event as unknown as KubeObject, c);
  expect(made).toMatchObject({ apiVersion: 'events.k8s.io/v1', note: 'hello', regarding: { name: 'p' } });
  const seen = await server.client.get(core, key('e'), c);
  expect(seen).toMatchObject({
    apiVersion: 'v1',
    message: 'hello',
    involvedObject: { name: 'p' },
    reportingComponent: 'berth.io/agent',
  });
  expect(seen).not.toHaveProperty('note');
  const body = { note: 'again' };
  await server.client.patch(modern, key('e'), { type: 'merge', body }, c);
  expect(await server.client.get(core, key('e'), c)).toMatchObject({ message: 'again' });
  const list = await server.client.list(modern, { fieldSelector: 'regarding.name=p' }, c);
  expect(list.items).toMatchObject([{ apiVersion: 'events.k8s.io/v1', note: 'again' }]);
  for await (const e of server.client.watch(modern, {}, c)) {
    expect(e).toMatchObject({ type: 'ADDED', object: { note: 'again' } });
    break;
  }
});

test('autoscalers: v1 keeps what it cannot say when it writes back', async () => {
  const v1 = kind('autoscaling', 'v1', 'horizontalpodautoscalers');
  const v2 = kind('autoscaling', 'v2', 'horizontalpodautoscalers');
  const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
  const old = { metadata: key('h'), spec: { scaleTargetRef, maxReplicas: 5, targetCPUUtilizationPercentage: 70 } };
  await server.client.create(v1, old as unknown as KubeObject, c);
  const cpu = { type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 70 } } };
  expect(await server.client.get(v2, key('h'), c)).toMatchObject({ spec: { maxReplicas: 5, metrics: [cpu] } });
  const memory = {
    type: 'Resource',
    resource: { name: 'memory', target: { type: 'AverageValue', averageValue: '1Gi' } },
  };
  await server.client.patch(v2, key('h'), { type: 'merge', body: { spec: { metrics: [cpu, memory] } } }, c);
  const seen = await server.client.get(v1, key('h'), c);
  expect(seen).toMatchObject({ spec: { targetCPUUtilizationPercentage: 70 } });
  await server.client.update(
    v1,
    { ...seen, spec: { scaleTargetRef, maxReplicas: 9, targetCPUUtilizationPercentage: 50 } } as KubeObject,
    c,
  );
  const end = await server.client.get(v2, key('h'), c);
  expect(end).toMatchObject({
    spec: { maxReplicas: 9, metrics: [{ resource: { target: { averageUtilization: 50 } } }, memory] },
  });
  expect(end.metadata.annotations).toBeUndefined();
});
