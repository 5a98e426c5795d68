import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CustomResourceDefinition, Kinds } from '#lib/api';
import { testContext as c, eventually, startTestServer, type TestServer } from '../../testing/server.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

async function statusOf(name: string, group: string, resource: string, spec: object) {
  const resourceRules = [{ apiGroups: [group], apiVersions: ['v1'], resources: [resource], operations: ['CREATE'] }];
  const body = { metadata: { name }, spec: { matchConstraints: { resourceRules }, ...spec } };
  await server.client.create(Kinds.validatingadmissionpolicies, body as never, c);
  return await eventually(async () => {
    const { status } = await server.client.get(Kinds.validatingadmissionpolicies, { namespace: '', name }, c);
    if (status?.observedGeneration !== 1) throw new Error('not observed');
    return status;
  });
}

test('fields that the kinds do not have are warned about, with their expression', async () => {
  const status = await statusOf('typos', 'apps', 'deployments', {
    variables: [{ name: 'n', expression: 'object.spec.replicas' }],
    validations: [
      { expression: 'object.spec.replicas > 1' },
      { expression: 'object.spec.replicsa > 1', messageExpression: "'has ' + object.metadata.nam" },
      { expression: "variables.n == 'x'" },
      { expression: "object.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')" },
    ],
  });
  expect(status.typeChecking?.expressionWarnings?.map((w) => [w.fieldRef, w.warning.split('\n')[0]])).toEqual([
    ['spec.validations[1].expression', "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'replicsa'"],
    ['spec.validations[1].messageExpression', "apps/v1, Kind=Deployment: ERROR: <input>:1:25: undefined field 'nam'"],
    [
      'spec.validations[2].expression',
      "apps/v1, Kind=Deployment: ERROR: <input>:1:13: found no matching overload for '_==_' applied to '(int, string)'",
    ],
  ]);
});

test('nothing to warn about; wildcards are not looked at; params have their type', async () => {
  const fine = await statusOf('fine', '', 'pods', {
    validations: [{ expression: 'object.spec.containers.all(x, !has(x.resources.limits))' }],
  });
  expect(fine).toEqual({ observedGeneration: 1, typeChecking: {} });
  const any = await statusOf('any', '*', '*', { validations: [{ expression: 'object.nothing == 1' }] });
  expect(any.typeChecking).toEqual({});
  const params = await statusOf('params', '', 'pods', {
    paramKind: { apiVersion: 'v1', kind: 'ConfigMap' },
    validations: [{ expression: "params.dta.x == 'y'" }],
  });
  expect(params.typeChecking?.expressionWarnings?.[0]?.warning).toContain("undefined field 'dta'");
});

test('custom kinds are checked by their schema', async () => {
  const openAPIV3Schema = {
    type: 'object',
    properties: { spec: { type: 'object', properties: { size: { type: 'integer' } } } },
  };
  const definition = {
    metadata: { name: 'gauges.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'gauges', kind: 'Gauge', singular: 'gauge', listKind: 'GaugeList' },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema } }],
    },
  };
  await server.client.create(Kinds.customresourcedefinitions, definition as unknown as CustomResourceDefinition, c);
  await eventually(async () => {
    const crd = await server.client.get(
      Kinds.customresourcedefinitions,
      { namespace: '', name: 'gauges.example.com' },
      c,
    );
    if (crd.status?.conditions?.some((k) => k.type === 'Established' && k.status === 'True') !== true)
      throw new Error('not established');
  });
  const status = await statusOf('gauge', 'example.com', 'gauges', {
    validations: [{ expression: "object.metadata.labels.size() > 0 && object.spec.size == 'x'" }],
  });
  expect(status.typeChecking?.expressionWarnings?.[0]?.warning).toMatch(
    /^example\.com\/v1, Kind=Gauge: ERROR: .*found no matching overload for '_==_' applied to '\(int, string\)'/,
  );
});
