/** Which OCI runtime program is used and how it is called (crun and runc differ in little; others are taken as runc). */
import { basename, join } from 'node:path';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import type { KnownHandler } from './handlers.ts';

export interface OciBinary {
  readonly path: string;
  readonly arguments: readonly string[];
  /** See agent/native/runtime.c: crun on a host with v1 controllers. */
  readonly privateCgroups: boolean;
  readonly takesFilter: boolean;
}

export function ociBinary(
  { path, arguments: own, isCrun, takesFilter }: Pick<KnownHandler, 'path' | 'arguments' | 'isCrun' | 'takesFilter'>,
  stateFolder: string,
  cgroups: 'v1' | 'v2' | 'hybrid',
): OciBinary {
  const state = ['--root', join(stateFolder, basename(path))];
  return {
    path,
    arguments: [...own, ...state, ...(isCrun ? ['--cgroup-manager', 'cgroupfs'] : [])],
    privateCgroups: isCrun && cgroups !== 'v2',
    takesFilter,
  };
}

/** True when the program is there and says its version. */
export async function isInstalled(kernel: Kernel, path: string, c: Ctx): Promise<boolean> {
  const r = await kernel.programs.run([path, '--version'], { timeoutMs: 10_000 }, c);
  return r.code === 0;
}

/** The runtime's own words out of what agent/native reports: {"status", "log" (JSON lines), "output"}. */
export function startError(what: string, text: string): StatusError {
  let report: { status: number; log: string; output: string };
  const line = text.split('\n').find((l) => l.startsWith('{"status"'));
  try {
    report = JSON.parse(line ?? '') as typeof report;
  } catch (e) {
    return new StatusError('Internal', `${what}: ${text.trim() || messageOf(e)}`);
  }
  const logged = report.log
    .split('\n')
    .map(errorOf)
    .filter((m) => m !== undefined);
  const message = logged.at(-1) ?? report.output.trim();
  /* The runtime refused the bundle: the same bundle will be refused again. */
  const kind = message === '' ? 'Internal' : 'Invalid';
  return new StatusError(kind, `${what}: ${message || `the runtime failed with status ${report.status}`}`);
}

function errorOf(line: string): string | undefined {
  try {
    const entry = JSON.parse(line) as { level?: string; msg?: string };
    return entry.level === 'error' || entry.level === 'fatal' || entry.level === undefined ? entry.msg : undefined;
  } catch {
    /* Cut at the front, or not JSON. */
    return line.trim() === '' ? undefined : line.trim();
  }
}
