/** A pull secret that comes or changes is tried at once, by the pods that name it. */
import { afterEach, expect, test } from 'vitest';
import type { KubeObject } from '#lib/api';
import { StatusError } from '#lib/base';
import { FakeNode, fakePod } from './fake-node.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

function refuse(node: FakeNode): void {
  const refused = Promise.reject(new StatusError('Unauthorized', 'unauthorized'));
  refused.catch(() => undefined);
  node.pulls.set('i', refused);
}

const secret = (name: string, namespace = 'n'): KubeObject =>
  ({ apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace, uid: name } }) as KubeObject;

const pulls = (node: FakeNode): number => node.events.filter((e) => e.reason === 'Pulling').length;

/** Its pulls have failed for three minutes: the next is minutes away. */
async function waiting() {
  const node = await FakeNode.make();
  nodes.push(node);
  refuse(node);
  const agent = await node.agent();
  agent.want(fakePod({ imagePullSecrets: [{ name: 'registry' }] }));
  await node.until(() => pulls(node) === 1);
  await node.pass(180_000, 5_000);
  const apply = (object: KubeObject): void => agent.manager.apply([{ type: 'upsert', resource: 'secrets', object }]);
  return { node, apply };
}

test('the secret comes: the image is pulled at once', async () => {
  const { node, apply } = await waiting();
  node.pulls.delete('i');
  apply(secret('registry'));
  await node.until(() => node.running.includes('a/0'));
});

test('one that does not help begins the back-off anew', async () => {
  const { node, apply } = await waiting();
  const before = pulls(node);
  apply(secret('registry'));
  await node.until(() => pulls(node) === before + 1);
  await node.pass(11_000, 1_000);
  expect(pulls(node)).toBe(before + 2);
});

test('a secret that the pod does not name, or of another namespace, changes nothing', async () => {
  const { node, apply } = await waiting();
  const before = pulls(node);
  apply(secret('other'));
  apply(secret('registry', 'elsewhere'));
  await node.pass(5_000, 1_000);
  expect(pulls(node)).toBe(before);
});
