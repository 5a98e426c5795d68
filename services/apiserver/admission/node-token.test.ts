/** What a node may ask of `serviceaccounts/NAME/token`, through authorizer and admission of a whole server. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CSIDriver, Kinds, type Pod, type PodSpec, type ServiceAccount, type TokenRequest } from '#lib/api';
import type { Client } from '#lib/client';
import { testContext as c, startTestServer, type TestServer } from '../testing/server.ts';

let server: TestServer;
let n1: Client;

beforeEach(async () => {
  server = await startTestServer();
  n1 = server.as({ name: 'system:node:n1', groups: ['system:nodes', 'system:authenticated'] });
  const metadata = { name: 'other', namespace: 'default' };
  await server.client.create<ServiceAccount>(Kinds.serviceaccounts, { metadata }, c);
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

async function pod(name: string, nodeName: string, spec: Partial<PodSpec> = {}): Promise<Pod> {
  const containers = [{ name: 'a', image: 'i' }];
  const made = { metadata: { name, namespace: 'default' }, spec: { containers, nodeName, ...spec } };
  return (await server.client.create<Pod>(Kinds.pods, made, c)) as Pod;
}

async function ask(
  to: Pod,
  o: { audiences?: string[]; account?: string; ref?: object; as?: Client } = {},
): Promise<TokenRequest> {
  const { name, uid } = to.metadata;
  const boundObjectRef = { apiVersion: 'v1', kind: 'Pod', name, uid, ...o.ref };
  const spec = { audiences: o.audiences ?? [], boundObjectRef };
  const key = { namespace: 'default', name: o.account ?? 'default' };
  return (await (o.as ?? n1).createSub(Kinds.serviceaccounts, key, 'token', { spec }, c)) as TokenRequest;
}

describe('a token that a node asks for', () => {
  test('is given for a pod that runs there, to be used at this API server', async () => {
    const answer = await ask(await pod('mine', 'n1'));
    expect(answer.status?.token).toMatch(/^ey/);
    expect(answer.spec.audiences).toEqual(['https://kubernetes.default.svc.cluster.local']);
  });

  test('is not given for a pod elsewhere, of another uid, of another account, or without a pod', async () => {
    const mine = await pod('mine', 'n1');
    const theirs = await pod('theirs', 'n2', { serviceAccountName: 'other' });
    const both = await pod('both', 'n2');
    await expect(ask(theirs, { account: 'other' })).rejects.toThrow(
      "no relationship found between node 'n1' and this object",
    );
    await expect(ask(both)).rejects.toThrow('node requested token bound to a pod scheduled on a different node');
    await expect(ask(mine, { account: 'other' })).rejects.toThrow('no relationship found');
    await pod('second', 'n1', { serviceAccountName: 'other' });
    await expect(ask(mine, { account: 'other' })).rejects.toThrow('pod running with different serviceaccount name');
    await expect(ask(mine, { ref: { uid: 'older' } })).rejects.toThrow('does not match the UID in record');
    await expect(ask(mine, { ref: { uid: '' } })).rejects.toThrow('pod binding without a uid');
    await expect(ask(mine, { ref: { kind: 'Node', name: 'n1' } })).rejects.toThrow('not bound to a pod');
    await expect(ask(mine, { ref: { name: 'gone' } })).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test('is given for audiences that the pod asks for, by itself or by the driver of a volume, and for no others', async () => {
    const plain = await pod('plain', 'n1');
    const refused = 'audience "vault" not found in pod spec volume';
    await expect(ask(plain, { audiences: ['vault'] })).rejects.toThrow(refused);
    await expect(ask(plain, { audiences: ['a', 'b'] })).rejects.toThrow('node may only request 0 or 1 audiences');
    const sources = [{ serviceAccountToken: { path: 't', audience: 'vault' } }];
    const vault = await pod('vault', 'n1', { volumes: [{ name: 'v', projected: { sources } }] });
    expect((await ask(vault, { audiences: ['vault'] })).spec.audiences).toEqual(['vault']);

    const driver = { metadata: { name: 'csi.example' }, spec: { tokenRequests: [{ audience: 'csi' }] } };
    await server.client.create<CSIDriver>(Kinds.csidrivers, driver, c);
    const inline = await pod('inline', 'n1', { volumes: [{ name: 'v', csi: { driver: 'csi.example' } }] });
    await expect(ask(inline, { audiences: ['csi'] })).resolves.toBeDefined();
    await expect(ask(inline, { audiences: ['vault'] })).rejects.toThrow(refused);
  });

  test('a pod without a token volume gives its node none, unless a role says so', async () => {
    const bare = await pod('bare', 'n1', { automountServiceAccountToken: false });
    await expect(ask(bare)).rejects.toThrow('audience "" not found in pod spec volume');
    const metadata = { name: 'images' };
    const rules = [{ verbs: ['request-serviceaccounts-token-audience'], apiGroups: [''], resources: ['registry'] }];
    await server.client.create(Kinds.clusterroles, { metadata, rules }, c);
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'images' };
    const subjects = [{ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name: 'system:nodes' }];
    await server.client.create(Kinds.clusterrolebindings, { metadata, roleRef, subjects }, c);
    await expect(ask(bare, { audiences: ['registry'] })).resolves.toBeDefined();
  });
});
