import { mkdir, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import type { ContainerId } from '../runtime/runtime.ts';
import { deleted, FakeNode, type FakeNodeOptions, fakePod } from './fake-node.ts';
import { type Attempt, EMPTY_OBSERVATION, type PodObject, type PodObservation } from './model.ts';
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

/** As the supervisor writes it. */
async function log(node: FakeNode, attempt: number, lines: readonly string[]): Promise<void> {
  const folder = join(node.folder, 'log/pods/n_p_u/a');
  await mkdir(folder, { recursive: true });
  const text = lines.map((l) => `2026-01-01T00:00:00.000000000Z stdout ${l}\n`).join('');
  await writeFile(join(folder, `${attempt}.log`), text);
}

const fallback = (policy = 'FallbackToLogsOnError'): PodObject =>
  fakePod({
    restartPolicy: 'Never',
    containers: [{ name: 'a', image: 'i', terminationMessagePolicy: policy }],
  });

/** The message of a container that logged `lines`, left `file` and ended with `code`. */
async function messageAfter(o: { pod?: PodObject; code: number; lines: readonly string[]; file?: string }) {
  const node = await setUp();
  (await node.agent()).want(o.pod ?? fallback());
  await node.until(() => node.running.includes('a/0'), 'attempt 0');
  await log(node, 0, o.lines);
  if (o.file !== undefined) await say(node, 0, o.file);
  node.host.exit(node.id('a'), o.code);
  await node.until(() => node.status('u')?.containerStatuses?.[0]?.state?.terminated !== undefined, 'the end');
  return main(node)?.state?.terminated?.message;
}

describe('termination messages', () => {
  test('those of attempts that the status no longer names are forgotten', async () => {
    const node = await setUp();
    await mkdir(join(node.folder, 'termination'));
    for (const n of [0, 1, 2, 3]) await writeFile(join(node.folder, 'termination', `a-${n}`), `of ${n}`);
    let told = 0;
    const files = { folder: node.folder, logPath: (_container: string, attempt: number) => `/nowhere/${attempt}` };
    const messages = new TerminationMessages(files, () => told++);
    for (const n of [1, 2, 3]) {
      expect(messages.of(fakePod(), seenAt(n))).toBeUndefined();
      await node.until(() => told === n + 1, 'the messages');
      expect(messages.of(fakePod(), seenAt(n))).toEqual({ [`id-${n - 1}`]: `of ${n - 1}`, [`id-${n}`]: `of ${n}` });
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
    await node.until(() => node.reports.length > reports, 'a report of the next agent');
    expect(main(node)?.lastState?.terminated?.message).toBe('the first');
  });

  test('the first status of an end has its message, also that of a pod which goes away', async () => {
    const node = await setUp();
    const agent = await node.agent();
    agent.want(fallback());
    await node.until(() => node.running.includes('a/0'), 'attempt 0');
    await say(node, 0, 'why');
    agent.want(deleted(fallback(), node.clock.now(), 0));
    await node.passUntil(() => node.removed.includes('u'), 'the end of the pod');
    const ends = node.reports.filter((r) => r.status.containerStatuses?.[0]?.state?.terminated !== undefined);
    expect(ends.length).toBeGreaterThan(0);
    for (const { status } of ends) expect(status.containerStatuses?.[0]?.state?.terminated?.message).toBe('why');
  });

  test('any user may write the file, whatever the umask of the agent', async () => {
    const old = process.umask(0o077);
    try {
      const node = await setUp();
      (await node.agent()).want(fakePod());
      await node.until(() => node.running.includes('a/0'), 'attempt 0');
      expect((await stat(join(node.folder, 'pods/u/termination/a-0'))).mode & 0o777).toBe(0o666);
    } finally {
      process.umask(old);
    }
  });

  test('the last 4096 bytes of the file count, the last 12288 / n of a pod of n containers at most', async () => {
    const text = `${'x'.repeat(5000)}end`;
    const long = await messageAfter({ code: 0, lines: [], file: text });
    expect(long).toBe(text.slice(-4096));
    const containers = ['a', 'b', 'c', 'd'].map((name) => ({ name, image: 'i' }));
    const shared = await messageAfter({
      code: 0,
      lines: [],
      file: text,
      pod: fakePod({ restartPolicy: 'Never', containers }),
    });
    expect(shared).toBe(text.slice(-4096).slice(0, 3072));
  });

  test.each([
    ['of a failure without a message: the end of the log', { code: 1, lines: ['F one', 'P tw', 'P o'] }, 'one\ntwo'],
    ['of a success: nothing', { code: 0, lines: ['F one'] }, undefined],
    ['of a failure with a message: the message', { code: 1, lines: ['F one'], file: 'told' }, 'told'],
    ['of a policy that does not say so: nothing', { code: 1, lines: ['F one'], pod: fallback('File') }, undefined],
  ])('FallbackToLogsOnError %s', async (_name, o, message) => {
    expect(await messageAfter(o)).toBe(message);
  });

  test('FallbackToLogsOnError: at most 80 lines and 2048 bytes', async () => {
    const lines = (n: number, text: string): string[] => Array.from({ length: n }, (_, i) => `F ${text}${i}`);
    const many = await messageAfter({ code: 1, lines: lines(200, '') });
    expect(many).toBe(Array.from({ length: 80 }, (_, i) => `${i + 120}\n`).join(''));
    const wide = await messageAfter({ code: 1, lines: lines(9, 'y'.repeat(10_000)) });
    expect(Buffer.byteLength(wide ?? '')).toBe(2048);
    expect(wide).toMatch(/y8\n$/);
  });

  test('FallbackToLogsOnError: what was rotated away just before the end counts too', async () => {
    const node = await setUp();
    (await node.agent()).want(fallback());
    await node.until(() => node.running.includes('a/0'), 'attempt 0');
    await log(node, 0, ['F before']);
    await rename(join(node.folder, 'log/pods/n_p_u/a/0.log'), join(node.folder, 'log/pods/n_p_u/a/0.log.1'));
    await log(node, 0, ['F after']);
    node.host.exit(node.id('a'), 1);
    await node.until(() => main(node)?.state?.terminated !== undefined, 'the end');
    expect(main(node)?.state?.terminated?.message).toBe('before\nafter\n');
  });
});
