/**
 * What a container does, and which steps lead from where to where: the one table. Pure.
 *
 *   created ──start──► running ◄──► paused          exited ──start──► running
 *   created ──fail──► created     running, paused ──exit──► exited | restarting
 *   restarting ──start──► running     restarting ──cancel, fail──► exited     all ──remove──► dead ──► gone
 */
import { assert } from '#lib/base';
import type { ContainerState } from '../../../runtime/runtime.ts';
import type { EngineContainer } from '../../parts.ts';

export type Running = ContainerState & { phase: 'running' };
export type Exited = ContainerState & { phase: 'exited' };

export type LifeState =
  | { readonly phase: 'created' }
  | { readonly phase: 'running' | 'paused'; readonly run: Running }
  | { readonly phase: 'restarting'; readonly run: Exited }
  /** Without a run: what it had is gone with a start that failed. */
  | { readonly phase: 'exited'; readonly run: Exited | undefined }
  /** Half removed: only a removal goes on with it. */
  | { readonly phase: 'dead'; readonly run: Exited | undefined }
  | { readonly phase: 'gone'; readonly run: Exited | undefined };

const NEXT: Readonly<Record<LifeState['phase'], readonly LifeState['phase'][]>> = {
  created: ['created', 'running', 'exited', 'dead'],
  running: ['paused', 'exited', 'restarting'],
  paused: ['running', 'exited', 'restarting'],
  restarting: ['running', 'exited', 'dead'],
  exited: ['exited', 'running', 'dead'],
  dead: ['dead', 'gone'],
  gone: [],
};

export function checkedNext(from: LifeState, to: LifeState): LifeState {
  assert(NEXT[from.phase].includes(to.phase), `a container cannot go from ${from.phase} to ${to.phase}`);
  return to;
}

/** Docker's Running: also while it waits to be started again. */
export function isRunning(s: LifeState): boolean {
  return s.phase === 'running' || s.phase === 'paused' || s.phase === 'restarting';
}

export function runOf(s: LifeState): ContainerState | undefined {
  return s.phase === 'created' ? undefined : s.run;
}

export function statusOf(s: LifeState, isRemoving: boolean): EngineContainer['status'] {
  if (isRunning(s)) return s.phase as 'running' | 'paused' | 'restarting';
  if (isRemoving) return 'removing';
  if (s.phase === 'dead' || s.phase === 'gone') return 'dead';
  return s.phase === 'created' ? 'created' : 'exited';
}

/** Of one that runs, without force. */
export function whyNotRemoved(s: LifeState): string {
  return s.phase === 'paused'
    ? 'container is paused and must be unpaused first'
    : `container is ${s.phase}: stop the container before removing or force remove`;
}
