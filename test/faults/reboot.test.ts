/**
 * The host loses its power and comes back: every process, mount and namespace of the cluster is gone, and so is what it had
 * below /run; its home is as it was. Links and tables may stay: an `up` on a machine that has them must find its way too.
 */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runtimeStateFolder } from '../../agent/runtime-state.ts';
import { runFolder } from '../../cli/layout.ts';
import { applyOk, getPod, podInPhase, scriptPod } from '../e2e/workload.ts';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { liveContainers, logLines, parentPid } from './host.ts';
import { imageOf, NAMESPACE, pushImage } from './steps.ts';

let t: TestCluster;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'rbt' });
  await pushImage(t);
});
afterAll(async () => t?.stop());

/** Processes that name the cluster's home: its own, and the supervisors of its containers. */
async function ownProcesses(): Promise<number[]> {
  const ids = (await readdir('/proc')).map(Number).filter((n) => Number.isInteger(n) && n !== process.pid);
  const lines = await Promise.all(ids.map((id) => readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => '')));
  return ids.filter((_, i) => lines[i]?.includes(t.layout.home));
}

function killAll(ids: readonly number[]): void {
  for (const id of ids) {
    try {
      process.kill(id, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
}

async function loseThePower(): Promise<void> {
  const containers = (await liveContainers(t)).map((c) => c.pid);
  /* In this order, at one go: nobody is left to start again what has just ended. */
  killAll([await parentPid(t), ...(await ownProcesses()), ...containers]);
  await eventually('nothing runs', 10_000, async () => {
    const ids = await ownProcesses();
    killAll(ids);
    return ids.length === 0;
  });
  const table = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').map((l) => l.split(' ')[4] ?? '');
  const state = runtimeStateFolder(t.layout.instance);
  const isOurs = (p: string): boolean => p.startsWith(t.layout.home) || p === state;
  const mounts = table.filter(isOurs).sort((a, b) => b.length - a.length);
  for (const mount of mounts) await run('umount', ['--lazy', mount], {}, 10_000);
  for (const folder of [runFolder(t.layout.instance), state]) await rm(folder, { recursive: true, force: true });
}

/** An init container that takes a moment, and a container, each of which says when it began. */
function pod(policy: string): Record<string, unknown> {
  const container = (name: string, rest: string) => {
    return { name, image: imageOf(t), command: ['sh', '-c', `echo ${name}; ${rest}`] };
  };
  const spec = {
    restartPolicy: policy,
    initContainers: [container('init', 'sleep 1')],
    containers: [container('main', 'sleep 3600')],
  };
  return scriptPod({ name: policy.toLowerCase(), namespace: NAMESPACE, image: imageOf(t), spec });
}

test('a reboot: pods begin from their initial state, but for those that never run again', async () => {
  await applyOk(t, pod('Always'), pod('OnFailure'), pod('Never'));
  const before = await Promise.all(
    ['always', 'onfailure', 'never'].map((name) => podInPhase(t, NAMESPACE, name, 'Running')),
  );
  await loseThePower();
  const { instance, home } = t.layout;
  expect(await t.berth('up', '--instance', instance, '--home', home, '--no-sample')).toMatchObject({ code: 0 });
  await podInPhase(t, NAMESPACE, 'never', 'Failed');
  const counts = await Promise.all(
    ['always', 'onfailure'].map((name) =>
      eventually(`${name} runs again`, 40_000, async () => {
        const {
          phase,
          containerStatuses = [],
          initContainerStatuses = [],
        } = (await getPod(t, NAMESPACE, name)).status ?? {};
        const restarts = [...initContainerStatuses, ...containerStatuses].map((s) => s.restartCount);
        return phase === 'Running' && restarts[1] === 1 ? restarts : undefined;
      }),
    ),
  );
  expect(counts).toEqual([
    [1, 1],
    [1, 1],
  ]);
  const lines = await Promise.all(
    before.map(({ metadata: { name, uid = '' } }) => logLines(t, { namespace: NAMESPACE, name, uid })),
  );
  expect(lines).toEqual([
    ['init', 'init', 'main', 'main'],
    ['init', 'init', 'main', 'main'],
    ['init', 'main'],
  ]);
  const after = await getPod(t, NAMESPACE, 'always');
  expect(after.metadata.uid).toBe(before[0]?.metadata.uid);
  expect(after.status?.podIP).toBe(before[0]?.status?.podIP);
  expect(await readdir(join(t.layout.home, 'podlogs', 'pods'))).toHaveLength(3);
});
