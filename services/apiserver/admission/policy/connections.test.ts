/** Policies and what is no object of the resource's own kind: options of connections, bodies of subresources. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KindRef, Kinds, type KubeObject, kindInfo } from '#lib/api';
import type { Api } from '../../api.ts';
import { testContext as c, startTestServer, type TestServer } from '../../testing/server.ts';
import { admitConnect } from '../requests.ts';
import { addMutating, addValidating, apply, jsonPatch, refusalOf } from './testing/policies.ts';

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const EXEC = {
  resourceRules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods/exec'], operations: ['CONNECT'] }],
};

async function connect(options: object): Promise<void> {
  const pods = kindInfo(Kinds.pods);
  const user = { name: 'admin', groups: ['system:masters'] };
  const target = { info: pods, stored: pods, subresource: 'exec', namespace: 'default', name: 'p', user };
  await admitConnect(
    (server.api.handler as Api).core,
    target as unknown as Parameters<typeof admitConnect>[1],
    { kind: 'PodExecOptions', options },
    c,
  );
}

describe('connections', () => {
  test('a policy sees the options, as the kind that they are', async () => {
    await addValidating(server, 'exec', {
      matchConstraints: EXEC,
      validations: [
        { expression: "request.kind.kind == 'PodExecOptions' && request.requestKind.kind == 'PodExecOptions'" },
        { expression: "object.command[0] != 'sh'", message: 'no shells' },
      ],
    });
    expect(await refusalOf(() => connect({ command: ['sh'] }))).toContain('no shells');
    await connect({ command: ['ls'] });
  });

  test('an object selector selects none of them, for they have no labels', async () => {
    await addValidating(server, 'labelled', {
      matchConstraints: { ...EXEC, objectSelector: { matchLabels: { a: 'b' } } },
      validations: [{ expression: 'false', message: 'labelled' }],
    });
    await addValidating(server, 'now', {
      matchConstraints: EXEC,
      validations: [{ expression: "object.command[0] != 'now'" }],
    });
    await refusalOf(() => connect({ command: ['now'] }));
    await connect({ command: ['ls'] });
  });

  test('a mutating policy may change them', async () => {
    const matchConstraints = EXEC;
    await addMutating(server, 'tty', {
      matchConstraints,
      mutations: [jsonPatch("[JSONPatch{op: 'add', path: '/container', value: 'c'}]")],
    });
    await addMutating(server, 'apply', { matchConstraints, mutations: [apply('Object{stdin: true}')] });
    await addValidating(server, 'seen', {
      matchConstraints,
      validations: [
        { expression: "object.command[0] != 'seen' || !(has(object.container) && object.stdin)", message: 'seen' },
      ],
    });
    expect(await refusalOf(() => connect({ command: ['seen'] }))).toContain('seen');
  });
});

describe('what was asked for', () => {
  const v1 = {
    group: 'autoscaling',
    version: 'v1',
    kind: 'HorizontalPodAutoscaler',
    resource: 'horizontalpodautoscalers',
  };
  const scalers = (version: string) => ({
    resourceRules: [
      { apiGroups: ['autoscaling'], apiVersions: [version], resources: [v1.resource], operations: ['CREATE'] },
    ],
  });
  const create = (kind: KindRef, name: string, o: { dryRun?: boolean } = {}) =>
    server.client.create(
      kind,
      {
        metadata: { name, namespace: 'default' },
        spec: { scaleTargetRef: { kind: 'Deployment', name: 'x', apiVersion: 'apps/v1' }, maxReplicas: 3 },
      } as unknown as KubeObject,
      c,
      { fieldManager: 'me', ...o },
    );
  const asV1 = { ...v1, namespaced: true };
  const asV2 = { ...asV1, version: 'v2' };

  test('Exact is about the version of the request, Equivalent about any; the request tells both', async () => {
    await addValidating(server, 'exact-v2', {
      matchConstraints: { ...scalers('v2'), matchPolicy: 'Exact' },
      validations: [{ expression: "!object.metadata.name.startsWith('e')", message: 'asked for v2' }],
    });
    expect(await refusalOf(() => create(asV2, 'e'))).toContain('asked for v2');
    await create(asV1, 'e');
    await addValidating(server, 'equivalent', {
      matchConstraints: scalers('v2'),
      validations: [
        {
          expression: "!object.metadata.name.startsWith('q')",
          messageExpression:
            "request.kind.version + ' of ' + request.requestKind.version + ' ' + request.requestResource.version + ' ' + object.apiVersion",
        },
      ],
    });
    expect(await refusalOf(() => create(asV1, 'q'))).toContain('v2 of v1 v1 autoscaling/v2');
  });

  test('options are those of the operation', async () => {
    await addValidating(server, 'options', {
      matchConstraints: scalers('*'),
      validations: [
        {
          expression: "!object.metadata.name.startsWith('o')",
          messageExpression:
            "request.options.kind + ' ' + request.options.fieldManager + (has(request.options.dryRun) ? ' dry' : '')",
        },
      ],
    });
    expect(await refusalOf(() => create(asV2, 'o'))).toContain('CreateOptions me');
    expect(await refusalOf(() => create(asV2, 'o', { dryRun: true }))).toContain('CreateOptions me dry');
  });
});
