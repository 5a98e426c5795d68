import { afterAll, beforeAll, expect, test } from 'vitest';
import { type KindInfo, Kinds, type KubeObject, kindByResource, kindInfo } from '#lib/api';
import type { DeleteOptions } from '#lib/client';
import { testContext as c, eventually, startTestServer, type TestServer } from '../../testing/server.ts';
import { addMutating, addValidating, apply, refusalOf } from './testing/policies.ts';

let server: TestServer;
let count = 0;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

function autoscaler(version: 'v1' | 'v2'): KindInfo {
  const kind = kindByResource('autoscaling', version, 'horizontalpodautoscalers');
  if (kind === undefined) throw new Error(`no autoscaling/${version}`);
  return kind;
}

const scaleTargetRef = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'web' };
const draft = (of: string, spec: object = {}): KubeObject =>
  ({
    metadata: { name: `h${++count}`, namespace: 'default', labels: { of } },
    spec: { scaleTargetRef, maxReplicas: 5, ...spec },
  }) as unknown as KubeObject;

const seeing = (of: string) => ({ matchResources: { objectSelector: { matchLabels: { of } } } });
const rules = (apiVersions: string[], o: object = {}) => ({
  resourceRules: [
    { apiGroups: ['autoscaling'], apiVersions, resources: ['horizontalpodautoscalers'], operations: ['*'] },
  ],
  ...o,
});

/** What a policy that matches anything sees of the request: its refusal says it. */
async function seen(name: string, matchConstraints: object, create: () => Promise<unknown>): Promise<string> {
  const messageExpression =
    "request.kind.version + ' ' + request.resource.version + ' asked ' + request.requestKind.version + ' ' + " +
    "request.requestResource.version + ' object ' + object.apiVersion + ' ' + request.options.kind + ' ' + request.options.fieldManager";
  const validations = [{ expression: 'false', messageExpression }];
  await addValidating(server, name, { matchConstraints, validations }, seeing(name));
  const refusal = await refusalOf(create);
  return /denied request: (.*)$/.exec(refusal)?.[1] ?? refusal;
}

test('a policy sees the version that was asked for, and the options of the request', async () => {
  const create = (version: 'v1' | 'v2', name: string) => () =>
    server.client.create(autoscaler(version), draft(name), c, { fieldManager: 'me' });
  expect(await seen('a', rules(['*']), create('v1', 'a'))).toBe(
    'v1 v1 asked v1 v1 object autoscaling/v1 CreateOptions me',
  );
  expect(await seen('b', rules(['v2']), create('v1', 'b'))).toBe(
    'v2 v2 asked v1 v1 object autoscaling/v2 CreateOptions me',
  );
  expect(await seen('d', rules(['v1']), create('v2', 'd'))).toBe(
    'v1 v1 asked v2 v2 object autoscaling/v1 CreateOptions me',
  );
});

test('matchPolicy Exact: by the version that was asked for', async () => {
  const exact = rules(['v1'], { matchPolicy: 'Exact' });
  const validations = [{ expression: 'false' }];
  await addValidating(server, 'exact', { matchConstraints: exact, validations }, seeing('exact'));
  await refusalOf(() => server.client.create(autoscaler('v1'), draft('exact'), c));
  await expect(server.client.create(autoscaler('v2'), draft('exact'), c)).resolves.toBeDefined();
});

test('a mutation is of the version that was asked for, and what is kept has it', async () => {
  const mutations = [apply('Object{spec: Object.spec{targetCPUUtilizationPercentage: 70}}')];
  await addMutating(server, 'mut', { matchConstraints: rules(['v1']), mutations }, seeing('mut'));
  await eventually(async () => {
    const made = await server.client.create(autoscaler('v1'), draft('mut'), c);
    expect(made).toMatchObject({ apiVersion: 'autoscaling/v1', spec: { targetCPUUtilizationPercentage: 70 } });
    const key = { namespace: 'default', name: made.metadata.name };
    const metrics = [{ resource: { name: 'cpu', target: { averageUtilization: 70 } } }];
    expect(await server.client.get(autoscaler('v2'), key, c)).toMatchObject({ spec: { maxReplicas: 5, metrics } });
  });
});

test('options of a delete are seen with its preconditions and propagation', async () => {
  const matchConstraints = {
    resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'], operations: ['DELETE'] }],
  };
  const expression = "request.options.kind == 'DeleteOptions' && request.options.propagationPolicy == 'Orphan'";
  await addValidating(server, 'del', { matchConstraints, validations: [{ expression }] }, seeing('del'));
  const metadata = { name: 'kept', namespace: 'default', labels: { of: 'del' } };
  await server.client.create(Kinds.configmaps, { metadata }, c);
  const remove = (o: DeleteOptions) => server.client.delete(kindInfo(Kinds.configmaps), metadata, o, c);
  const refused = await refusalOf(() => remove({ propagationPolicy: 'Background', dryRun: true }));
  expect(refused).toContain('failed expression');
  await expect(remove({ propagationPolicy: 'Orphan' })).resolves.toBeUndefined();
});
