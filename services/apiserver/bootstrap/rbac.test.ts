import { describe, expect, test } from 'vitest';
import { type ClusterRole, type ClusterRoleBinding, Kinds, type KubeObject, type Role } from '#lib/api';
import { realClock } from '#lib/base';
import { MemoryStore } from '#lib/store';
import { testContext as c, startTestServer } from '../testing/server.ts';
import { ensureRbacDefaults } from './rbac.ts';
import { RBAC_DEFAULTS } from './rbac-defaults.ts';
import { newBinding, newRole, reconciledBinding, reconciledRole } from './rbac-reconcile.ts';

const key = (name: string): { namespace: string; name: string } => ({ namespace: '', name });
const AUTO_UPDATE = 'rbac.authorization.kubernetes.io/autoupdate';

describe('default roles (storage_rbac.go)', () => {
  test('all are there before the server is, with label and annotation', async () => {
    await using server = await startTestServer();
    const roles = await server.client.list<ClusterRole>(Kinds.clusterroles, {}, c);
    expect(roles.items.map((r) => r.metadata.name).sort()).toEqual(
      RBAC_DEFAULTS.clusterRoles.map((r) => r.name).sort(),
    );
    expect((await server.client.list(Kinds.clusterrolebindings, {}, c)).items).toHaveLength(
      RBAC_DEFAULTS.clusterRoleBindings.length,
    );
    expect((await server.client.list(Kinds.rolebindings, {}, c)).items).toHaveLength(RBAC_DEFAULTS.roleBindings.length);
    const reader = { namespace: 'kube-system', name: 'extension-apiserver-authentication-reader' };
    expect(await server.client.get<Role>(Kinds.roles, reader, c)).toMatchObject({
      metadata: {
        labels: { 'kubernetes.io/bootstrapping': 'rbac-defaults' },
        annotations: { [AUTO_UPDATE]: 'true' },
      },
      rules: [{ verbs: ['get', 'list', 'watch'], resourceNames: ['extension-apiserver-authentication'] }],
    });
    const view = await server.client.get<ClusterRole>(Kinds.clusterroles, key('view'), c);
    expect(view.metadata.labels?.['rbac.authorization.k8s.io/aggregate-to-edit']).toBe('true');
    expect(view.aggregationRule?.clusterRoleSelectors).toHaveLength(1);
  });

  test('the next start gives back what is missing, keeps what was added, and leaves alone what says so', async () => {
    const store = new MemoryStore({ clock: realClock });
    await using first = await startTestServer({ store });
    const { client } = first;
    const extra = { verbs: ['get'], apiGroups: ['x'], resources: ['y'] };
    const change = async (name: string, to: (r: ClusterRole) => Partial<ClusterRole>): Promise<void> => {
      const role = await client.get<ClusterRole>(Kinds.clusterroles, key(name), c);
      await client.update<ClusterRole>(Kinds.clusterroles, { ...role, ...to(role as ClusterRole) }, c);
    };
    await change('system:basic-user', () => ({ rules: [extra] }));
    await change('system:discovery', (r) => ({
      rules: [],
      metadata: { ...r.metadata, annotations: { [AUTO_UPDATE]: 'false' } },
    }));
    await client.delete(Kinds.clusterroles, key('system:monitoring'), {}, c);
    const binding = await client.get<ClusterRoleBinding>(Kinds.clusterrolebindings, key('system:discovery'), c);
    const own = { kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'ann' };
    await client.update<ClusterRoleBinding>(Kinds.clusterrolebindings, { ...binding, subjects: [own] }, c);

    await using second = await startTestServer({ store });
    const role = (name: string): Promise<unknown> => second.client.get(Kinds.clusterroles, key(name), c);
    const basic = RBAC_DEFAULTS.clusterRoles.find((r) => r.name === 'system:basic-user');
    expect(await role('system:basic-user')).toMatchObject({ rules: { length: 1 + 3, 0: extra } });
    expect(basic?.rules?.flatMap((r) => r.resources)).toHaveLength(3);
    expect(await role('system:discovery')).toMatchObject({ rules: [] });
    expect(await role('system:monitoring')).toBeDefined();
    const after = await second.client.get<ClusterRoleBinding>(Kinds.clusterrolebindings, key('system:discovery'), c);
    expect(after.subjects?.map((s) => s.name)).toEqual(['ann', 'system:authenticated']);
  });

  test('a start that finds everything writes nothing', async () => {
    await using server = await startTestServer();
    const versions = async (): Promise<string[]> => {
      const kinds = [Kinds.clusterroles, Kinds.roles, Kinds.clusterrolebindings, Kinds.rolebindings];
      const lists = await Promise.all(kinds.map((kind) => server.client.list<KubeObject>(kind, {}, c)));
      return lists.flatMap((l) => l.items.map((o) => `${o.metadata.name} ${o.metadata.resourceVersion}`));
    };
    const before = await versions();
    expect(before.length).toBeGreaterThan(100);
    await ensureRbacDefaults(server.client, c);
    expect(await versions()).toEqual(before);
  });

  test('several replicas at once', async () => {
    const store = new MemoryStore({ clock: realClock });
    const servers = await Promise.all([1, 2, 3].map(() => startTestServer({ store })));
    const roles = await servers[0]?.client.list(Kinds.clusterroles, {}, c);
    expect(roles?.items).toHaveLength(RBAC_DEFAULTS.clusterRoles.length);
    for (const s of servers) await s[Symbol.asyncDispose]();
  });

  test('a binding to another role is made anew, with the default’s own subjects', async () => {
    const store = new MemoryStore({ clock: realClock });
    await using first = await startTestServer({ store });
    const { client } = first;
    await client.delete(Kinds.clusterrolebindings, key('system:monitoring'), {}, c);
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' };
    const subjects = [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'mallory' }];
    const metadata = { name: 'system:monitoring' };
    await client.create<ClusterRoleBinding>(Kinds.clusterrolebindings, { metadata, roleRef, subjects }, c);
    await using second = await startTestServer({ store });
    const now = await second.client.get<ClusterRoleBinding>(Kinds.clusterrolebindings, key('system:monitoring'), c);
    expect(now.roleRef.name).toBe('system:monitoring');
    expect(now.subjects?.map((s) => s.name)).toEqual(['system:monitoring']);
  });
});

describe('reconciliation, pure', () => {
  const stored = (o: object): never => ({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'x', ...o }) as never;

  test('law: a new default needs no change', () => {
    for (const d of [...RBAC_DEFAULTS.clusterRoles, ...RBAC_DEFAULTS.roles])
      expect(reconciledRole(stored(newRole(d)), d), d.name).toBeUndefined();
    for (const d of [...RBAC_DEFAULTS.clusterRoleBindings, ...RBAC_DEFAULTS.roleBindings])
      expect(reconciledBinding(stored(newBinding(d)), d), d.name).toBeUndefined();
  });

  test('an aggregated role keeps what the controller filled in; a selector that is missing is added', () => {
    const selector = { matchLabels: { a: 'true' } };
    const d = { name: 'r', aggregationRule: { clusterRoleSelectors: [selector] } };
    const rules = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }];
    expect(reconciledRole(stored({ ...newRole(d), rules }), d)).toBeUndefined();
    const other = { matchLabels: { b: 'true' } };
    const changed = reconciledRole(stored({ ...newRole(d), aggregationRule: { clusterRoleSelectors: [other] } }), d);
    expect(changed?.aggregationRule).toEqual({ clusterRoleSelectors: [other, selector] });
    const plain = reconciledRole(stored(newRole(d)), { name: 'r', rules });
    expect(plain).not.toHaveProperty('aggregationRule');
    expect(plain?.rules).toEqual(rules);
  });
});
