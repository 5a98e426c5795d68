/**
 * The agent dies at a step of a pod's start, of its own recovery, of the pod's stop; the next one goes on: each container runs
 * once, and at the end nothing is left. A spread of points, others in each run (BERTH_TEST_SEED repeats one); all of them:
 * test/long/agent-steps.test.ts.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRandom, seededRandom } from '#lib/base';
import { networkNames, vethName } from '../../agent/network/names.ts';
import { MortalNode } from './dying/node.ts';

const SEED = Number(process.env['BERTH_TEST_SEED'] ?? realRandom.below(1_000_000));
const LIVES = 8;
const execute = promisify(execFile);

let node: MortalNode;
beforeAll(async () => {
  node = await MortalNode.open();
});
afterAll(async () => node?.[Symbol.asyncDispose]());

test(`killed in ${LIVES} lives of a pod (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  const points = await node.points();
  const recovery = await node.recoveryPoints();
  process.stdout.write(`points: start ${points.start}, stop ${points.stop}, recovery ${recovery}; seed ${SEED}\n`);
  if (process.env['BERTH_TEST_LOG']) process.stdout.write(`${points.calls.join('\n')}\n`);
  /* One of each part of the whole, so that no part is left out by chance. */
  const spread = (i: number, all: number): number => 1 + Math.floor(((i + random.next()) * all) / LIVES);
  for (let i = 0; i < LIVES; i++) {
    const where = {
      start: spread(i, points.start),
      stop: spread(i, points.stop),
      ...(i % 3 === 1 ? { recovery: 1 + random.below(recovery) } : {}),
      unwanted: i % 3 === 2,
    };
    try {
      const deaths = await node.cut(where);
      expect(deaths.length).toBeGreaterThan(0);
    } catch (e) {
      throw new Error(`with deaths at ${JSON.stringify(where)}, seed ${SEED}`, { cause: e });
    }
  }
});

test('no control plane: what dies and what fails its probe runs again, through a death of the agent; on return the API has it', async () => {
  expect(await node.restartsWithoutControlPlane()).toEqual({ one: 1, two: 1 });
});

/** Below each tree of control groups that is mounted. */
async function cgroupTrees(): Promise<string[]> {
  const names = await readdir('/sys/fs/cgroup', { withFileTypes: true });
  const trees = names.filter((n) => n.isDirectory()).map((n) => n.name);
  return trees.includes('memory') ? ['memory', 'pids'].map((n) => `/sys/fs/cgroup/${n}`) : ['/sys/fs/cgroup'];
}

const veth = (name: string, peer: string): Promise<unknown> =>
  execute('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', peer]);

test('what no pod owns goes: cgroups, a link, folders, mounts; what is another node’s stays', async () => {
  const trees = await cgroupTrees();
  const foreign = trees.map((t) => join(t, `${node.instance}-2`));
  const foreignLink = vethName(networkNames(`${node.instance}-2`), 'lost');
  await node.cleansAfter(async ({ instance, home }) => {
    for (const tree of trees) await mkdir(join(tree, instance, 'burstable/podlost/inner'), { recursive: true });
    for (const path of foreign) await mkdir(join(path, 'podlost'), { recursive: true });
    await veth(vethName(networkNames(instance), 'lost'), 'dylost0');
    await veth(foreignLink, 'dylost1');
    const mounted = join(home, 'volumes/pods/lost/volumes/claim');
    for (const path of [join(home, 'pods/lost-2/etc'), mounted]) await mkdir(path, { recursive: true });
    await execute('mount', ['-t', 'tmpfs', 'tmpfs', mounted]);
  });
  try {
    for (const path of foreign) expect(await readdir(path)).toContain('podlost');
    expect((await execute('ip', ['-o', 'link', 'show', foreignLink])).stdout).toContain(foreignLink);
  } finally {
    await execute('ip', ['link', 'del', foreignLink]);
    for (const path of foreign) for (const p of [join(path, 'podlost'), path]) await rmdir(p);
  }
});
