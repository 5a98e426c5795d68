/**
 * What a container's folder holds and how it is written and read. Pure but for the two readers at the end.
 *
 *   container.json  labels and how it was started: there before anything runs, synced before the container is told of
 *   config          for agent/native/supervise.c: key=value records, NUL behind each
 *   config.json     leads to the OCI bundle, which lies in memory (bundle-files.ts)
 *   started.json, exit.json, sock, stdout, stderr, pid, runtime.log: the supervisor's and the runtime's
 */
import { readFile } from 'node:fs/promises';
import { StatusError } from '#lib/base';
import type { OciSpec } from './oci-spec.ts';
import type { ContainerState, StartContainer } from './runtime.ts';
import type { StageRecord } from './stage.ts';

export interface ContainerFile {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  /** /proc/sys/kernel/random/boot_id when it was made: in another boot nothing of it lives. */
  readonly bootId: string;
  readonly runtime: string;
  readonly cgroupsPath: string;
  /** '' = none is written. */
  readonly log: string;
}

export interface StartedFile {
  readonly pid: number;
  readonly startTicks: number;
  readonly bootId: string;
  readonly startedAtMs: number;
}

export type ExitFile = Omit<ContainerState & { phase: 'exited' }, 'phase'>;

export interface HostLimits {
  /** With CAP_SYS_RESOURCE nothing is clamped. */
  readonly canRaise: boolean;
  /** The lowest oom_score_adj that a child may get. */
  readonly oomScoreAdj: number;
  /** Hard limits by RLIMIT_X; absent = unlimited. */
  readonly rlimits: ReadonlyMap<string, number>;
}

export interface SupervisorConfig {
  readonly runtime: string;
  readonly runtimeArguments: readonly string[];
  readonly privateCgroups: boolean;
  readonly oomFile: string;
  readonly procsFile: string;
}

/** The bundle's specification as this host can run it: root and terminal set, what it may not raise clamped. */
export function bundleSpec(o: StartContainer, host: HostLimits): OciSpec {
  const spec = o.spec;
  const process = { ...spec.process, terminal: o.tty };
  if (!host.canRaise) {
    if (process.oomScoreAdj !== undefined) process.oomScoreAdj = Math.max(process.oomScoreAdj, host.oomScoreAdj);
    if (process.rlimits !== undefined)
      process.rlimits = process.rlimits.map((r) => {
        const most = host.rlimits.get(r.type) ?? Number.POSITIVE_INFINITY;
        return { type: r.type, soft: Math.min(r.soft, most), hard: Math.min(r.hard, most) };
      });
  }
  return { ...spec, root: { ...spec.root, path: o.rootfs }, process };
}

export function supervisorConfig(o: StartContainer, s: SupervisorConfig, more: readonly StageRecord[] = []): Buffer {
  const records: [string, string][] = [
    ['id', o.id],
    ['runtime', s.runtime],
    ...s.runtimeArguments.map((a): [string, string] => ['argument', a]),
    ['private-cgroups', flag(s.privateCgroups)],
    ['log', o.log?.path ?? ''],
    ['log-bytes-max', String(o.log?.maxBytes ?? 0)],
    ['log-files-max', String(o.log?.maxFiles ?? 1)],
    ['tty', flag(o.tty)],
    ['stdin', flag(o.stdin)],
    ['stdin-once', flag(o.stdinOnce)],
    ['oom-file', s.oomFile],
    ['procs-file', s.procsFile],
    ...more.map(([key, value]): [string, string] => [key, value]),
  ];
  const bad = records.find(([, v]) => v.includes('\0'));
  if (bad) throw new StatusError('Invalid', `container ${o.id}: ${bad[0]} holds a NUL`);
  return Buffer.from(records.map(([k, v]) => `${k}=${v}\0`).join(''));
}

function flag(on: boolean): string {
  return on ? '1' : '0';
}

export const LOST_EXIT_CODE = 137;

export function exitedState(e: ExitFile): ContainerState & { phase: 'exited' } {
  return { phase: 'exited', ...e };
}

/** The record of an exit that nobody saw. Source: kubernetes pkg/kubelet/kubelet_pods.go (ContainerStatusUnknown: 137). */
export function lostExit(startedAtMs: number, nowMs: number): ExitFile {
  return { exitCode: LOST_EXIT_CODE, signal: 0, oomKilled: false, startedAtMs, finishedAtMs: nowMs, lost: true };
}

/** Parsed JSON of our own making, or undefined when it is absent or was cut short. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (e) {
    if (e instanceof SyntaxError) return undefined;
    if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')) return undefined;
    throw e;
  }
}

/** proc(5): /proc/sys/kernel/random/boot_id. */
export async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** proc(5): /proc/self/status, /proc/self/limits, /proc/self/oom_score_adj. */
export function parseHostLimits(status: string, limits: string, oomScoreAdj: string): HostLimits {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  const rlimits = new Map<string, number>();
  for (const line of limits.split('\n').slice(1)) {
    const [, name, hard] = /^Max (.+?)\s{2,}\S+\s+(\S+)/.exec(line) ?? [];
    const type = RLIMIT_NAMES[name ?? ''];
    if (type !== undefined && hard !== undefined && hard !== 'unlimited') rlimits.set(type, Number(hard));
  }
  return { canRaise: ((BigInt(`0x${effective}`) >> 24n) & 1n) === 1n, oomScoreAdj: Number(oomScoreAdj), rlimits };
}

const RLIMIT_NAMES: Readonly<Record<string, string>> = {
  'cpu time': 'RLIMIT_CPU',
  'file size': 'RLIMIT_FSIZE',
  'data size': 'RLIMIT_DATA',
  'stack size': 'RLIMIT_STACK',
  'core file size': 'RLIMIT_CORE',
  'resident set': 'RLIMIT_RSS',
  processes: 'RLIMIT_NPROC',
  'open files': 'RLIMIT_NOFILE',
  'locked memory': 'RLIMIT_MEMLOCK',
  'address space': 'RLIMIT_AS',
  'file locks': 'RLIMIT_LOCKS',
  'pending signals': 'RLIMIT_SIGPENDING',
  'msgqueue size': 'RLIMIT_MSGQUEUE',
  'nice priority': 'RLIMIT_NICE',
  'realtime priority': 'RLIMIT_RTPRIO',
  'realtime timeout': 'RLIMIT_RTTIME',
};

export async function readHostLimits(): Promise<HostLimits> {
  const files = ['status', 'limits', 'oom_score_adj'].map((name) => readFile(`/proc/self/${name}`, 'utf8'));
  const [status, limits, oomScoreAdj] = await Promise.all(files);
  return parseHostLimits(status ?? '', limits ?? '', oomScoreAdj ?? '0');
}

/** Start time in clock ticks since boot, which with the pid names a process; undefined when it is gone or a zombie. */
export async function processStartTicks(pid: number): Promise<number | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : Number(fields[19]);
  } catch {
    /* No such process. */
    return undefined;
  }
}
