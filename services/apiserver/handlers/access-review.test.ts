import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type KindRef, Kinds, type KubeObject, kindByResource, type RoleBinding } from '#lib/api';
import type { Client, UserInfo } from '#lib/client';
import { testContext as c, eventually, startTestServer, type TestServer } from '../testing/server.ts';

const GROUP = 'rbac.authorization.k8s.io';
const ann: UserInfo = { name: 'ann', groups: ['dev', 'system:authenticated'] };
let server: TestServer;

beforeEach(async () => {
  server = await startTestServer();
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

async function ask(
  resource: string,
  spec: object,
  by: Client = server.client,
  metadata: object = {},
): Promise<unknown> {
  const kind: KindRef | undefined = kindByResource('authorization.k8s.io', 'v1', resource);
  if (kind === undefined) throw new Error(resource);
  return await by.create(kind, { metadata, spec } as unknown as Omit<KubeObject, 'apiVersion' | 'kind'>, c);
}

async function bindEdit(): Promise<void> {
  const edit = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };
  const { client } = server;
  await client.create(Kinds.roles, { metadata: { name: 'pods', namespace: 'default' }, rules: [edit] } as never, c);
  await client.create<RoleBinding>(
    Kinds.rolebindings,
    {
      metadata: { name: 'pods', namespace: 'default' },
      subjects: [{ kind: 'Group', apiGroup: GROUP, name: 'dev' }],
      roleRef: { apiGroup: GROUP, kind: 'Role', name: 'pods' },
    },
    c,
  );
}

const pods = (namespace: string): object => ({ verb: 'list', resource: 'pods', namespace });

describe('access reviews (pkg/registry/authorization)', () => {
  test('about a named user and about oneself, with the reason', async () => {
    await bindEdit();
    const allowed = {
      status: { allowed: true, reason: 'RBAC: allowed by RoleBinding "pods/default" of Role "pods" to Group "dev"' },
    };
    await eventually(async () => {
      const resourceAttributes = pods('default');
      expect(await ask('subjectaccessreviews', { user: 'x', groups: ['dev'], resourceAttributes })).toMatchObject(
        allowed,
      );
    });
    const asAnn = server.as(ann);
    expect(await ask('selfsubjectaccessreviews', { resourceAttributes: pods('default') }, asAnn)).toMatchObject(
      allowed,
    );
    expect(await ask('selfsubjectaccessreviews', { resourceAttributes: pods('kube-system') }, asAnn)).toMatchObject({
      status: { allowed: false },
    });
    const path = { nonResourceAttributes: { verb: 'get', path: '/version' } };
    expect(await ask('selfsubjectaccessreviews', path, asAnn)).toMatchObject({ status: { allowed: true } });
    await expect(ask('subjectaccessreviews', { user: 'x', ...path }, asAnn)).rejects.toMatchObject({
      kind: 'Forbidden',
    });
  });

  test('a local review is of its own namespace', async () => {
    const spec = { user: 'x', resourceAttributes: pods('default') };
    const local = (namespace: string, s: object): Promise<unknown> =>
      ask('localsubjectaccessreviews', s, server.client, { namespace });
    expect(await local('default', spec)).toMatchObject({ status: { allowed: false } });
    await expect(local('kube-system', spec)).rejects.toThrow(
      'spec.resourceAttributes.namespace: Invalid value: "default": must match metadata.namespace',
    );
    await expect(local('default', { user: 'x', nonResourceAttributes: { verb: 'get', path: '/' } })).rejects.toThrow(
      'disallowed on this kind of request',
    );
  });

  const at = 'spec.resourceAttributes.fieldSelector';
  const field = (fieldSelector: object): object => ({ user: 'u', resourceAttributes: { ...pods('a'), fieldSelector } });
  const both = { resourceAttributes: {}, nonResourceAttributes: { path: '/' }, user: 'u' };
  const bad: [string, object, string][] = [
    ['nothing', { user: 'u' }, 'exactly one of nonResourceAttributes or resourceAttributes must be specified'],
    ['both', both, 'spec.nonResourceAttributes: Invalid value: {"path":"/"}: cannot be specified in combination with'],
    [
      'nobody',
      { resourceAttributes: {} },
      'spec.user: Invalid value: "": at least one of user or group must be specified',
    ],
    ['an empty selector', field({}), `${at}.requirements: Required value: when ${at} is specified, requirements or`],
    [
      'two selectors',
      field({ rawSelector: 'a=b', requirements: [{ key: 'a', operator: 'Exists' }] }),
      `${at}.rawSelector: Invalid value: "a=b": may not specified at the same time as requirements`,
    ],
    ['no key', field({ requirements: [{ key: '', operator: 'Exists' }] }), `${at}.requirements[0].key: Required value`],
    [
      'no values',
      field({ requirements: [{ key: 'a', operator: 'In' }] }),
      `${at}.requirements[0].values: Required value: must be specified when \`operator\` is 'In' or 'NotIn'`,
    ],
  ];
  test.each(bad)('refused: %s', async (_, spec, message) => {
    const answer = ask('subjectaccessreviews', spec);
    await expect(answer).rejects.toMatchObject({ kind: 'Invalid' });
    await expect(answer).rejects.toThrow(message);
  });

  test('refused: metadata', async () => {
    const spec = { user: 'u', resourceAttributes: {} };
    await expect(ask('subjectaccessreviews', spec, server.client, { name: 'x' })).rejects.toThrow('must be empty');
  });

  test('an operator of later versions and a selector in text are let through', async () => {
    for (const selector of [{ requirements: [{ key: 'a', operator: 'Later', values: ['b'] }] }, { rawSelector: '=,=' }])
      expect(await ask('subjectaccessreviews', field(selector))).toMatchObject({ status: { allowed: false } });
  });
});

describe('SelfSubjectRulesReview', () => {
  test('one’s rules in a namespace, those of the cluster too', async () => {
    await bindEdit();
    const asAnn = server.as(ann);
    await eventually(async () => {
      const review = await ask('selfsubjectrulesreviews', { namespace: 'default' }, asAnn);
      expect(review).toMatchObject({ status: { incomplete: false } });
      const { status } = review as { status: { resourceRules: unknown[]; nonResourceRules: unknown[] } };
      expect(status.resourceRules).toContainEqual({ verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] });
      expect(status.resourceRules).toContainEqual({
        verbs: ['create'],
        apiGroups: ['authentication.k8s.io'],
        resources: ['selfsubjectreviews'],
      });
      expect(JSON.stringify(status.nonResourceRules)).toContain('/openapi/*');
    });
    await expect(ask('selfsubjectrulesreviews', {}, asAnn)).rejects.toMatchObject({
      kind: 'BadRequest',
      message: 'no namespace on request',
    });
  });

  test('a superuser’s are all', async () => {
    expect(await ask('selfsubjectrulesreviews', { namespace: 'default' })).toMatchObject({
      status: { resourceRules: { 0: { verbs: ['*'], apiGroups: ['*'], resources: ['*'] } } },
    });
  });
});

describe('a list of one name', () => {
  test('is authorized as of that name, in process and over https (requestinfo.go)', async () => {
    await using listening = await startTestServer({ listen: true, store: server.store });
    const http = await listening.http({ commonName: 'ann', organizations: ['dev'] });
    const { client } = server;
    const rules = [{ verbs: ['list', 'watch'], apiGroups: [''], resources: ['secrets'], resourceNames: ['mine'] }];
    const key = { name: 'one', namespace: 'default' };
    await client.create(Kinds.roles, { metadata: key, rules } as never, c);
    const roleRef = { apiGroup: GROUP, kind: 'Role', name: 'one' };
    const subjects = [{ kind: 'User', apiGroup: GROUP, name: 'ann' }];
    await client.create<RoleBinding>(Kinds.rolebindings, { metadata: key, roleRef, subjects }, c);
    const asAnn = server.as(ann);
    const list = (fieldSelector: string): Promise<unknown> =>
      asAnn.list(Kinds.secrets, { namespace: 'default', fieldSelector }, c);
    await eventually(async () => expect(await list('metadata.name=mine')).toMatchObject({ items: [] }));
    for (const other of ['', 'metadata.name=other', 'metadata.name!=mine', '===', 'type=x'])
      await expect(list(other)).rejects.toMatchObject({ kind: 'Forbidden' });
    const overHttp = (fieldSelector: string): Promise<unknown> =>
      http.list(Kinds.secrets, { namespace: 'default', fieldSelector }, c);
    await eventually(async () => expect(await overHttp('metadata.name=mine')).toMatchObject({ items: [] }));
    await expect(overHttp('metadata.name=other')).rejects.toMatchObject({ kind: 'Forbidden' });
  });
});
