/** Real containers for integration tests: a busybox root, ids, specifications, and the check that nothing is left behind. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect } from 'vitest';
import { type Ctx, createLogger, realClock, realRandom } from '#lib/base';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import type { Harness } from '../../agent/runtime/conformance.ts';
import type { OciSpec } from '../../agent/runtime/oci-spec.ts';
import { type OpenRuntime, openRuntime } from '../../agent/runtime/open.ts';
import type {
  ContainerId,
  ContainerLog,
  ContainerState,
  ExecRequest,
  StartContainer,
} from '../../agent/runtime/runtime.ts';
import { limitMs } from '../harness/time-limit.ts';

export const helperPath = resolve('dist/berth-helper');
const APPLETS =
  'sh mount umount unshare cat echo sleep true false head tail stty wc seq dd id kill yes mkdir ls ps test tr nc'.split(
    ' ',
  );
const CAPABILITIES = ['CAP_KILL', 'CAP_SETUID', 'CAP_SETGID', 'CAP_CHOWN', 'CAP_DAC_OVERRIDE'];

export type LoggedContainer = StartContainer & { readonly log: ContainerLog };

export class RuntimeHost {
  readonly folder = mkdtempSync(join(tmpdir(), 'berth-test-runtime-'));
  readonly group = `/berth-test-${realRandom.hex(6)}`;
  readonly abort = new AbortController();
  readonly c: Ctx = {
    signal: this.abort.signal,
    clock: realClock,
    log: createLogger({ component: 'test', level: 'error' }),
  };
  readonly rootfs = join(this.folder, 'rootfs');
  readonly program: string;
  kernel!: LinuxKernel;
  runtime!: OpenRuntime;

  constructor(program: string) {
    this.program = program;
    for (const name of ['bin', 'proc', 'dev', 'sys', 'tmp']) mkdirSync(join(this.rootfs, name), { recursive: true });
    copyFileSync('/bin/busybox', join(this.rootfs, 'bin/busybox'));
    for (const name of APPLETS) symlinkSync('busybox', join(this.rootfs, 'bin', name));
  }

  static async open(program: string): Promise<RuntimeHost> {
    const host = new RuntimeHost(program);
    host.kernel = await openKernel({ helperPath, environment: process.env });
    host.runtime = await host.openRuntime();
    return host;
  }

  get containers(): string {
    return join(this.folder, 'containers');
  }

  openRuntime(): Promise<OpenRuntime> {
    return openRuntime({ kernel: this.kernel, folder: this.containers, runtime: this.program }, this.c);
  }

  container(args: readonly string[], o: Partial<LoggedContainer> = {}): LoggedContainer {
    const id = realRandom.hex(32) as ContainerId;
    return {
      id,
      labels: { pod: 'a/b', attempt: '0' },
      spec: this.spec(args, id),
      rootfs: this.rootfs,
      log: { path: join(this.folder, 'log', `${id.slice(0, 8)}.log`), maxBytes: 10 << 20, maxFiles: 5 },
      tty: false,
      stdin: false,
      stdinOnce: false,
      ...o,
    };
  }

  spec(args: readonly string[], id: string): OciSpec {
    return {
      ociVersion: '1.0.2',
      root: { path: this.rootfs, readonly: false },
      hostname: 'box',
      process: {
        terminal: false,
        user: { uid: 0, gid: 0 },
        args: [...args],
        env: ['PATH=/bin'],
        cwd: '/',
        capabilities: {
          bounding: CAPABILITIES,
          effective: CAPABILITIES,
          permitted: CAPABILITIES,
          inheritable: [],
          ambient: [],
        },
        noNewPrivileges: true,
      },
      mounts: [
        { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
        { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'mode=755', 'size=65536k'] },
        {
          destination: '/dev/pts',
          type: 'devpts',
          source: 'devpts',
          options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
        },
      ],
      linux: {
        namespaces: [{ type: 'pid' }, { type: 'mount' }, { type: 'ipc' }, { type: 'uts' }, { type: 'network' }],
        cgroupsPath: `${this.group}/${id}`,
        resources: { pids: { limit: 200 } },
      },
    };
  }

  async exited(id: ContainerId): Promise<ContainerState & { phase: 'exited' }> {
    return eventually(`exit of ${id.slice(0, 8)}`, async () => {
      const s = await this.runtime.state(id, this.c);
      return s?.phase === 'exited' ? s : undefined;
    });
  }

  /** The container's log without its time stamps. */
  log(o: StartContainer): string[] {
    const path = o.log?.path ?? '';
    if (!existsSync(path)) return [];
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((l) => l !== '')
      .map((l) => l.slice(l.indexOf(' ') + 1));
  }

  /** Runs to the end; exit code and what it wrote. */
  async exec(
    id: ContainerId,
    r: Partial<ExecRequest> & { argv: readonly string[] },
    stdin?: string,
  ): Promise<[number | undefined, string, string]> {
    const s = await this.runtime.exec(id, { tty: false, stdin: stdin !== undefined, ...r }, this.c);
    const out = collect(s.stdout);
    const err = collect(s.stderr);
    if (stdin !== undefined) s.stdin.end(stdin);
    return [await s.exit, await out.end, await err.end];
  }

  async restartAgent(between?: () => Promise<void>): Promise<void> {
    await this.runtime[Symbol.asyncDispose]();
    await between?.();
    this.runtime = await this.openRuntime();
  }

  supervisors(): number[] {
    return processesWith(`berth-helper supervise ${this.containers}`);
  }

  /** Removes all containers; then no process, mount, cgroup or file may be left. */
  async close(): Promise<void> {
    for (const record of await this.runtime.list(this.c)) await this.runtime.remove(record.id, this.c);
    await this.runtime[Symbol.asyncDispose]();
    await eventually('supervisors gone', () => (processesWith(this.containers).length === 0 ? true : undefined));
    expect(readdirSync(this.containers)).toEqual(['.runtime']);
    for (const name of readdirSync(join(this.containers, '.runtime')))
      expect(readdirSync(join(this.containers, '.runtime', name))).toEqual([]);
    expect(await this.kernel.cgroups.children(this.group, this.c)).toEqual([]);
    await this.kernel.cgroups.remove(this.group, this.c);
    expect(await this.kernel.mounts.below(this.folder, this.c)).toEqual([]);
    await this.kernel[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export async function conformanceHarness(program: string): Promise<Harness> {
  const host = await RuntimeHost.open(program);
  const lines = {
    run: [
      'sh',
      '-c',
      'trap "kill -TERM $!; trap - TERM; kill -TERM 1; exit 143" TERM; echo listening; sleep 1000 & wait',
    ],
    deaf: ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'],
    missing: ['/bin/no-such-program'],
  };
  return {
    c: host.c,
    runtime: () => host.runtime,
    restartAgent: (between) => host.restartAgent(between),
    container: (p) => {
      if (p.kind === 'exit') return host.container(['sh', '-c', `exit ${p.code}`]);
      return host.container(lines[p.kind]);
    },
    eventually: (probe) => eventually('conformance', probe),
    listening: (o) =>
      eventually('listening', () => (host.log(o).some((l) => l.includes('listening')) ? true : undefined)).then(
        () => undefined,
      ),
    killFromOutside: async (state) => {
      process.kill(state.pid, 'SIGKILL');
      await eventually('outside kill', () => (existsSync(`/proc/${state.pid}`) ? undefined : true));
    },
    close: () => host.close(),
  };
}

export async function eventually<T>(what: string, probe: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const end = realClock.monotonic() + limitMs(20_000);
  for (;;) {
    const v = await probe();
    if (v !== undefined) return v;
    if (realClock.monotonic() > end) throw new Error(`never: ${what}`);
    await realClock.sleep(5);
  }
}

/** Everything a stream gives, so far (`text`) and at its end. */
export function collect(stream: NodeJS.ReadableStream): { text: () => string; end: Promise<string> } {
  let text = '';
  stream.on('data', (d: Buffer) => {
    text += d.toString();
  });
  return { text: () => text, end: new Promise((resolve) => stream.once('end', () => resolve(text))) };
}

/** It may have ended in this moment. */
export function killHard(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && e.code === 'ESRCH')) throw e;
  }
}

export function processesWith(mark: string): number[] {
  const out: number[] = [];
  for (const pid of readdirSync('/proc').filter((n) => /^\d+$/.test(n))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(mark)) out.push(Number(pid));
    } catch {
      /* It ended meanwhile. */
    }
  }
  return out;
}
