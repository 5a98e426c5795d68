import { expect, test } from 'vitest';
import { type ConfigMap, Kinds, type LimitRange } from '#lib/api';
import { testContext as c, startTestServer, type TestServer } from './testing/server.ts';

const NS = 'default';

async function allow(server: TestServer, name: string, resource: string, verbs: string[]): Promise<void> {
  const metadata = { name, namespace: NS };
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name };
  const subjects = [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name }];
  await server.client.create(
    Kinds.roles,
    { metadata, rules: [{ apiGroups: [''], resources: [resource], verbs }] } as never,
    c,
  );
  await server.client.create(Kinds.rolebindings, { metadata, roleRef, subjects } as never, c);
}

test('who may only patch or update does not create by it (create.go withAuthorization)', async () => {
  await using server = await startTestServer();
  await allow(server, 'ann', 'configmaps', ['patch', 'get']);
  await allow(server, 'bob', 'limitranges', ['update']);
  const ann = server.as({ name: 'ann', groups: ['system:authenticated'] });
  const bob = server.as({ name: 'bob', groups: ['system:authenticated'] });
  const body = { apiVersion: 'v1', kind: 'ConfigMap', data: { a: 'b' } };
  const apply = (): Promise<unknown> =>
    ann.patch<ConfigMap>(Kinds.configmaps, { namespace: NS, name: 'm' }, { type: 'apply', body }, c, {
      fieldManager: 'f',
    });
  await expect(apply()).rejects.toThrow(
    'configmaps "m" is forbidden: User "ann" cannot create resource "configmaps" in API group "" in the namespace "default"',
  );
  await server.client.create(Kinds.configmaps, { metadata: { name: 'm', namespace: NS } }, c);
  expect(await apply()).toMatchObject({ data: { a: 'b' } });
  const range = {
    metadata: { name: 'r', namespace: NS },
    spec: { limits: [{ type: 'Container', max: { cpu: '1' } }] },
  };
  await expect(bob.update<LimitRange>(Kinds.limitranges, range as never, c)).rejects.toThrow(
    'limitranges "r" is forbidden: User "bob" cannot create resource "limitranges"',
  );
  await server.client.update<LimitRange>(Kinds.limitranges, range as never, c);
  expect(await bob.update<LimitRange>(Kinds.limitranges, range as never, c)).toMatchObject({ metadata: { name: 'r' } });
});
