/** What no pod owns is found by what is there, at the start and again later; nothing else is touched. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { Scope, StatusError } from '#lib/base';
import { FakeNode, fakePod } from './fake-node.ts';

let node: FakeNode;
const scopes: Scope[] = [];
afterEach(async () => {
  for (const s of scopes.splice(0)) await s[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
});

async function swept(): Promise<FakeNode> {
  node = await FakeNode.make();
  const agent = await node.agent();
  agent.want(fakePod());
  await node.until(() => node.running.length === 1, 'Running');
  const scope = new Scope('sweep');
  scopes.push(scope);
  scope.spawn('clean', (signal) => agent.manager.keepClean({ ...node.c, signal }));
  return node;
}

const FOREIGN = ['/berth-2/podx', '/other/burstable/pody', '/berth/system', '/podz'];

async function plant(): Promise<void> {
  for (const path of ['/berth/podlost-a', '/berth/burstable/podlost-b', '/berth/besteffort/podlost-c', ...FOREIGN])
    await node.kernel.cgroups.ensure(path, {}, node.c);
  node.addresses.set('lost-d', '10.0.0.99');
  await mkdir(join(node.folder, 'pods/lost-e'));
}

const groups = (): string[] => [...node.kernel.groups.keys()];

describe('the sweep', () => {
  test('cgroups, addresses and folders of pods that nobody knows go; the pod that runs and what is foreign stay', async () => {
    await swept();
    await node.pass(1_000);
    await plant();
    const own = groups().filter((g) => g.endsWith('/podu'));
    await node.passUntil(() => !groups().some((g) => g.includes('lost')), 'the next look', 30_000);
    await node.until(() => !node.addresses.has('lost-d'), 'the address given back');
    await node.pass(1_000);
    expect(await readdir(join(node.folder, 'pods'))).toEqual(['u']);
    expect(groups()).toEqual(expect.arrayContaining([...FOREIGN, ...own]));
    expect(own).toHaveLength(1);
    expect(node.running).toEqual(['a/0']);
    expect([...node.addresses.keys()]).toEqual(['u']);
  });

  test('names that are no uid are left alone', async () => {
    await swept();
    await node.kernel.cgroups.ensure('/berth/pod..', {}, node.c);
    await node.kernel.cgroups.ensure('/berth/pod', {}, node.c);
    await node.pass(310_000, 10_000);
    expect(groups()).toEqual(expect.arrayContaining(['/berth/pod..', '/berth/pod']));
    expect(await readdir(node.folder)).toContain('pods');
  });

  test('a pod that begins while it looks is left alone', async () => {
    node = await FakeNode.make();
    const agent = await node.agent();
    const { volumes } = agent.deps;
    const podsOnDisk = volumes.podsOnDisk.bind(volumes);
    volumes.podsOnDisk = async (c) => {
      agent.want(fakePod());
      await node.until(() => node.running.length === 1, 'Running, in the middle of the look');
      return [...(await podsOnDisk(c)), 'u'];
    };
    await agent.manager.removeUnwanted(node.c);
    await node.pass(2_000);
    expect(node.running).toEqual(['a/0']);
    expect([...node.addresses.keys()]).toEqual(['u']);
    expect(node.removed).toEqual([]);
  });

  test('what cannot be removed is tried again, and holds up nothing else', async () => {
    await swept();
    await node.pass(1_000);
    await plant();
    let failures = 0;
    node.onKernel = (call) => {
      if (call.name !== 'cgroups.remove' || !String(call.args[0]).includes('lost-a') || failures++ > 0) return;
      throw new StatusError('Conflict', 'busy');
    };
    await node.passUntil(() => failures > 0 && !groups().some((g) => /lost-[bc]/.test(g)), 'the first try', 30_000);
    expect(groups()).toContain('/berth/podlost-a');
    await node.passUntil(() => !groups().includes('/berth/podlost-a'), 'the second', 30_000);
  });

  test('where another node has the same parent no cgroup goes, the rest does', async () => {
    await swept();
    await node.pass(1_000);
    await plant();
    await node.kernel.cgroups.ensure(`/berth/node-${'1'.repeat(16)}`, {}, node.c);
    await node.passUntil(() => !node.addresses.has('lost-d'), 'the address given back', 30_000);
    await node.pass(310_000, 10_000);
    expect(
      groups()
        .filter((g) => g.includes('lost'))
        .sort(),
    ).toEqual(['/berth/besteffort/podlost-c', '/berth/burstable/podlost-b', '/berth/podlost-a']);
  });

  test('a look that fails is made again', async () => {
    await swept();
    await node.pass(1_000);
    await plant();
    let failures = 0;
    node.onKernel = (call) => {
      if (call.name === 'cgroups.children' && failures++ === 0) throw new StatusError('Internal', 'input/output error');
    };
    await node.passUntil(() => !groups().some((g) => g.includes('lost')), 'a later look', 30_000);
    expect(failures).toBeGreaterThan(1);
  });
});
