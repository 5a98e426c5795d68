import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Kinds, type KubeObject } from '#lib/api';
import { realClock, silentLogger } from '#lib/base';
import type { UserInfo } from '#lib/client';
import { MemoryStore } from '#lib/store';
import { cpuMs } from '../../../../lib/base/testing/cpu-time.ts';
import { encodeStored, storeKey } from '../../cache/cached.ts';
import { WatchCache } from '../../cache/watch-cache.ts';
import { KindRegistry } from '../../kind-registry.ts';
import { testContext as c } from '../../testing/server.ts';
import type { Attributes, Decision } from '../authorizer.ts';
import { RbacAuthorizer } from './rbac.ts';

const kinds = new KindRegistry();
let store: MemoryStore;
let cache: WatchCache;
let rbac: RbacAuthorizer;

beforeEach(async () => {
  store = new MemoryStore({ clock: realClock });
  cache = await WatchCache.open({ store, kinds, clock: realClock, log: silentLogger, freeze: true }, c);
  rbac = new RbacAuthorizer(cache);
});
afterEach(async () => {
  await cache[Symbol.asyncDispose]();
});

type Kind = 'ClusterRole' | 'Role' | 'ClusterRoleBinding' | 'RoleBinding';
const RESOURCES = {
  ClusterRole: Kinds.clusterroles,
  Role: Kinds.roles,
  ClusterRoleBinding: Kinds.clusterrolebindings,
  RoleBinding: Kinds.rolebindings,
};

function keyOf(kind: Kind, name: string, namespace: string): string {
  const info = kinds.of(RESOURCES[kind]);
  if (info === undefined) throw new Error(kind);
  return storeKey(info, { namespace, name });
}

async function put(kind: Kind, name: string, namespace: string, rest: object): Promise<void> {
  const metadata = { name, ...(namespace === '' ? {} : { namespace }) };
  const object: KubeObject = { apiVersion: 'rbac.authorization.k8s.io/v1', kind, metadata, ...rest };
  const key = keyOf(kind, name, namespace);
  const known = await store.get(key, c);
  if (known === undefined) await store.create(key, encodeStored(object), {}, c);
  else await store.update(key, encodeStored(object), known.revision, {}, c);
  await cache.consistent(c);
}

async function remove(kind: Kind, name: string, namespace: string): Promise<void> {
  const known = await store.get(keyOf(kind, name, namespace), c);
  if (known === undefined) throw new Error('not there');
  await store.delete(known.key, known.revision, {}, c);
  await cache.consistent(c);
}

const RULES = [{ verbs: ['get'], apiGroups: [''], resources: ['pods'] }];
const group = 'rbac.authorization.k8s.io';
const ref = (kind: string, name: string): object => ({ roleRef: { apiGroup: group, kind, name } });
const subject = (kind: string, name: string, namespace?: string): object => ({
  kind,
  name,
  ...(namespace === undefined ? {} : { namespace }),
});

function ask(user: string | UserInfo, namespace = 'ns'): Decision {
  const who = typeof user === 'string' ? { name: user, groups: [] } : user;
  const base = { group: '', version: 'v1', resource: 'pods', subresource: '', name: 'p' };
  const a: Attributes = { type: 'resource', user: who, verb: 'get', namespace, ...base };
  return rbac.authorize(a);
}

describe('RbacAuthorizer', () => {
  test('a cluster binding counts everywhere, and the reason says which', async () => {
    await put('ClusterRole', 'reader', '', { rules: RULES });
    await put('ClusterRoleBinding', 'b', '', { subjects: [subject('User', 'ann')], ...ref('ClusterRole', 'reader') });
    const reason = 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "reader" to User "ann"';
    expect(ask('ann')).toEqual({ isAllowed: true, reason });
    expect(ask('ann', '')).toEqual({ isAllowed: true, reason });
    expect(ask('bob')).toEqual({ isAllowed: false, reason: '' });
  });

  test('a binding of a namespace counts there only, and may name a ClusterRole', async () => {
    await put('ClusterRole', 'reader', '', { rules: RULES });
    await put('RoleBinding', 'b', 'ns', { subjects: [subject('Group', 'dev')], ...ref('ClusterRole', 'reader') });
    const ann = { name: 'ann', groups: ['dev'] };
    expect(ask(ann)).toEqual({
      isAllowed: true,
      reason: 'RBAC: allowed by RoleBinding "b/ns" of ClusterRole "reader" to Group "dev"',
    });
    expect(ask(ann, 'other').isAllowed).toBe(false);
    expect(ask(ann, '').isAllowed).toBe(false);
  });

  test('service accounts: of the binding’s namespace unless said; groups of them too', async () => {
    await put('Role', 'r', 'ns', { rules: RULES });
    await put('RoleBinding', 'own', 'ns', { subjects: [subject('ServiceAccount', 'a')], ...ref('Role', 'r') });
    expect(ask('system:serviceaccount:ns:a')).toEqual({
      isAllowed: true,
      reason: 'RBAC: allowed by RoleBinding "own/ns" of Role "r" to ServiceAccount "a/ns"',
    });
    expect(ask('system:serviceaccount:other:a').isAllowed).toBe(false);
    const of = [subject('ServiceAccount', 'a', 'other'), subject('Group', 'system:serviceaccounts:third')];
    await put('RoleBinding', 'more', 'ns', { subjects: of, ...ref('Role', 'r') });
    expect(ask('system:serviceaccount:other:a').isAllowed).toBe(true);
    const third = { name: 'system:serviceaccount:third:z', groups: ['system:serviceaccounts:third'] };
    expect(ask(third).isAllowed).toBe(true);
  });

  test('changes of bindings and roles count with the event that brings them', async () => {
    await put('Role', 'r', 'ns', { rules: RULES });
    await put('RoleBinding', 'b', 'ns', { subjects: [subject('User', 'ann')], ...ref('Role', 'r') });
    expect(ask('ann').isAllowed).toBe(true);
    await put('RoleBinding', 'b', 'ns', { subjects: [subject('User', 'bob')], ...ref('Role', 'r') });
    expect([ask('ann').isAllowed, ask('bob').isAllowed]).toEqual([false, true]);
    await put('Role', 'r', 'ns', { rules: [] });
    expect(ask('bob').isAllowed).toBe(false);
    await put('Role', 'r', 'ns', { rules: RULES });
    await remove('RoleBinding', 'b', 'ns');
    expect(ask('bob').isAllowed).toBe(false);
  });

  test('an index whose watcher was ended is built anew', async () => {
    await put('Role', 'r', 'ns', { rules: RULES });
    await put('RoleBinding', 'b', 'ns', { subjects: [subject('User', 'ann')], ...ref('Role', 'r') });
    expect(ask('ann').isAllowed).toBe(true);
    cache.endWatchers();
    await put('RoleBinding', 'b', 'ns', { subjects: [subject('User', 'bob')], ...ref('Role', 'r') });
    expect([ask('ann').isAllowed, ask('bob').isAllowed]).toEqual([false, true]);
  });

  test('a role that is missing is the reason of a refusal', async () => {
    await put('RoleBinding', 'b', 'ns', { subjects: [subject('User', 'ann')], ...ref('Role', 'gone') });
    await put('ClusterRoleBinding', 'b', '', { subjects: [subject('User', 'ann')], ...ref('ClusterRole', 'no') });
    expect(ask('ann').reason).toBe(
      'RBAC: [clusterrole.rbac.authorization.k8s.io "no" not found, role.rbac.authorization.k8s.io "gone" not found]',
    );
    expect(rbac.rulesFor({ name: 'ann', groups: [] }, 'ns').errors).toHaveLength(2);
  });

  test('rulesFor: every binding once, of this namespace and the cluster', async () => {
    await put('ClusterRole', 'c', '', { rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }] });
    await put('Role', 'r', 'ns', { rules: RULES });
    const both = [subject('User', 'ann'), subject('Group', 'dev')];
    await put('RoleBinding', 'b', 'ns', { subjects: both, ...ref('Role', 'r') });
    await put('ClusterRoleBinding', 'b', '', { subjects: both, ...ref('ClusterRole', 'c') });
    const ann = { name: 'ann', groups: ['dev'] };
    expect(rbac.rulesFor(ann, 'ns')).toEqual({
      rules: [{ verbs: ['get'], nonResourceURLs: ['/x'] }, ...RULES],
      isIncomplete: false,
      errors: [],
    });
    expect(rbac.rulesFor(ann, 'other').rules).toHaveLength(1);
  });

  test('a decision looks at the user’s bindings, not at all 5,000', async () => {
    await put('Role', 'r', 'ns', { rules: RULES });
    const some = Array.from({ length: 5_000 }, (_, i) => i);
    for (const i of some) {
      const metadata = { name: `b${i}`, namespace: 'ns' };
      const rest = { subjects: [subject('User', `u${i}`)], ...ref('Role', 'r') };
      const object = { apiVersion: `${group}/v1`, kind: 'RoleBinding', metadata, ...rest };
      await store.create(keyOf('RoleBinding', `b${i}`, 'ns'), encodeStored(object), {}, c);
    }
    await cache.consistent(c);
    expect(ask('u4999').isAllowed).toBe(true);
    const beganMs = cpuMs();
    for (const i of some) if (!ask(`u${i}`).isAllowed) throw new Error(`u${i}`);
    // 25 million comparisons without an index; a hundred times the time it takes.
    expect(cpuMs() - beganMs).toBeLessThan(1_000);
  });
});
