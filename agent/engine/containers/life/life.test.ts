/** The life of containers under a runtime without a kernel, on virtual time. */
import { describe, expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { FakeHost, type FakeProgram } from '../../../runtime/fake.ts';
import type { ContainerId, StartContainer } from '../../../runtime/runtime.ts';
import type { ContainerRecord } from '../../parts.ts';
import type { HostConfig } from '../../types.ts';
import { EMPTY_CONFIG } from '../create/decode.ts';
import { Life } from './life.ts';
import type { LifeHost, StoredContainer } from './ports.ts';
import { isRunning } from './state.ts';

const ID = 'a'.repeat(64) as ContainerId;

class World {
  readonly clock = new VirtualClock();
  readonly c: Ctx = { signal: new AbortController().signal, clock: this.clock, log: silentLogger };
  readonly events: string[] = [];
  readonly saved: StoredContainer[] = [];
  readonly made = new Set<string>();
  program: FakeProgram = {};
  readonly host = new FakeHost({ clock: this.clock, script: () => this.program });
  readonly runtime = this.host.open();
  prepared = 0;
  frozen = false;
  isGone = false;
  life: Life;

  constructor(hostConfig: Partial<HostConfig> = {}, o: Partial<ContainerRecord> = {}) {
    this.life = new Life(this.lifeHost(), { record: record(hostConfig, o), hasRun: false }, { phase: 'created' });
    this.runtime.onExit((_, s) => void this.life.exited(s));
  }

  lifeHost(): LifeHost {
    return {
      runtime: this.runtime,
      c: this.c,
      store: { save: async (s) => void this.saved.push(s), sync: async () => undefined },
      freezer: {
        freeze: async () => this.freeze(true),
        thaw: async () => this.freeze(false),
        isFrozen: async () => this.frozen,
      },
      health: { begin: () => undefined, hold: () => undefined, end: () => undefined },
      steps: {
        prepare: async (r) => {
          this.prepared++;
          this.made.add(r.id);
          await Promise.resolve();
          return { id: r.id, labels: {} } as StartContainer;
        },
        adopt: async (r) => void this.made.add(r.id),
        release: async (r) => void this.made.delete(r.id),
        discard: async (r) => void this.made.delete(r.id),
      },
      forget: (id) => void this.runtime.remove(id, this.c),
      cgroupOf: () => '/x',
      emit: (_, action, a) => this.events.push([action, ...Object.values(a ?? {})].join(' ')),
      gone: () => {
        this.isGone = true;
      },
    };
  }

  freeze(isFrozen: boolean): void {
    this.frozen = isFrozen;
  }

  /** A call that needs no time, but timers that are due. */
  async through<T>(call: Promise<T>): Promise<T> {
    call.catch(() => undefined);
    for (let n = 0; n < 10; n++) await this.clock.advance(0);
    return call;
  }

  /** As the next agent finds it. */
  async reopen(): Promise<void> {
    await this.life.close();
    const stored = this.saved.at(-1) ?? { record: this.life.record, hasRun: false };
    const run = await this.runtime.state(ID, this.c);
    const never = stored.hasRun ? ({ phase: 'exited', run: undefined } as const) : ({ phase: 'created' } as const);
    const state =
      run === undefined ? never : run.phase === 'running' ? { phase: run.phase, run } : { phase: run.phase, run };
    this.life = new Life(this.lifeHost(), stored, state);
    await this.life.resume();
  }
}

function record(hostConfig: Partial<HostConfig>, o: Partial<ContainerRecord>): ContainerRecord {
  return {
    id: ID,
    name: 'box',
    createdAtMs: 0,
    imageId: `sha256:${'0'.repeat(64)}` as ContainerRecord['imageId'],
    path: 'sh',
    args: [],
    config: EMPTY_CONFIG,
    hostConfig: { NetworkMode: 'none', ...hostConfig },
    endpoints: {},
    mounts: [],
    restartCount: 0,
    isStoppedByUser: false,
    error: '',
    ...o,
  };
}

const policy = (Name: 'always' | 'unless-stopped' | 'on-failure', MaximumRetryCount = 0): Partial<HostConfig> => ({
  RestartPolicy: { Name, MaximumRetryCount },
});

test('a run to its end: events in order, the exit code, the waiters', async () => {
  const w = new World();
  w.program = { exit: { afterMs: 5000, code: 3 } };
  const stopped = w.life.wait('next-exit', w.c.signal);
  expect(await w.life.wait('not-running', w.c.signal)).toEqual({ exitCode: 0, error: '' });
  expect(await w.life.start()).toBe('started');
  expect(await w.life.start()).toBe('unchanged');
  expect([w.life.status, w.made.size]).toEqual(['running', 1]);
  await w.clock.advance(5000);
  expect(await stopped).toEqual({ exitCode: 3, error: '' });
  expect([w.life.status, w.life.exitCode, w.made.size]).toEqual(['exited', 3, 0]);
  const removed = w.life.wait('removed', w.c.signal);
  await w.life.remove({ force: false, volumes: false });
  expect(await removed).toEqual({ exitCode: 3, error: '' });
  expect(w.events).toEqual(['start', 'die 3 5', 'destroy']);
  expect([w.isGone, w.host.containers.size]).toEqual([true, 0]);
});

test('while it runs again its record says when it ended before, also to the next agent', async () => {
  const w = new World();
  w.program = { exit: { afterMs: 5000, code: 0 } };
  await w.life.start();
  expect(w.life.record.finishedAtMs).toBeUndefined();
  await w.clock.advance(5000);
  const { state } = w.life;
  const endedMs = state.phase === 'exited' && state.run?.finishedAtMs;
  await w.clock.advance(7000);
  await w.life.start();
  expect([w.life.status, w.life.record.finishedAtMs]).toEqual(['running', endedMs]);
  await w.reopen();
  expect([w.life.status, w.life.record.finishedAtMs]).toEqual(['running', endedMs]);
});

describe('stop', () => {
  test('sends the signal, and kills after the time limit', async () => {
    const w = new World();
    w.program = { termMs: 'never' };
    await w.life.start();
    const stopped = w.life.stop({ timeoutS: 4 });
    await w.clock.advance(0);
    await w.clock.advance(3999);
    expect(w.life.status).toBe('running');
    await w.clock.advance(1);
    expect([await stopped, await w.life.stop({})]).toEqual(['stopped', 'unchanged']);
    expect(w.events).toEqual(['start', 'kill 15', 'kill 9', 'die 137 4', 'stop']);
  });

  test('a kill reaches a container that is being stopped for ever', async () => {
    const w = new World();
    w.program = { termMs: 'never' };
    await w.life.start();
    const stopped = w.life.stop({ timeoutS: -1 });
    await w.clock.advance(1_000_000);
    await w.life.kill();
    expect(await stopped).toBe('stopped');
  });

  test('of one that is not there any more is refused in Docker’s words', async () => {
    const w = new World();
    await expect(w.life.kill()).rejects.toMatchObject({ status: 409, message: `container ${ID} is not running` });
  });
});

describe('restart policies', () => {
  test('waits double from 100 ms to a minute, and begin anew after ten seconds up', async () => {
    const w = new World(policy('always'));
    w.program = { exit: { afterMs: 0, code: 1 } };
    await w.life.start();
    const delays: number[] = [];
    for (let n = 0; n < 12; n++) {
      await w.clock.advance(0);
      expect(w.life.status).toBe('restarting');
      const at = w.clock.now();
      delays.push((w.clock.nextAt() ?? 0) - at);
      if (n === 11) w.program = { exit: { afterMs: 10_000, code: 1 } };
      await w.clock.advance(delays.at(-1) ?? 0);
    }
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    expect(w.life.record.restartCount).toBe(12);
    await w.clock.advance(10_000);
    expect((w.clock.nextAt() ?? 0) - w.clock.now()).toBe(100);
  });

  test('on-failure counts its tries; a user’s start counts anew', async () => {
    const w = new World(policy('on-failure', 2));
    w.program = { exit: { afterMs: 0, code: 1 } };
    await w.life.start();
    await w.clock.advance(100_000);
    expect([w.life.status, w.life.record.restartCount, w.prepared]).toEqual(['exited', 2, 3]);
    w.program = { exit: { afterMs: 0, code: 0 } };
    await w.life.start();
    await w.clock.advance(100_000);
    expect([w.life.status, w.life.record.restartCount, w.prepared]).toEqual(['exited', 0, 4]);
  });

  test('a user’s stop ends them, also while it waits', async () => {
    const w = new World(policy('always'));
    await w.life.start();
    await w.through(w.life.stop({}));
    await w.clock.advance(100_000);
    expect(w.life.status).toBe('exited');
    w.program = { exit: { afterMs: 0, code: 1 } };
    await w.life.start();
    await w.clock.advance(50);
    expect(w.life.status).toBe('restarting');
    expect(await w.life.start()).toBe('unchanged');
    await w.through(w.life.stop({}));
    await w.clock.advance(100_000);
    expect([w.life.status, w.prepared]).toEqual(['exited', 2]);
  });

  test('a signal that is not the stop signal leaves them on', async () => {
    const w = new World(policy('always'), { config: { ...EMPTY_CONFIG, StopSignal: 'SIGQUIT' } });
    await w.life.start();
    await w.life.signal(1);
    await w.clock.advance(200);
    expect([w.life.status, w.prepared]).toEqual(['running', 2]);
  });

  test('when the engine opens: always starts, unless-stopped not what a user has stopped', async () => {
    for (const [name, status] of [
      ['always', 'running'],
      ['unless-stopped', 'exited'],
    ] as const) {
      const w = new World(policy(name));
      await w.life.start();
      await w.through(w.life.stop({}));
      await w.through(w.reopen());
      expect(w.life.status).toBe(status);
    }
    const never = new World(policy('always'));
    await never.through(never.reopen());
    expect(never.life.status).toBe('created');
  });

  test('a container that waits when the agent dies is started by the next', async () => {
    const w = new World(policy('on-failure'));
    w.program = { exit: { afterMs: 0, code: 1 } };
    await w.life.start();
    await w.clock.advance(0);
    expect(w.life.status).toBe('restarting');
    w.program = {};
    await w.through(w.reopen());
    expect([w.life.status, w.life.record.restartCount]).toEqual(['running', 1]);
  });
});

describe('a start that fails', () => {
  test('says why, keeps the code, leaves nothing; a later start forgets it', async () => {
    const w = new World();
    w.program = { failStart: 'executable file `nope` not found in $PATH: No such file or directory' };
    await expect(w.life.start()).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('exec: "nope": executable file not found in $PATH') as string,
    });
    expect([w.life.status, w.life.exitCode, w.made.size]).toEqual(['created', 127, 0]);
    expect(w.life.record.error).toContain('executable file not found');
    w.program = {};
    await w.life.start();
    expect([w.life.status, w.life.exitCode, w.life.record.error]).toEqual(['running', 0, '']);
  });

  test('with AutoRemove it is gone', async () => {
    const w = new World({ AutoRemove: true });
    w.program = { failStart: 'permission denied' };
    await expect(w.life.start()).rejects.toMatchObject({ status: 400 });
    await w.life.wait('removed', w.c.signal);
    expect([w.isGone, w.events]).toEqual([true, ['destroy']]);
  });
});

describe('removal', () => {
  test('of one that runs only by force; twice at once is refused', async () => {
    const w = new World();
    await w.life.start();
    await expect(w.life.remove({ force: false, volumes: false })).rejects.toMatchObject({
      status: 409,
      message:
        'cannot remove container "/box": container is running: stop the container before removing or force remove',
    });
    const first = w.life.remove({ force: true, volumes: false });
    await expect(w.life.remove({ force: true, volumes: false })).rejects.toMatchObject({
      status: 409,
      message: 'removal of container box is already in progress',
    });
    await first;
    expect(w.events).toEqual(['start', 'kill 9', 'die 137 0', 'destroy']);
  });

  test('by itself after its end, also where the agent died before', async () => {
    const w = new World({ AutoRemove: true });
    await w.life.start();
    await w.life.close();
    w.host.exit(ID, 0);
    await w.through(w.reopen());
    expect(w.isGone).toBe(true);
  });

  test('that had begun is ended by the next agent', async () => {
    const w = new World();
    await w.life.start();
    await w.through(w.life.stop({}));
    w.saved.push({ record: w.life.record, hasRun: true, removal: { volumes: true } });
    await w.through(w.reopen());
    expect([w.isGone, w.host.containers.size]).toEqual([true, 0]);
  });

  test('a restart by a user does not remove it', async () => {
    const w = new World({ AutoRemove: true });
    await w.life.start();
    await w.through(w.life.restart({}));
    expect([w.life.status, w.isGone]).toEqual(['running', false]);
    expect(w.events).toEqual(['start', 'kill 15', 'die 143 0', 'stop', 'start', 'restart']);
  });

  test('nor do two at once, whichever ends first', async () => {
    const w = new World({ AutoRemove: true });
    w.program = { termMs: 100 };
    await w.life.start();
    const both = Promise.all([w.life.restart({}), w.life.restart({})]);
    both.catch(() => undefined);
    let isOver = false;
    void both.finally(() => {
      isOver = true;
    });
    for (let n = 0; n < 200 && !isOver; n++) await w.clock.advance(10);
    await both;
    expect([w.life.status, w.isGone]).toEqual(['running', false]);
  });
});

test('after the close nothing is started by a policy', async () => {
  const w = new World(policy('always'));
  w.program = { exit: { afterMs: 100, code: 1 } };
  await w.life.start();
  const { state } = w.life;
  const closing = w.life.close();
  await w.clock.advance(100);
  await closing;
  await w.clock.advance(60_000);
  expect(state.phase).toBe('running');
  expect(w.prepared).toBe(1);
});

test('a paused container: what is refused, and that its stop thaws it', async () => {
  const w = new World();
  await expect(w.life.pause()).rejects.toMatchObject({ status: 409 });
  await w.life.start();
  await w.life.pause();
  expect([w.life.status, w.frozen]).toEqual(['paused', true]);
  await expect(w.life.pause()).rejects.toMatchObject({ message: `Container ${ID} is already paused` });
  await expect(w.life.start()).rejects.toMatchObject({
    status: 409,
    message: 'cannot start a paused container, try unpause instead',
  });
  await w.through(w.life.stop({}));
  expect([w.life.status, w.frozen]).toEqual(['exited', false]);
});

/** A small generator with a seed, so that a failure can be had again. */
function dice(seed: number): (n: number) => number {
  let at = seed;
  return (n) => {
    at = (Math.imul(at, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((at / 2 ** 32) * n);
  };
}

test('whatever comes at once: nothing hangs, one run at a time, and nothing is left', { timeout: 60_000 }, async () => {
  for (let seed = 1; seed <= 150; seed++) {
    const roll = dice(seed);
    const w = new World([{}, policy('always'), policy('on-failure', 3), { AutoRemove: true }][roll(4)]);
    w.program =
      [{}, { termMs: 'never' as const }, { exit: { afterMs: 300, code: roll(2) } }, { startMs: 20 }][roll(4)] ?? {};
    const calls: readonly (() => Promise<unknown>)[] = [
      () => w.life.start(),
      () => w.life.start(),
      () => w.life.stop({ timeoutS: roll(3) }),
      () => w.life.kill(),
      () => w.life.signal(1),
      () => w.life.restart({ timeoutS: 0 }),
      () => w.life.pause(),
      () => w.life.unpause(),
      () => w.life.remove({ force: roll(2) === 0, volumes: false }),
    ];
    const open: Promise<unknown>[] = [];
    for (let n = 0; n < 40; n++) {
      open.push((calls[roll(calls.length)] ?? (() => Promise.resolve()))().catch(() => undefined));
      await w.clock.advance(roll(120));
      if (w.life.state.phase === 'gone') break;
    }
    await w.clock.advance(200_000);
    await Promise.all(open);
    if (w.life.state.phase !== 'gone') await w.life.remove({ force: true, volumes: false });
    await w.clock.advance(200_000);
    const starts = w.events.filter((e) => e === 'start').length;
    const ends = w.events.filter((e) => e.startsWith('die')).length;
    expect({ seed, starts, isGone: w.isGone, left: w.host.containers.size, made: w.made.size }).toEqual({
      ...{ seed, starts: ends, isGone: true, left: 0, made: 0 },
    });
    expect(isRunning(w.life.state)).toBe(false);
    expect(w.events.filter((e) => e === 'destroy')).toHaveLength(1);
  }
});
