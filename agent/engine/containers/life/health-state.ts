/** What probes make of a container's health. Pure. Source: moby daemon/health.go. */
import type { ContainerConfig, HealthConfig } from '../../types.ts';

export interface ProbeResult {
  readonly startMs: number;
  readonly endMs: number;
  /** -1: it could not be asked, or took too long. */
  readonly exitCode: number;
  readonly output: string;
}

export interface Health {
  readonly status: 'starting' | 'healthy' | 'unhealthy';
  readonly failingStreak: number;
  /** Latest last. */
  readonly log: readonly ProbeResult[];
}

export const STARTING: Health = { status: 'starting', failingStreak: 0, log: [] };

const NS_PER_MS = 1e6;
const INTERVAL_MS = 30_000;
const TIMEOUT_MS = 30_000;
const START_INTERVAL_MS = 5_000;
const RETRIES = 3;
const LOG_MAX = 5;
const DEFAULT_SHELL = ['/bin/sh', '-c'];

export interface ProbePlan {
  readonly argv: readonly string[];
  readonly timeoutMs: number;
  readonly intervalMs: number;
  readonly startIntervalMs: number;
  readonly startPeriodMs: number;
  readonly retries: number;
}

/** undefined: it has none. */
export function probePlan(c: Pick<ContainerConfig, 'Healthcheck' | 'Shell'>): ProbePlan | undefined {
  const health = c.Healthcheck;
  const [kind, ...rest] = health?.Test ?? [];
  if (health === undefined || rest.length === 0) return undefined;
  if (kind !== 'CMD' && kind !== 'CMD-SHELL') return undefined;
  const shell = c.Shell === undefined || c.Shell.length === 0 ? DEFAULT_SHELL : c.Shell;
  const ms = (key: 'Timeout' | 'Interval' | 'StartInterval' | 'StartPeriod', absent: number): number =>
    durationOf(health, key) || absent;
  return {
    argv: kind === 'CMD' ? rest : [...shell, ...rest],
    timeoutMs: ms('Timeout', TIMEOUT_MS),
    intervalMs: ms('Interval', INTERVAL_MS),
    startIntervalMs: ms('StartInterval', START_INTERVAL_MS),
    startPeriodMs: ms('StartPeriod', 0),
    retries: (health.Retries ?? 0) > 0 ? (health.Retries ?? RETRIES) : RETRIES,
  };
}

function durationOf(health: HealthConfig, key: 'Timeout' | 'Interval' | 'StartInterval' | 'StartPeriod'): number {
  return (health[key] ?? 0) / NS_PER_MS;
}

/** Until the next probe. `upMs`: since the container's start. */
export function nextProbeMs(p: ProbePlan, h: Health, upMs: number): number {
  return upMs < p.startPeriodMs && h.status === 'starting' ? p.startIntervalMs : p.intervalMs;
}

/** A failure within the start period of one that was never healthy does not count. */
export function healthAfter(h: Health, r: ProbeResult, p: ProbePlan, startedAtMs: number): Health {
  const log = [...h.log, r].slice(-LOG_MAX);
  if (r.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  if (h.status === 'starting' && r.startMs - startedAtMs < p.startPeriodMs) return { ...h, log };
  const failingStreak = h.failingStreak + 1;
  return { status: failingStreak >= p.retries ? 'unhealthy' : h.status, failingStreak, log };
}
