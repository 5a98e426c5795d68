import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { ContainerId } from '../runtime/runtime.ts';
import { FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import { type Attempt, EMPTY_OBSERVATION, type PodObservation } from './model.ts';
import { TerminationMessages } from './termination-messages.ts';

const nodes: FakeNode[] = [];

afterEach(async () => {
  for (const n of nodes.splice(0)) await n[Symbol.asyncDispose]();
});

async function setUp(o: FakeNodeOptions = {}): Promise<FakeNode> {
  const node = await FakeNode.make(o);
  nodes.push(node);
  return node;
}

/** As a program would write to its /dev/termination-log. */
async function say(node: FakeNode, attempt: number, text: string): Promise<void> {
  await mkdir(join(node.folder, 'pods/u/termination'), { recursive: true });
  await writeFile(join(node.folder, 'pods/u/termination', `a-${attempt}`), text);
}

const main = (node: FakeNode) => node.status('u')?.containerStatuses?.[0];

/** Attempt n has ended, as the one before it. */
function seenAt(n: number): PodObservation {
  const state = { phase: 'exited', exitCode: 1, signal: 0, oomKilled: false, lost: false } as const;
  const times = { startedAtMs: 0, finishedAtMs: 0 };
  const attempt = (attempt: number): Attempt => {
    const id = `id-${attempt}` as ContainerId;
    return {
      id,
      attempt,
      backOff: 0,
      sandbox: '',
      state: { ...state, ...times },
      image: 'i',
      imageId: '',
      stopSignal: '',
    };
  };
  const a = { ...EMPTY_OBSERVATION, latest: attempt(n), previous: attempt(n - 1) };
  const sandbox = { phase: 'ready', podIp: '', readyAtMs: 0 } as const;
  return { sandbox, containers: { a }, failure: undefined, startedAtMs: 0, terminal: undefined };
}

describe('termination messages', () => {
  test('those of attempts that the status no longer names are forgotten', async () => {
    const node = await setUp();
    await mkdir(join(node.folder, 'termination'));
    for (const n of [0, 1, 2, 3]) await writeFile(join(node.folder, 'termination', `a-${n}`), `of ${n}`);
    let told = 0;
    const messages = new TerminationMessages(node.folder, () => told++);
    for (const n of [1, 2, 3]) {
      messages.of(seenAt(n));
      await node.until(() => told === n + 1, 'the messages');
      expect(messages.of(seenAt(n))).toEqual({ [`id-${n - 1}`]: `of ${n - 1}`, [`id-${n}`]: `of ${n}` });
    }
  });

  test('of the latest attempt and the one before it, also for the next agent', async () => {
    const node = await setUp();
    const agent = await node.agent();
    agent.want(fakePod());
    await node.until(() => node.running.includes('a/0'), 'attempt 0');
    await say(node, 0, 'the first');
    node.host.exit(node.id('a'), 1);
    await node.until(() => main(node)?.lastState?.terminated?.message === 'the first', 'its message');
    await node.until(() => node.running.includes('a/1'), 'attempt 1');
    await agent[Symbol.asyncDispose]();
    const reports = node.reports.length;
    (await node.agent()).want(fakePod());
    await node.until(() => node.reports.length > reports + 1, 'reports of the next agent');
    expect(main(node)?.lastState?.terminated?.message).toBe('the first');
  });
});
