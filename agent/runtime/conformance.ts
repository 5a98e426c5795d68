/** What every implementation of the runtime port keeps to, the fake included. Called inside a test file. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Ctx } from '#lib/base';
import type { ContainerId, ContainerState, Runtime, StartContainer, StreamSession } from './runtime.ts';

/** The programs that the suite needs; the harness says how its implementation runs them. */
export type ConformanceProgram =
  /** Runs until killed; SIGTERM ends it. */
  | { readonly kind: 'run' }
  | { readonly kind: 'exit'; readonly code: number }
  | { readonly kind: 'deaf' }
  /** Cannot be started. */
  | { readonly kind: 'missing' };

export interface Harness {
  readonly c: Ctx;
  /** The runtime of the agent that runs now. */
  readonly runtime: () => Runtime;
  /** The agent ends (or dies) and another one starts on the same host. `between` runs while there is none. */
  readonly restartAgent: (between?: () => Promise<void>) => Promise<void>;
  readonly container: (program: ConformanceProgram) => StartContainer;
  /** Waits until `probe` gives a value. */
  readonly eventually: <T>(probe: () => Promise<T | undefined>) => Promise<T>;
  /** Waits until the program of a container of kind 'run' takes signals: PID 1 never hears of one that came before. */
  readonly listening: (o: StartContainer) => Promise<void>;
  /** Ends a running container without the agent. */
  readonly killFromOutside: (state: ContainerState & { phase: 'running' }, id: ContainerId) => Promise<void>;
  readonly close: () => Promise<void>;
}

type Exited = ContainerState & { phase: 'exited' };

export function runtimeConformance(name: string, open: () => Promise<Harness>): void {
  describe(`runtime conformance: ${name}`, () => {
    let h: Harness;
    beforeEach(async () => {
      h = await open();
    });
    afterEach(async () => {
      await h.close();
    });

    const exited = (id: ContainerId): Promise<Exited> =>
      h.eventually(async () => {
        const s = await h.runtime().state(id, h.c);
        return s?.phase === 'exited' ? s : undefined;
      });

    test('start: running with a pid, listed with its labels', async () => {
      const o = h.container({ kind: 'run' });
      const state = await h.runtime().start(o, h.c);
      expect(state.phase).toBe('running');
      expect(state.pid).toBeGreaterThan(1);
      expect(await h.runtime().state(o.id, h.c)).toEqual(state);
      expect(await h.runtime().list(h.c)).toEqual([{ id: o.id, labels: o.labels, state }]);
    });

    test('start: the same id twice is AlreadyExists', async () => {
      const o = h.container({ kind: 'run' });
      await h.runtime().start(o, h.c);
      await expect(h.runtime().start(o, h.c)).rejects.toMatchObject({ kind: 'AlreadyExists' });
    });

    test('start: a program that is not there is Invalid and leaves nothing', async () => {
      const o = h.container({ kind: 'missing' });
      await expect(h.runtime().start(o, h.c)).rejects.toMatchObject({ kind: 'Invalid' });
      expect(await h.runtime().list(h.c)).toEqual([]);
    });

    test('beforeRun: before the program runs; who attached there is told of the end', async () => {
      const o = h.container({ kind: 'exit', code: 4 });
      const sessions: StreamSession[] = [];
      const beforeRun: StartContainer['beforeRun'] = async (attach) => {
        const s = await attach({ stdin: false });
        s.stdout.resume();
        s.stderr.resume();
        sessions.push(s);
      };
      await h.runtime().start({ ...o, beforeRun }, h.c);
      expect(sessions).toHaveLength(1);
      expect(await exited(o.id)).toMatchObject({ exitCode: 4 });
      expect(await sessions[0]?.exit).toBeUndefined();
    });

    test("beforeRun: its failure is the start's, and nothing is left", async () => {
      const o = h.container({ kind: 'run' });
      const failure = new Error('nobody came');
      await expect(h.runtime().start({ ...o, beforeRun: () => Promise.reject(failure) }, h.c)).rejects.toBe(failure);
      expect(await h.runtime().list(h.c)).toEqual([]);
      expect((await h.runtime().start(o, h.c)).phase).toBe('running');
    });

    test('exit: the code is kept and told once', async () => {
      const o = h.container({ kind: 'exit', code: 7 });
      const told: [ContainerId, Exited][] = [];
      using _subscription = h.runtime().onExit((id, s) => told.push([id, s]));
      const started = await h.runtime().start(o, h.c);
      const state = await exited(o.id);
      expect(state).toMatchObject({ exitCode: 7, signal: 0, oomKilled: false, lost: false });
      expect(state.startedAtMs).toBe(started.startedAtMs);
      expect(state.finishedAtMs).toBeGreaterThanOrEqual(state.startedAtMs);
      expect(told).toEqual([[o.id, state]]);
    });

    test('onExit: an ended subscription hears nothing', async () => {
      const o = h.container({ kind: 'run' });
      let told = 0;
      h.runtime()
        .onExit(() => told++)
        [Symbol.dispose]();
      await h.runtime().start(o, h.c);
      await h.runtime().kill(o.id, 'SIGKILL', {}, h.c);
      await exited(o.id);
      expect(told).toBe(0);
    });

    test('kill: the signal arrives; 128 + signal', async () => {
      for (const [signal, code] of [
        ['SIGTERM', 143],
        ['SIGKILL', 137],
      ] as const) {
        const o = h.container({ kind: 'run' });
        await h.runtime().start(o, h.c);
        await h.listening(o);
        await h.runtime().kill(o.id, signal, {}, h.c);
        const state = await exited(o.id);
        expect(state.exitCode).toBe(code);
        /* PID 1 of a process namespace catches SIGTERM or never dies of it, so it may end by an exit of that code. */
        expect([signal === 'SIGTERM' ? 0 : 9, code - 128]).toContain(state.signal);
      }
    });

    test('kill: who ignores SIGTERM dies of SIGKILL to all', async () => {
      const o = h.container({ kind: 'deaf' });
      await h.runtime().start(o, h.c);
      await h.runtime().kill(o.id, 'SIGTERM', {}, h.c);
      await h.runtime().kill(o.id, 'SIGKILL', { all: true }, h.c);
      expect(await exited(o.id)).toMatchObject({ exitCode: 137 });
    });

    test('what is gone: kill and remove are fine, state is undefined', async () => {
      const o = h.container({ kind: 'exit', code: 0 });
      await h.runtime().kill(o.id, 'SIGTERM', {}, h.c);
      await h.runtime().remove(o.id, h.c);
      expect(await h.runtime().state(o.id, h.c)).toBeUndefined();
      await h.runtime().start(o, h.c);
      await exited(o.id);
      await h.runtime().kill(o.id, 'SIGKILL', {}, h.c);
      await h.runtime().remove(o.id, h.c);
      await h.runtime().remove(o.id, h.c);
      expect(await h.runtime().state(o.id, h.c)).toBeUndefined();
      expect(await h.runtime().list(h.c)).toEqual([]);
    });

    test('remove: ends what runs; the id may be used again', async () => {
      const o = h.container({ kind: 'deaf' });
      const first = await h.runtime().start(o, h.c);
      await h.runtime().remove(o.id, h.c);
      expect(await h.runtime().list(h.c)).toEqual([]);
      const second = await h.runtime().start(o, h.c);
      expect(second.pid).not.toBe(first.pid);
    });

    test('agent restart: what runs is re-adopted, same pid and start, and its exit is told', async () => {
      const o = h.container({ kind: 'run' });
      const before = await h.runtime().start(o, h.c);
      await h.listening(o);
      await h.restartAgent();
      expect(await h.runtime().list(h.c)).toEqual([{ id: o.id, labels: o.labels, state: before }]);
      const told: ContainerId[] = [];
      using _subscription = h.runtime().onExit((id) => told.push(id));
      await h.runtime().kill(o.id, 'SIGTERM', {}, h.c);
      expect(await exited(o.id)).toMatchObject({ exitCode: 143, lost: false });
      expect(told).toEqual([o.id]);
    });

    test('agent restart: an exit meanwhile is known', async () => {
      const o = h.container({ kind: 'run' });
      const state = await h.runtime().start(o, h.c);
      await h.restartAgent(() => h.killFromOutside(state, o.id));
      expect(await exited(o.id)).toMatchObject({ exitCode: 137, signal: 9, lost: false });
    });

    test('exec: output and exit code', async () => {
      const o = h.container({ kind: 'run' });
      await h.runtime().start(o, h.c);
      const argv = ['sh', '-c', 'echo words; exit 3'];
      const session = await h.runtime().exec(o.id, { argv, tty: false, stdin: false }, h.c);
      session.stderr.resume();
      let out = '';
      session.stdout.on('data', (d: Buffer) => {
        out += d.toString();
      });
      const ended = new Promise((resolve) => session.stdout.once('end', resolve));
      expect(await session.exit).toBe(3);
      await ended;
      expect(out).toBe('words\n');
    });

    test('exec and attach: NotFound and Conflict', async () => {
      const o = h.container({ kind: 'exit', code: 0 });
      const r = { argv: ['true'], tty: false, stdin: false };
      await expect(h.runtime().exec(o.id, r, h.c)).rejects.toMatchObject({ kind: 'NotFound' });
      await expect(h.runtime().attach(o.id, { stdin: true }, h.c)).rejects.toMatchObject({ kind: 'NotFound' });
      await h.runtime().start(o, h.c);
      await exited(o.id);
      await expect(h.runtime().exec(o.id, r, h.c)).rejects.toMatchObject({ kind: 'Conflict' });
      await expect(h.runtime().attach(o.id, { stdin: true }, h.c)).rejects.toMatchObject({ kind: 'Conflict' });
    });

    test('attach: ends when the container does', async () => {
      const o = h.container({ kind: 'run' });
      await h.runtime().start(o, h.c);
      const session = await h.runtime().attach(o.id, { stdin: true }, h.c);
      session.stdout.resume();
      session.stderr.resume();
      await h.runtime().kill(o.id, 'SIGKILL', {}, h.c);
      expect(await session.exit).toBeUndefined();
    });
  });
}
