/** How long ago, and what a container does, in the words of `docker ps`. Pure. Source: docker/go-units HumanDuration, moby container/state.go (String). */
import type { Health } from '../life/health-state.ts';
import { type LifeState, runOf, statusOf } from '../life/state.ts';

export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.floor(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60 - 0.001);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  const days = Math.floor(seconds / 86_400);
  if (days < 14) return `${days} days`;
  if (days < 60) return `${Math.floor(days / 7)} weeks`;
  if (days < 730) return `${Math.floor(days / 30)} months`;
  return `${Math.floor(days / 365)} years`;
}

export function statusText(
  s: LifeState,
  o: {
    readonly isRemoving: boolean;
    readonly exitCode: number;
    readonly health: Health | undefined;
    readonly nowMs: number;
  },
): string {
  const ago = (ms: number): string => humanDuration(Math.max(0, o.nowMs - ms));
  const run = runOf(s);
  switch (statusOf(s, o.isRemoving)) {
    case 'paused':
      return `Up ${ago(run?.startedAtMs ?? 0)} (Paused)`;
    case 'running':
      return `Up ${ago(run?.startedAtMs ?? 0)}${healthText(o.health)}`;
    case 'restarting':
      return `Restarting (${o.exitCode}) ${ago(run?.phase === 'exited' ? run.finishedAtMs : 0)} ago`;
    case 'removing':
      return 'Removal In Progress';
    case 'dead':
      return 'Dead';
    case 'created':
      return 'Created';
    case 'exited':
      return run?.phase === 'exited' ? `Exited (${o.exitCode}) ${ago(run.finishedAtMs)} ago` : 'Created';
  }
}

function healthText(health: Health | undefined): string {
  if (health === undefined) return '';
  return health.status === 'starting' ? ' (health: starting)' : ` (${health.status})`;
}
