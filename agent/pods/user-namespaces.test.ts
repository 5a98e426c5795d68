/** Pods with `hostUsers: false` on a machine that only remembers: what is made in which order, and whose ids live how long. */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { FakeAgent } from './fake-agent.ts';
import { deleted, FakeNode, fakePod } from './fake-node.ts';
import type { PodObject } from './model.ts';

const PAUSE_MS = 5000;

let node: FakeNode;
afterEach(() => node?.[Symbol.asyncDispose]());

const held = async (): Promise<Record<string, { first: number; count: number }>> => {
  const text = await readFile(join(node.folder, 'user-namespaces.json'), 'utf8').catch(() => '{"held":{}}');
  return (JSON.parse(text) as { held: Record<string, { first: number; count: number }> }).held;
};
const start = async (agent: FakeAgent, pod: PodObject): Promise<void> => {
  agent.want(pod);
  await node.until(() => node.running.length > 0, 'the container');
};
const startOf = (): { spec: { linux: object; mounts: { destination: string; uidMappings?: object }[] } } => {
  const last = [...node.host.containers.values()].at(-1);
  if (last === undefined) throw new Error('no container');
  return last.o as never;
};

describe('a pod with a user namespace', () => {
  test('its range is on disk, then its namespaces are pinned inside, then the node’s files are given to it', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const seen: string[] = [];
    let before: Promise<object> = Promise.resolve({});
    node.onKernel = ({ name }) => {
      if (name === 'namespaces.pinUser') before = held();
      if (name.startsWith('namespaces.')) seen.push(name);
    };
    await start(await node.agent(), fakePod({ hostUsers: false }));
    const range = { first: 65_536, count: 65_536 };
    expect(await before).toEqual({ u: range });
    expect(seen).toEqual(['namespaces.pinUser', 'namespaces.pin']);
    const pin = node.kernel.calls.find((c) => c.name === 'namespaces.pin')?.args[1] as { sysctls: object };
    expect(pin.sysctls).toMatchObject({ 'net.ipv4.ping_group_range': '0 65535' });
    const pinUser = node.kernel.calls.find((c) => c.name === 'namespaces.pinUser')?.args[1];
    expect(pinUser).toEqual({ kinds: ['net', 'ipc', 'uts'], ids: range });
    for (const file of ['etc/hosts', 'etc/resolv.conf', 'etc/hostname', 'termination/a-0'])
      expect(await stat(join(node.folder, 'pods/u', file))).toMatchObject({ uid: 65_536, gid: 65_536 });
    const { linux, mounts } = startOf().spec;
    const mapping = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
    expect(linux).toMatchObject({ uidMappings: mapping, gidMappings: mapping });
    expect(linux).toMatchObject({
      namespaces: expect.arrayContaining([{ type: 'user', path: join(node.folder, 'pods/u/ns/user') }]),
    });
    /* The node made them for the pod: nothing of them is idmapped. */
    expect(mounts.filter((m) => m.uidMappings !== undefined)).toEqual([]);
  });

  test('at its end nothing is left, and the range is another’s', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const agent = await node.agent();
    const pod = fakePod({ hostUsers: false });
    await start(agent, pod);
    agent.want(deleted(pod, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
    expect(await held()).toEqual({});
  });

  test('the next agent knows the range, and frees those that nobody wants', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const first = await node.agent();
    const pod = fakePod({ hostUsers: false });
    await start(first, pod);
    const before = await held();
    await first.deps.userNamespaces.allocate('killed-before-its-folder');
    await first[Symbol.asyncDispose]();
    const next = await node.agent();
    next.want(pod);
    await next.manager.removeUnwanted(node.c);
    await node.until(() => next.manager.count === 1);
    expect(await held()).toEqual(before);
  });

  test('what the next agent starts in a pod that it found is in its user namespace, and not the node’s root', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const first = await node.agent();
    const pod = fakePod({ hostUsers: false });
    await start(first, pod);
    await first[Symbol.asyncDispose]();
    const next = await node.agent();
    next.want(pod);
    node.host.exit(node.id('a'), 1);
    await node.passUntil(() => node.running.includes('a/1'), 'it runs again');
    const mapping = [{ containerID: 0, hostID: 65_536, size: 65_536 }];
    expect(startOf().spec.linux).toMatchObject({
      uidMappings: mapping,
      gidMappings: mapping,
      namespaces: expect.arrayContaining([{ type: 'user', path: join(node.folder, 'pods/u/ns/user') }]),
    });
  });

  test('a pod that was found and whose ids nobody knows any more starts nothing', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const first = await node.agent();
    const pod = fakePod({ hostUsers: false });
    await start(first, pod);
    await first[Symbol.asyncDispose]();
    await rm(join(node.folder, 'user-namespaces.json'));
    node.onKernel = ({ name }) => {
      if (name === 'namespaces.pinUser') throw new Error('another range is pinned');
    };
    const next = await node.agent();
    next.want(pod);
    node.host.exit(node.id('a'), 1);
    await node.pass(60_000, 1_000);
    expect(node.running).toEqual([]);
  });

  test('another pod has another range; one with the node’s ids has none', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const agent = await node.agent();
    for (const [uid, hostUsers] of [
      ['a', false],
      ['b', false],
      ['c', true],
      ['d', undefined],
    ] as const) {
      const pod = fakePod(hostUsers === undefined ? {} : { hostUsers });
      agent.want({ ...pod, metadata: { ...pod.metadata, name: uid, uid } });
    }
    await node.until(() => node.running.length === 4, 'four containers');
    const all = await held();
    expect(Object.keys(all).sort()).toEqual(['a', 'b']);
    expect(all['a']?.first).not.toBe(all['b']?.first);
  });

  test('a user that its namespace has not is told, before a runtime says "invalid argument"', async () => {
    node = await FakeNode.make({ userNamespaces: true });
    const agent = await node.agent();
    agent.want(fakePod({ hostUsers: false, securityContext: { runAsUser: 70_000 } }));
    const why = "user 70000 is not in the pod's user namespace, whose ids are 0 to 65535";
    await node.until(() => node.status('u')?.containerStatuses?.[0]?.state?.waiting?.message === why, 'the reason');
    expect(node.status('u')?.containerStatuses?.[0]?.state?.waiting?.reason).toBe('CreateContainerConfigError');
    expect(node.running).toEqual([]);
  });

  test('where kernel or runtime have none it does not run, and the event says so in the kubelet’s words', async () => {
    node = await FakeNode.make({ userNamespaces: false });
    const agent = await node.agent();
    const pod = fakePod({ hostUsers: false });
    agent.want(pod);
    await node.until(() => node.events.some((e) => e.reason === 'FailedCreatePodSandBox'));
    expect(node.events.find((e) => e.reason === 'FailedCreatePodSandBox')?.message).toContain(
      "can't set `spec.hostUsers: false`, runtime does not support user namespaces",
    );
    await node.pass(PAUSE_MS);
    expect(node.running).toEqual([]);
    expect(await held()).toEqual({});
    agent.want(deleted(pod, node.clock.now()));
    await node.passUntil(() => node.removed.includes('u'), 'removed');
    expect(await node.leftovers()).toEqual([]);
    expect(await readdir(join(node.folder, 'pods'))).toEqual([]);
  });
});
