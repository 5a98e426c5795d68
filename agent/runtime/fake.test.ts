import { expect, test } from 'vitest';
import { silentLogger, VirtualClock } from '#lib/base';
import { type ConformanceProgram, type Harness, runtimeConformance } from './conformance.ts';
import { FakeHost, type FakeProgram, type FakeRuntime } from './fake.ts';
import type { ContainerId, StartContainer } from './runtime.ts';

function program(p: ConformanceProgram): FakeProgram {
  const exec: NonNullable<FakeProgram['exec']> = (r) => {
    const [, text, code] = /^echo (\w+); exit (\d+)$/.exec(r.argv[2] ?? '') ?? [];
    return { code: Number(code), stdout: `${text}\n` };
  };
  if (p.kind === 'exit') return { exit: { afterMs: 10, code: p.code } };
  if (p.kind === 'deaf') return { termMs: 'never' };
  if (p.kind === 'missing') return { failStart: 'no such program' };
  return { exec };
}

function containerOf(n: number): StartContainer {
  const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
  return {
    id: n.toString(16).padStart(64, '0') as ContainerId,
    labels: { number: String(n) },
    rootfs: '/rootfs',
    log: { path: '/log', maxBytes: 0, maxFiles: 1 },
    tty: false,
    stdin: false,
    stdinOnce: false,
    spec: {
      ociVersion: '1.0.2',
      root: { path: '/rootfs', readonly: false },
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: ['x'],
        env: [],
        cwd: '/',
        capabilities: none,
        noNewPrivileges: true,
      },
      mounts: [],
      linux: { namespaces: [], cgroupsPath: '/x', resources: {} },
    },
  };
}

async function harness(): Promise<Harness> {
  const clock = new VirtualClock();
  const programs = new Map<ContainerId, FakeProgram>();
  const host = new FakeHost({ clock, script: (o) => programs.get(o.id) ?? {} });
  let runtime: FakeRuntime = host.open();
  let count = 0;
  return {
    c: { signal: new AbortController().signal, clock, log: silentLogger },
    runtime: () => runtime,
    restartAgent: async (between) => {
      await runtime[Symbol.asyncDispose]();
      await between?.();
      runtime = host.open();
    },
    container: (p) => {
      const o = containerOf(++count);
      programs.set(o.id, program(p));
      return o;
    },
    eventually: async (probe) => {
      for (let i = 0; i < 100; i++) {
        const v = await probe();
        if (v !== undefined) return v;
        await clock.advance(5);
      }
      throw new Error('never');
    },
    listening: async () => undefined,
    killFromOutside: async (_state, id) => host.exit(id, 137, { signal: 9 }),
    close: () => runtime[Symbol.asyncDispose](),
  };
}

runtimeConformance('fake', harness);

test('fake: a reboot loses what ran', async () => {
  const clock = new VirtualClock();
  const host = new FakeHost({ clock });
  const c = { signal: new AbortController().signal, clock, log: silentLogger };
  const runtime = host.open();
  const o = containerOf(1);
  await runtime.start(o, c);
  host.reboot();
  expect(await runtime.state(o.id, c)).toMatchObject({ phase: 'exited', exitCode: 137, lost: true });
});
