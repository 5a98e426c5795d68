/** Whether and when a container starts again by itself. Pure. Source: moby daemon/internal/restartmanager/restartmanager.go. */
import type { RestartPolicy } from '../../types.ts';

const FIRST_MS = 100;
const MOST_MS = 60_000;
/** Who ran so long begins anew with the shortest wait. */
const SETTLED_MS = 10_000;

export interface Ended {
  readonly exitCode: number;
  readonly ranMs: number;
  readonly isStoppedByUser: boolean;
  /** Since a user started it. */
  readonly restartCount: number;
  /** Before its last start; 0 = none. */
  readonly lastDelayMs: number;
}

/** The delay in ms; undefined: it stays where it is. */
export function restartDelay(policy: RestartPolicy | undefined, e: Ended): number | undefined {
  if (!wantsRestart(policy, e)) return undefined;
  const last = e.ranMs >= SETTLED_MS ? 0 : e.lastDelayMs;
  return last === 0 ? FIRST_MS : Math.min(last * 2, MOST_MS);
}

function wantsRestart(policy: RestartPolicy | undefined, e: Ended): boolean {
  switch (policy?.Name) {
    case 'always':
      return true;
    case 'unless-stopped':
      return !e.isStoppedByUser;
    case 'on-failure':
      return e.exitCode !== 0 && (policy.MaximumRetryCount === 0 || e.restartCount < policy.MaximumRetryCount);
    case 'no':
    case '':
    case undefined:
      return false;
  }
}

/** When the engine opens and it does not run; `hasRun`: a user started it at least once. */
export function startsAtOpen(
  policy: RestartPolicy | undefined,
  e: Omit<Ended, 'ranMs' | 'lastDelayMs'> & { readonly hasRun: boolean },
): boolean {
  return e.hasRun && wantsRestart(policy, { ...e, ranMs: 0, lastDelayMs: 0 });
}
