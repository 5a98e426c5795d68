import { describe, expect, test } from 'vitest';
import { bundleSpec, type HostLimits, parseHostLimits, supervisorConfig } from './bundle.ts';
import { execProcess } from './exec.ts';
import { ociBinary, startError } from './oci-binary.ts';
import type { ContainerId, StartContainer } from './runtime.ts';
import { signalNumber } from './signals.ts';

const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
const container: StartContainer = {
  id: 'a'.repeat(64) as ContainerId,
  labels: {},
  rootfs: '/roots/a',
  log: { path: '/log/0.log', maxBytes: 100, maxFiles: 2 },
  tty: true,
  stdin: true,
  stdinOnce: false,
  spec: {
    ociVersion: '1.0.2',
    root: { path: 'x', readonly: true },
    process: {
      terminal: false,
      user: { uid: 1, gid: 2 },
      args: ['a'],
      env: ['PATH=/bin', 'A=1'],
      cwd: '/',
      capabilities: none,
      noNewPrivileges: true,
      oomScoreAdj: -997,
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: 100, hard: 1_000_000 },
        { type: 'RLIMIT_CORE', soft: 1, hard: 2 },
      ],
    },
    mounts: [],
    linux: { namespaces: [], cgroupsPath: '/berth/pod/a', resources: {} },
  },
};
const host: HostLimits = { canRaise: false, oomScoreAdj: 0, rlimits: new Map([['RLIMIT_NOFILE', 20_000]]) };

describe('bundle', () => {
  test('root and terminal are set; what the host does not allow is clamped, the given spec is not touched', () => {
    const spec = bundleSpec(container, host);
    expect(spec.root).toEqual({ path: '/roots/a', readonly: true });
    expect(spec.process).toMatchObject({
      terminal: true,
      oomScoreAdj: 0,
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: 100, hard: 20_000 },
        { type: 'RLIMIT_CORE', soft: 1, hard: 2 },
      ],
    });
    expect(container.spec.process.oomScoreAdj).toBe(-997);
    expect(bundleSpec(container, { ...host, canRaise: true }).process.oomScoreAdj).toBe(-997);
  });

  test('host limits out of /proc', () => {
    const limits = `Limit                     Soft Limit           Hard Limit           Units
Max open files            1024                 20000                files
Max cpu time              unlimited            unlimited            seconds`;
    const h = parseHostLimits('Name:\tx\nCapEff:\t000001fffeffffff\n', limits, '-5\n');
    expect([h.canRaise, h.oomScoreAdj, [...h.rlimits]]).toEqual([false, -5, [['RLIMIT_NOFILE', 20_000]]]);
    expect(parseHostLimits('CapEff:\t000001ffffffffff\n', '', '0').canRaise).toBe(true);
  });

  test('the supervisor config: records with NUL behind each; a NUL inside is refused', () => {
    const parts = {
      runtime: 'crun',
      runtimeArguments: ['--root', '/r'],
      privateCgroups: true,
      oomFile: '/o',
      procsFile: '',
    };
    const text = supervisorConfig(container, parts).toString();
    expect(text.endsWith('\0')).toBe(true);
    expect(text.split('\0')).toEqual(
      expect.arrayContaining(['argument=--root', 'argument=/r', 'private-cgroups=1', 'tty=1', 'log-files-max=2']),
    );
    expect(() => supervisorConfig({ ...container, log: { path: 'a\0b', maxBytes: 100, maxFiles: 2 } }, parts)).toThrow(
      /NUL/,
    );
  });

  test("exec: the container's process with another program", () => {
    const p = execProcess(container.spec.process, { argv: ['sh'], env: ['A=2'], cwd: '/x', tty: true, stdin: true });
    expect(p).toMatchObject({ args: ['sh'], cwd: '/x', terminal: true, user: { uid: 1, gid: 2 } });
    expect(p.env).toEqual(['PATH=/bin', 'A=2', 'TERM=xterm']);
  });

  test('runtimes: crun gets its own cgroup mounts where there are v1 controllers', () => {
    expect(
      ociBinary({ path: '/usr/bin/crun', arguments: [], isCrun: true, takesFilter: true }, '/state', 'hybrid'),
    ).toEqual({
      path: '/usr/bin/crun',
      arguments: ['--root', '/state/crun', '--cgroup-manager', 'cgroupfs'],
      privateCgroups: true,
      takesFilter: true,
    });
    expect(
      ociBinary({ path: 'crun', arguments: [], isCrun: true, takesFilter: true }, '/state', 'v2').privateCgroups,
    ).toBe(false);
    expect(
      ociBinary({ path: 'runc', arguments: ['--debug'], isCrun: false, takesFilter: false }, '/state', 'v1'),
    ).toMatchObject({
      arguments: ['--debug', '--root', '/state/runc'],
      privateCgroups: false,
    });
  });

  test("a failed start: the runtime's last error, else what it printed, else its status", () => {
    const report = (log: string, output: string): string => JSON.stringify({ status: 1, log, output });
    const log = '{"level":"warning","msg":"w"}\n{"level":"error","msg":"no such program"}\n';
    expect(startError('start', report(log, 'o'))).toMatchObject({ kind: 'Invalid', message: 'start: no such program' });
    expect(startError('start', report('', 'exec format error\n')).message).toBe('start: exec format error');
    expect(startError('start', report('', ''))).toMatchObject({ kind: 'Internal' });
    expect(startError('start', 'berth: out of memory')).toMatchObject({
      kind: 'Internal',
      message: 'start: berth: out of memory',
    });
  });

  test('signals by name and number', () => {
    expect(['SIGTERM', 'TERM', '9', 'SIGRTMIN+3', 'RTMIN'].map(signalNumber)).toEqual([15, 15, 9, 37, 34]);
    for (const bad of ['SIGNOPE', '65', '', '-1']) expect(() => signalNumber(bad)).toThrow(/unknown signal/);
  });
});
