import { afterEach, expect, test } from 'vitest';
import { type Clock, type Ctx, Scope, StatusError, silentLogger, VirtualClock } from '#lib/base';
import { aggregated, NodeHealth } from './node-health.ts';

const scopes: Scope[] = [];
afterEach(async () => {
  for (const s of scopes.splice(0)) await s[Symbol.asyncDispose]();
});

type Answer = () => Promise<void>;
const fine: Answer = async () => undefined;
const fails =
  (why: string): Answer =>
  async () => {
    throw new StatusError('Unavailable', why);
  };

function begin(answers: { runtime: Answer; network: Answer }) {
  const clock = new VirtualClock();
  const scope = new Scope('test');
  scopes.push(scope);
  const c: Ctx = { signal: scope.signal, clock, log: silentLogger };
  const changes: string[] = [];
  const health = new NodeHealth({
    runtime: () => answers.runtime(),
    network: () => answers.network(),
    onChange: () => changes.push(aggregated(health.problems)),
    clock,
  });
  scope.spawn('health', () => health.run(c));
  const pass = async (seconds: number): Promise<void> => {
    for (let i = 0; i < seconds; i++) await clock.advance(1_000);
  };
  return { health, changes, pass };
}

test('node health: what answers is ready, and nobody is told', async () => {
  const { health, changes, pass } = begin({ runtime: fine, network: fine });
  await pass(120);
  expect([health.problems, changes]).toEqual([[], []]);
});

test('node health: a runtime that hangs is down after 30 s, and ready again when it answers', async () => {
  let release: () => void = () => undefined;
  const hangs = new Promise<void>((resolve) => {
    release = resolve;
  });
  const answers = { runtime: fine, network: fine };
  const { health, changes, pass } = begin(answers);
  await pass(10);
  answers.runtime = () => hangs;
  await pass(29);
  expect(health.problems).toEqual([]);
  await pass(11);
  expect(health.problems).toEqual(['container runtime is down']);
  answers.runtime = fine;
  await pass(60);
  expect(health.problems).toEqual(['container runtime is down']);
  release();
  await pass(1);
  expect(changes).toEqual(['container runtime is down', '[]']);
});

test('node health: a runtime that fails says why; a moment of it says nothing', async () => {
  const answers = { runtime: fails('no crun'), network: fine };
  const { health, changes, pass } = begin(answers);
  await pass(15);
  answers.runtime = fine;
  await pass(60);
  expect(changes).toEqual([]);
  answers.runtime = fails('no crun');
  await pass(40);
  expect(health.problems).toEqual(['container runtime is down: no crun']);
});

test('node health: a network that was never there is told at once; one that hangs or fails once is not, as of a busy machine', async () => {
  let release: (why: string) => void = () => undefined;
  const hangs: Answer = () =>
    new Promise<void>((_, no) => (release = (why) => no(new StatusError('Unavailable', why))));
  const answers = { runtime: fine, network: fails('this node has no pod block') };
  const { health, pass } = begin(answers);
  await pass(10);
  expect(health.problems).toEqual([expect.stringContaining('message:this node has no pod block')]);
  answers.network = fine;
  await pass(10);
  expect(health.problems).toEqual([]);
  for (let i = 0; i < 3; i++) {
    answers.network = hangs;
    await pass(20);
    release('ip link show dev b failed: it did not end within 10000 ms');
    answers.network = fine;
    await pass(9);
    expect(health.problems).toEqual([]);
    await pass(1);
  }
  answers.network = hangs;
  await pass(40);
  expect(health.problems).toEqual([expect.stringContaining('message:no answer')]);
});

test('node health: a network that goes on failing is told, beside the runtime', async () => {
  const answers = { runtime: fails('no crun'), network: fine };
  const { health, changes, pass } = begin(answers);
  await pass(35);
  answers.network = fails('no bridge');
  await pass(50);
  const network =
    'container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:no bridge';
  expect(aggregated(health.problems)).toBe(`[container runtime is down: no crun, ${network}]`);
  answers.runtime = answers.network = fine;
  await pass(11);
  expect(health.problems).toEqual([]);
  expect(changes.at(-1)).toBe('[]');
});

test('node health: an agent that stood still itself says nothing of the runtime', async () => {
  const virtual = new VirtualClock();
  let stoodMs = 0;
  const clock: Clock = {
    now: () => virtual.now(),
    monotonic: () => virtual.monotonic() + stoodMs,
    sleep: (ms, signal) => virtual.sleep(ms, signal),
    after: (ms, fn) => virtual.after(ms, fn),
  };
  const scope = new Scope('test');
  scopes.push(scope);
  const changes: string[] = [];
  let answered = 0;
  const health = new NodeHealth({
    runtime: async (c) => {
      await c.clock.sleep(12_000, c.signal);
      answered++;
    },
    network: fine,
    onChange: () => changes.push(aggregated(health.problems)),
    clock,
  });
  scope.spawn('health', () => health.run({ signal: scope.signal, clock, log: silentLogger }));
  for (let s = 0; s < 15; s++) await virtual.advance(1_000);
  /* As by SIGSTOP: its next sleep ends late, and an answer that has come meanwhile is heard a moment later. */
  stoodMs = 60_000;
  for (let s = 0; s < 30; s++) await virtual.advance(1_000);
  expect(answered).toBeGreaterThan(1);
  expect(changes).toEqual([]);
});
