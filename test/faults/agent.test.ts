/** An agent that is killed, or restarted in order, re-adopts its containers; their logs have neither a gap nor a double. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { tendSocket } from '../../cli/layout.ts';
import { restartTended } from '../../cli/tend.ts';
import { eventually, startCluster, type TestCluster } from '../harness/cluster.ts';
import { tellWhenFailed } from '../harness/diagnosis.ts';
import { type LiveContainer, liveContainers, signal, tended } from './host.ts';
import {
  createDeployment,
  deleteDeployment,
  expectUntouched,
  NAMESPACE,
  podsOf,
  pushImage,
  rolledOut,
} from './steps.ts';

/** A line every few milliseconds, so that every moment of an outage has some. */
const COUNTER = ['/bin/sh', '-c', 'i=0; while true; do echo "line $i"; i=$((i+1)); sleep 0.005; done'];
/** 12 MB at once: the log is rotated at 10. */
const FLOOD_LINES = 60_000;
const PAD = 'x'.repeat(190);
const FLOOD = [
  '/bin/sh',
  '-c',
  `i=0; while [ $i -lt ${FLOOD_LINES} ]; do echo "line $i ${PAD}"; i=$((i+1)); done; while true; do sleep 3600; done`,
];

let t: TestCluster;
tellWhenFailed(() => t);
let agent: string;

beforeAll(async () => {
  t = await startCluster({ name: 'ag' });
  agent = `agent-${t.layout.nodes[0]?.name ?? ''}`;
  await pushImage(t);
});
afterAll(async () => t?.stop());

async function onePod(app: string, command: readonly string[]): Promise<{ name: string; before: LiveContainer[] }> {
  await createDeployment(t, { name: app, replicas: 1, command });
  await rolledOut(t, app);
  const [pod] = await podsOf(t, app);
  const before = (await liveContainers(t)).filter((c) => c.podUid === pod?.metadata.uid);
  expect(before).toHaveLength(1);
  return { name: pod?.metadata.name ?? '', before };
}

async function killAgent(): Promise<void> {
  const killed = await signal(t, agent, 'SIGKILL');
  await eventually('the agent runs again', 15_000, async () => {
    const { pid } = await tended(t, agent);
    return pid !== 0 && pid !== killed;
  });
}

/** The whole log through the API, as numbers. */
async function counted(pod: string): Promise<number[]> {
  const text = await eventually('the log can be read', 15_000, async () => {
    const { code, stdout } = await t.kubectl('logs', pod, '-n', NAMESPACE);
    return code === 0 ? stdout : undefined;
  });
  return numbersOf(text);
}

function numbersOf(text: string): number[] {
  return text
    .split('\n')
    .filter((l) => l !== '')
    .map((l) => Number(/^line (\d+)/.exec(l)?.[1] ?? Number.NaN));
}

/** 0, 1, 2, … without a gap or a double; told by its first mistake. */
function expectCounting(lines: readonly number[], least: number): void {
  const wrong = lines.findIndex((n, i) => n !== i);
  expect(wrong === -1 ? 'in order' : lines.slice(Math.max(wrong - 2, 0), wrong + 3)).toBe('in order');
  expect(lines.length).toBeGreaterThanOrEqual(least);
}

test('killed three times and restarted once: same process, every line once', async () => {
  const { name, before } = await onePod('counter', COUNTER);
  for (let i = 0; i < 3; i++) {
    await realClock.sleep(700);
    await killAgent();
  }
  await restartTended(tendSocket(t.layout), agent);
  await realClock.sleep(500);
  await expectUntouched(t, 'counter', before);
  const first = await counted(name);
  expectCounting(first, 200);
  // It goes on being written and read.
  await eventually('more lines', 10_000, async () => (await counted(name)).length > first.length + 50);
  expectCounting(await counted(name), first.length + 50);
  await deleteDeployment(t, 'counter');
});

test('a follower hears every line once up to the cut, and a new one goes on from there', async () => {
  const { name } = await onePod('followed', COUNTER);
  const follow = follower(name);
  await eventually('the follower hears lines', 10_000, async () => numbersOf(follow.text()).length > 50);
  await killAgent();
  await follow.ended;
  const heard = numbersOf(follow.text().replace(/[^\n]*$/, ''));
  expectCounting(heard, 50);
  await counted(name);
  const again = follower(name);
  await eventually('the next follower is further', 15_000, async () => {
    const lines = numbersOf(again.text().replace(/[^\n]*$/, ''));
    return lines.length > heard.length + 50;
  });
  again.stop();
  await again.ended;
  expectCounting(numbersOf(again.text().replace(/[^\n]*$/, '')), heard.length + 50);
  await deleteDeployment(t, 'followed');
});

function follower(pod: string): { text(): string; stop(): void; readonly ended: Promise<unknown> } {
  const env = { ...process.env, KUBECONFIG: t.kubeconfig };
  const child = spawn('kubectl', ['logs', '-f', pod, '-n', NAMESPACE], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (d: Buffer) => {
    text += d.toString();
  });
  return { text: () => text, stop: () => void child.kill(), ended: once(child, 'close') };
}

test('killed while a log is rotated: every line of both files once', async () => {
  await createDeployment(t, { name: 'flood', replicas: 1, command: FLOOD });
  await rolledOut(t, 'flood');
  await killAgent();
  const [pod] = await podsOf(t, 'flood');
  const name = pod?.metadata.name ?? '';
  await eventually('all lines are there', 30_000, async () => (await counted(name)).length === FLOOD_LINES);
  expectCounting(await counted(name), FLOOD_LINES);
  await deleteDeployment(t, 'flood');
});
