/** A pull secret that comes or changes is tried at once, by the pods that name it. */
import { afterEach, expect, test } from 'vitest';
import type { KubeObject } from '#lib/api';
import { type Ctx, StatusError, silentLogger, VirtualClock } from '#lib/base';
import type { Image, PullOptions } from '../images/images.ts';
import type { PodDeps } from './deps.ts';
import { FakeNode, fakePod } from './fake-node.ts';
import { pullByPolicy } from './steps/image.ts';

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

/** A pod with these accounts at one registry, which lets in who is named and answers others with `refusal`. */
async function pullWith(accounts: readonly string[], allowed: string, refusal: StatusError) {
  const clock = new VirtualClock();
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
  const tried: (string | undefined)[] = [];
  const noted: string[] = [];
  const images = {
    find: async () => undefined,
    pull: async (_reference: string, o: PullOptions) => {
      const username = o.credentials?.('r.io', 'a')?.username;
      tried.push(username);
      if (username !== allowed) throw refusal;
      return { sizeBytes: 1 } as Image;
    },
  };
  const imageAccess = {
    pulled: async (_i: Image, _r: string, secrets: readonly { name: string }[]) =>
      void noted.push(...secrets.map((s) => s.name)),
  };
  const get = (_resource: string, namespace: string, name: string) => {
    const auths = { 'r.io': { username: name, password: 'p' } };
    const data = { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') };
    return { ...secret(name, namespace), type: 'kubernetes.io/dockerconfigjson', data };
  };
  const d = { clock, images, imageAccess, objects: { get, withheldSecret: () => undefined } } as unknown as PodDeps;
  const pod = fakePod({ imagePullSecrets: accounts.map((name) => ({ name })) });
  const events = { normal: () => undefined, warning: () => undefined };
  const end = await pullByPolicy(d, { pod, reference: 'r.io/a:1', policy: 'IfNotPresent', events }, c).then(
    () => 'pulled',
    (e: Error) => e.message,
  );
  return { tried, noted, end };
}

test('of several accounts at one registry each is tried until one may have the image, which is noted', async () => {
  const denied = new StatusError('Forbidden', 'denied');
  expect(await pullWith(['a', 'b', 'c'], 'b', denied)).toEqual({ tried: ['a', 'b'], noted: ['b'], end: 'pulled' });
  expect(await pullWith(['a', 'b'], 'nobody', denied)).toMatchObject({ tried: ['a', 'b'], noted: [] });
  expect(await pullWith(['a', 'b'], 'b', new StatusError('Unavailable', 'away'))).toMatchObject({ tried: ['a'] });
  const many = Array.from({ length: 40 }, (_, i) => `m${i}`);
  expect((await pullWith(many, 'nobody', denied)).tried).toHaveLength(16);
});
