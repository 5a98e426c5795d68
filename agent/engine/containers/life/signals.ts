/** Signals by name or number, as clients give them. Pure. Source: moby sys/signal (ParseSignal). */
import { StatusError } from '#lib/base';
import { signalNumber } from '../../../runtime/signals.ts';
import { badParameter } from '../../http/contract.ts';
import type { ContainerConfig } from '../../types.ts';

export const SIGKILL = 9;
const SIGTERM = 15;
const STOP_TIMEOUT_S = 10;

export interface StopOptions {
  readonly signal?: string | undefined;
  /** Below 0 = for ever. */
  readonly timeoutS?: number | undefined;
}

/** Throws 400. */
export function signalOf(text: string): number {
  try {
    const number = signalNumber(text.toUpperCase());
    if (number > 0) return number;
  } catch (e) {
    if (!(e instanceof StatusError)) throw e;
  }
  throw badParameter(`invalid signal: ${text}`);
}

/** How it is asked to end, and how long it is waited for; undefined = for ever. */
export function stopPlan(
  c: Pick<ContainerConfig, 'StopSignal' | 'StopTimeout'>,
  o: StopOptions,
): { readonly signal: number; readonly waitMs: number | undefined } {
  const named = o.signal || c.StopSignal;
  const timeoutS = o.timeoutS ?? c.StopTimeout ?? STOP_TIMEOUT_S;
  return { signal: named ? signalOf(named) : SIGTERM, waitMs: timeoutS < 0 ? undefined : timeoutS * 1000 };
}
