import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type ClusterRole,
  type ClusterRoleBinding,
  Kinds,
  type PolicyRule,
  type Role,
  type RoleBinding,
} from '#lib/api';
import type { Client } from '#lib/client';
import { testContext as c, eventually, startTestServer, type TestServer } from '../../testing/server.ts';

const GROUP = 'rbac.authorization.k8s.io';
const PODS: PolicyRule = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };
const WRITE: PolicyRule = { verbs: ['*'], apiGroups: [GROUP], resources: ['*'] };
const user = { name: 'ann', groups: ['dev', 'system:authenticated'] };

let server: TestServer;
let ann: Client;

beforeEach(async () => {
  server = await startTestServer();
  ann = server.as(user);
  await grant('writer', [{ ...WRITE, verbs: ['get', 'create', 'update', 'patch', 'delete'] }]);
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

/** To ann, in the whole cluster; returns when it counts. */
async function grant(name: string, rules: PolicyRule[]): Promise<void> {
  const { client } = server;
  await client.create<ClusterRole>(Kinds.clusterroles, { metadata: { name }, rules }, c);
  const subjects = [{ kind: 'User', apiGroup: GROUP, name: 'ann' }];
  const roleRef = { apiGroup: GROUP, kind: 'ClusterRole', name };
  await client.create<ClusterRoleBinding>(Kinds.clusterrolebindings, { metadata: { name }, subjects, roleRef }, c);
  const [rule] = rules;
  const spec = {
    user: 'ann',
    groups: [...user.groups],
    resourceAttributes: {
      verb: rule?.verbs[0],
      group: rule?.apiGroups?.[0],
      resource: rule?.resources?.[0],
      name: rule?.resourceNames?.[0],
    },
  };
  await eventually(async () => {
    const kind = {
      group: 'authorization.k8s.io',
      version: 'v1',
      kind: 'SubjectAccessReview',
      resource: 'subjectaccessreviews',
      namespaced: false,
    };
    const review = await client.create(kind, { metadata: {}, spec } as never, c);
    expect(review).toMatchObject({ status: { allowed: true } });
  });
}

const makeRole = (rules: PolicyRule[], by = ann): Promise<unknown> =>
  by.create<Role>(Kinds.roles, { metadata: { name: 'r', namespace: 'default' }, rules }, c);
const bind = (kind: string, name: string, by = ann): Promise<unknown> =>
  by.create<RoleBinding>(
    Kinds.rolebindings,
    {
      metadata: { name: 'b', namespace: 'default' },
      subjects: [{ kind: 'User', apiGroup: GROUP, name: 'ann' }],
      roleRef: { apiGroup: GROUP, kind, name },
    },
    c,
  );

describe('roles (policybased/storage.go)', () => {
  test('what one does not hold cannot be granted; the refusal lists what is missing', async () => {
    await grant('get-pods', [{ ...PODS, verbs: ['get'] }]);
    await expect(makeRole([PODS, { ...PODS, resources: ['secrets'] }])).rejects.toMatchObject({
      kind: 'Forbidden',
      message:
        'roles.rbac.authorization.k8s.io "r" is forbidden: user "ann" (groups=["dev" "system:authenticated"]) is ' +
        'attempting to grant RBAC permissions not currently held:\n' +
        '{APIGroups:[""], Resources:["pods"], Verbs:["list"]}\n' +
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}',
    });
    await expect(makeRole([{ ...PODS, verbs: ['get'] }])).resolves.toBeDefined();
  });

  test('nor added by update or patch, unless only the garbage collector’s fields change', async () => {
    await makeRole([PODS], server.client);
    const key = { namespace: 'default', name: 'r' };
    const role = await ann.get<Role>(Kinds.roles, key, c);
    const worse = { ...role, rules: [{ ...PODS, verbs: ['*'] }] };
    await expect(ann.update<Role>(Kinds.roles, worse, c)).rejects.toThrow('not currently held');
    const merge = (body: unknown): Promise<unknown> => ann.patch(Kinds.roles, key, { type: 'merge', body }, c);
    await expect(merge({ rules: [{ ...PODS, verbs: ['*'] }] })).rejects.toThrow('{APIGroups:[""], Resources:["pods"]');
    await expect(merge({ metadata: { labels: { a: 'b' } } })).rejects.toThrow('not currently held');
    await expect(merge({ metadata: { finalizers: ['x.io/y'] } })).resolves.toBeDefined();
  });

  test('escalate allows it; system:masters need nothing', async () => {
    await grant('escalator', [{ verbs: ['escalate'], apiGroups: [GROUP], resources: ['roles'] }]);
    await expect(makeRole([PODS])).resolves.toBeDefined();
    const metadata = { name: 'cr' };
    await expect(ann.create<ClusterRole>(Kinds.clusterroles, { metadata, rules: [PODS] }, c)).rejects.toThrow(
      'not currently',
    );
    await expect(
      server.client.create<ClusterRole>(Kinds.clusterroles, { metadata, rules: [PODS] }, c),
    ).resolves.toBeDefined();
  });

  test('an aggregating role takes everything', async () => {
    const aggregationRule = { clusterRoleSelectors: [{ matchLabels: { a: 'b' } }] };
    const create = ann.create<ClusterRole>(
      Kinds.clusterroles,
      { metadata: { name: 'agg' }, rules: [], aggregationRule },
      c,
    );
    await expect(create).rejects.toThrow(
      'clusterroles.rbac.authorization.k8s.io "agg" is forbidden: must have cluster-admin privileges to use the aggregationRule: user "ann"',
    );
  });

  test('a role of a million grants is refused, not counted', async () => {
    const many = Array.from({ length: 1_000 }, (_, i) => `x${i}`);
    await expect(makeRole([{ verbs: many, apiGroups: [''], resources: many }])).rejects.toThrow(
      'the role has too many rules to be checked',
    );
  });
});

describe('bindings', () => {
  test('binding a role takes what it grants, or the verb bind on it', async () => {
    await makeRole([PODS], server.client);
    await expect(bind('Role', 'r')).rejects.toThrow(
      'rolebindings.rbac.authorization.k8s.io "b" is forbidden: user "ann" (groups=["dev" "system:authenticated"]) is attempting',
    );
    await expect(bind('Role', 'gone')).rejects.toMatchObject({
      kind: 'NotFound',
      message: 'roles.rbac.authorization.k8s.io "gone" not found',
    });
  });

  test('bind on one role is not bind on another', async () => {
    await server.client.create<ClusterRole>(Kinds.clusterroles, { metadata: { name: 'p' }, rules: [PODS] }, c);
    await grant('binder', [{ verbs: ['bind'], apiGroups: [GROUP], resources: ['clusterroles'], resourceNames: ['p'] }]);
    await expect(bind('ClusterRole', 'cluster-admin')).rejects.toThrow(
      '{APIGroups:["*"], Resources:["*"], Verbs:["*"]}',
    );
    await expect(bind('ClusterRole', 'p')).resolves.toBeDefined();
  });

  test('holding what it grants is enough', async () => {
    await makeRole([PODS], server.client);
    await grant('pods', [PODS]);
    await expect(bind('Role', 'r')).resolves.toBeDefined();
  });
});
