import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  type ClusterRole,
  type ClusterRoleBinding,
  type KindRef,
  Kinds,
  type KubeObject,
  type ValidatingAdmissionPolicyBinding,
} from '#lib/api';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer, type TestServer } from '../../testing/server.ts';
import { CONFIG_MAPS } from './testing/policies.ts';

let server: TestServer;
/** May write policies and bindings, read ConfigMaps everywhere, and one Secret. */
let author: Client;
beforeAll(async () => {
  server = await startTestServer();
  const rules = [
    { apiGroups: ['admissionregistration.k8s.io'], resources: ['*'], verbs: ['*'] },
    { apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] },
    { apiGroups: [''], resources: ['secrets'], resourceNames: ['open'], verbs: ['get'] },
  ];
  const role = { metadata: { name: 'author' }, rules };
  await server.client.create<ClusterRole>(Kinds.clusterroles, role as never, c);
  const binding = {
    metadata: { name: 'author' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'author' },
    subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'author' }],
  };
  await server.client.create<ClusterRoleBinding>(Kinds.clusterrolebindings, binding as never, c);
  author = server.as({ name: 'author', groups: ['system:authenticated'] });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const KINDS = [
  ['validating', Kinds.validatingadmissionpolicies, Kinds.validatingadmissionpolicybindings],
  ['mutating', Kinds.mutatingadmissionpolicies, Kinds.mutatingadmissionpolicybindings],
] as const;
const secrets = { apiVersion: 'v1', kind: 'Secret' };

describe.each(KINDS)('%s policies', (type, policies, bindings) => {
  const policyKind = policies as KindRef;
  const bindingKind = bindings as KindRef;
  const create = (client: Client, kind: KindRef, name: string, spec: object) =>
    client.create(kind, { metadata: { name }, spec } as unknown as KubeObject, c);
  const policy = (o: object) => ({
    matchConstraints: CONFIG_MAPS,
    ...(type === 'validating'
      ? { validations: [{ expression: 'true' }] }
      : {
          reinvocationPolicy: 'Never',
          mutations: [{ patchType: 'JSONPatch', jsonPatch: { expression: '[JSONPatch{op: "test", path: "/a"}]' } }],
        }),
    ...o,
  });
  const bound = (policyName: string, paramRef: object) => ({
    policyName,
    paramRef: { parameterNotFoundAction: 'Allow', ...paramRef },
    ...(type === 'validating' ? { validationActions: ['Deny'] } : {}),
  });

  test('a paramKind is for those who may get all of its objects', async () => {
    await expect(create(author, policyKind, 'a', policy({ paramKind: secrets }))).rejects.toMatchObject({
      kind: 'Invalid',
      message: expect.stringMatching(
        /^(Validating|Mutating)AdmissionPolicy.admissionregistration.k8s.io "a" is invalid: spec.paramKind: Forbidden: user author must have "get" permission on all objects of the referenced paramKind \(kind=Secret, apiVersion=v1\)$/,
      ),
    });
    await create(author, policyKind, 'maps', policy({ paramKind: { apiVersion: 'v1', kind: 'ConfigMap' } }));
    await expect(
      create(author, policyKind, 'b', policy({ paramKind: { apiVersion: 'example.com/v1', kind: 'Unknown' } })),
    ).rejects.toThrow('spec.paramKind: Forbidden');
    await create(author, policyKind, 'plain', policy({}));
    const body = { spec: { paramKind: secrets } };
    const key = { namespace: '', name: 'plain' };
    await expect(author.patch(policyKind, key, { type: 'merge', body }, c)).rejects.toThrow(
      'spec.paramKind: Forbidden',
    );
  });

  test('what others wrote may be kept while other fields change', async () => {
    await create(server.client, policyKind, 'secrets', policy({ paramKind: secrets }));
    const key = { namespace: '', name: 'secrets' };
    const body = { metadata: { labels: { a: 'b' } }, spec: { failurePolicy: 'Ignore' } };
    await author.patch(policyKind, key, { type: 'merge', body }, c);
  });

  test('a paramRef is for those who may read what it names', async () => {
    const at = { name: 'open', namespace: 'default' };
    await create(author, bindingKind, 'open', bound('secrets', at));
    const refused = (name: string, spec: object) => expect(create(author, bindingKind, name, spec)).rejects;
    await refused('x', bound('secrets', { ...at, name: 'other' })).toThrow(
      'spec.paramRef: Forbidden: user author does not have "get" permission on the object referenced by paramRef',
    );
    await refused('x', bound('secrets', { selector: {} })).toThrow('does not have "list" permission');
    await refused('x', bound('nobody', at)).toThrow(
      'unable to get policy nobody to determine minimum required permissions and user author does not have "get" permission for all groups, versions and resources',
    );
    await create(author, bindingKind, 'all', bound('maps', { selector: {} }));
    const kind = bindingKind as KindRef<ValidatingAdmissionPolicyBinding>;
    const body = { spec: { policyName: 'secrets' } };
    await expect(author.patch(kind, { namespace: '', name: 'all' }, { type: 'merge', body }, c)).rejects.toThrow(
      'does not have "list" permission',
    );
    const labels = { metadata: { labels: { a: 'b' } } };
    await author.patch(kind, { namespace: '', name: 'open' }, { type: 'merge', body: labels }, c);
    await create(server.client, bindingKind, 'x', bound('nobody', at));
  });
});
