/** What a pod's sandbox is made with, by its spec. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function begin(spec: Partial<PodObject['spec']>): Promise<FakeNode> {
  const node = await FakeNode.make();
  nodes.push(node);
  (await node.agent()).want(fakePod(spec));
  return node;
}

async function run(spec: Partial<PodObject['spec']>): Promise<FakeNode> {
  const node = await begin(spec);
  await node.until(() => node.running.length === 1);
  return node;
}

const specOf = (node: FakeNode) => node.host.containers.get(node.id('a'))?.o.spec;
const etc = (node: FakeNode, name: string): Promise<string> => readFile(join(node.folder, 'pods/u/etc', name), 'utf8');
const pinned = (node: FakeNode): readonly unknown[] =>
  node.kernel.calls.find((call) => call.name === 'namespaces.pin')?.args ?? [];

const FQDN = 'h.s.n.svc.cluster.local';

test('setHostnameAsFQDN: the kernel, /etc/hostname and HOSTNAME have the whole name', async () => {
  const node = await run({ hostname: 'h', subdomain: 's', setHostnameAsFQDN: true });
  expect(pinned(node)).toContainEqual(expect.objectContaining({ hostname: FQDN }));
  expect(await etc(node, 'hostname')).toBe(`${FQDN}\n`);
  expect(await etc(node, 'hosts')).toContain(`10.0.0.2\t${FQDN}\th\n`);
  expect(specOf(node)?.process.env).toContain(`HOSTNAME=${FQDN}`);
});

test.each([
  ['it is false', { subdomain: 's', setHostnameAsFQDN: false }],
  ['there is no subdomain', { setHostnameAsFQDN: true }],
])('the short name when %s', async (_why, spec) => {
  const node = await run({ hostname: 'h', ...spec });
  expect(pinned(node)).toContainEqual(expect.objectContaining({ hostname: 'h' }));
});

test('a whole name that the kernel cannot hold is told, and nothing runs', async () => {
  const node = await begin({ hostname: 'h'.repeat(60), subdomain: 's', setHostnameAsFQDN: true });
  await node.until(() => node.events.length > 0);
  const name = `${'h'.repeat(60)}.s.n.svc.cluster.local`;
  expect(node.events[0]).toEqual({
    reason: 'FailedCreatePodSandBox',
    message: `Failed to create pod sandbox: failed to construct FQDN from pod hostname and cluster domain, FQDN ${name} is too long (64 characters is the max, ${name.length} characters requested)`,
  });
  expect(node.running).toEqual([]);
});

test.each([
  [true, '/dev/shm'],
  [false, 'pods/u/shm'],
])('hostIPC %s: whose /dev/shm the container has', async (hostIPC, source) => {
  const node = await run({ hostIPC });
  const mount = specOf(node)?.mounts.find((m) => m.destination === '/dev/shm');
  expect(mount?.source).toBe(hostIPC ? source : join(node.folder, source));
});

test('an ended pod gives its volumes back before its object is deleted', async () => {
  const cleaned: string[] = [];
  const prepare = async () => ({ hostPath: '/v', readOnly: false });
  const cleanup = async (uid: string): Promise<void> => void cleaned.push(uid);
  const node = await FakeNode.make({
    volumes: { prepare, cleanup },
    programs: { a: { exit: { afterMs: 1_000, code: 0 } } },
  });
  nodes.push(node);
  (await node.agent()).want(fakePod({ restartPolicy: 'Never', volumes: [{ name: 'v', emptyDir: {} }] }));
  await node.until(() => node.running.length === 1);
  expect(cleaned).toEqual([]);
  await node.passUntil(() => node.status('u')?.phase === 'Succeeded' && cleaned.length > 0, 'they are gone');
  expect(node.removed).toEqual([]);
});
