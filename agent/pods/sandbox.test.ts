/** What a pod's sandbox is made with, by its spec. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { realClock, StatusError } from '#lib/base';
import type { Volumes } from '../volumes/volume.ts';
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

/** Volumes named `slow` are ready when `release` is called. */
function slowStorage() {
  let release: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    release = resolve;
  });
  const prepare: Volumes['prepare'] = async ({ volumeName }) => {
    if (volumeName === 'slow') await ready;
    return { hostPath: '/volume', readOnly: false };
  };
  return { release, prepare };
}

test('volumes that take their time hold no slot: other pods start', async () => {
  const { release, prepare } = slowStorage();
  const node = await FakeNode.make({ volumes: { prepare }, startsMax: 2 });
  nodes.push(node);
  const agent = await node.agent();
  const named = (uid: string, volume: string): PodObject =>
    fakePod({ containers: [{ name: uid, image: 'i' }], volumes: [{ name: volume, emptyDir: {} }] }, { uid, name: uid });
  const slow = ['s1', 's2', 's3', 's4'];
  for (const uid of slow) agent.want(named(uid, 'slow'));
  await node.until(() => node.addresses.size === slow.length, 'all but the volumes is made');
  agent.want(named('quick', 'fast'));
  await node.until(() => node.running.includes('quick/0'), 'the quick one runs');
  expect(node.running).toEqual(['quick/0']);
  release();
  await node.until(() => node.running.length === 5, 'all run');
});

test('a volume that fails while the rest is being made is told as FailedMount', async () => {
  const prepare: Volumes['prepare'] = async () => {
    throw new StatusError('NotFound', 'no such thing');
  };
  const node = await FakeNode.make({ volumes: { prepare } });
  nodes.push(node);
  node.onAttach = () => realClock.sleep(30);
  (await node.agent()).want(fakePod({ volumes: [{ name: 'v', emptyDir: {} }] }));
  await node.until(() => node.events.length > 0);
  expect(node.events[0]).toEqual({
    reason: 'FailedMount',
    message: 'MountVolume.SetUp failed for volume "v" : no such thing',
  });
});
