/**
 * A node's Ready means that it could run a pod: a helper that hangs takes it away, links that somebody removed are made again, and
 * the pods that ran meanwhile are untouched.
 */
import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Kinds } from '#lib/api';
import { networkNames } from '../../agent/network/names.ts';
import { applyOk, podInPhase, pushHello, scriptPod } from '../e2e/workload.ts';
import { liveContainers, notTheSame, tended } from '../faults/host.ts';
import { eventually, run, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';

const NS = 'default';
/** A round of checks, and the 30 s that a runtime has to answer. */
const TOLD_WITHIN_MS = 60_000;

let t: TestCluster;
let image: string;
tellWhenFailed(() => t);

beforeAll(async () => {
  t = await startCluster({ name: 'hlth' });
  image = await pushHello(t);
});
afterAll(async () => t?.stop());

async function ready() {
  const key = { namespace: '', name: t.layout.nodes[0]?.name ?? '' };
  const node = await t.client.get(Kinds.nodes, key, t.ctx);
  return node.status?.conditions?.find((x) => x.type === 'Ready');
}

async function helperPid(): Promise<number> {
  const { pid } = await tended(t, `agent-${t.layout.nodes[0]?.name ?? ''}`);
  for (const entry of (await readdir('/proc')).filter((n) => /^\d+$/.test(n))) {
    const [line, stat] = await Promise.all(
      ['cmdline', 'stat'].map((file) => readFile(`/proc/${entry}/${file}`, 'utf8').catch(() => '')),
    );
    const parent = Number((stat ?? '').slice((stat ?? '').lastIndexOf(')') + 4).split(' ')[0]);
    if (parent === pid && (line ?? '').split('\0')[1] === 'serve') return Number(entry);
  }
  throw new Error(`the agent ${pid} has no helper`);
}

test('node health: links that somebody took away are made again, and pods reach each other as before', async () => {
  const pods = ['one', 'two'].map((name) => scriptPod({ name, namespace: NS, image, script: 'sleep 3600' }));
  await applyOk(t, ...pods);
  await podInPhase(t, NS, 'one', 'Running');
  const ip = (await podInPhase(t, NS, 'two', 'Running')).status?.podIP ?? '';
  const reaches = async (): Promise<boolean> =>
    (await t.kubectl('exec', 'one', '--', 'ping', '-c', '1', '-W', '1', ip)).code === 0;
  expect(await reaches()).toBe(true);
  const { bridge } = networkNames(t.layout.instance);
  const index = async (): Promise<string> =>
    (await run('ip', ['-o', 'link', 'show', 'dev', bridge], {}, 10_000)).stdout.split(':')[0] ?? '';
  const before = await index();
  expect(await run('ip', ['link', 'del', bridge], {}, 10_000)).toMatchObject({ code: 0 });
  await eventually('another bridge', 30_000, async () => !['', before].includes(await index()));
  await eventually('one reaches two again', 30_000, reaches);
  expect((await ready())?.status).toBe('True');
});

test('node health: a helper that hangs makes the node not Ready, until it answers; what runs is untouched', async () => {
  const before = await liveContainers(t);
  const pid = await helperPid();
  process.kill(pid, 'SIGSTOP');
  try {
    await eventually('not Ready', TOLD_WITHIN_MS, async () => (await ready())?.status === 'False');
    expect(await ready()).toMatchObject({ reason: 'KubeletNotReady' });
    expect((await ready())?.message).toContain('container runtime is down');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await eventually('Ready again', TOLD_WITHIN_MS, async () => (await ready())?.status === 'True');
  expect((await ready())?.message).toBe('kubelet is posting ready status');
  expect(await notTheSame(before)).toEqual([]);
});
