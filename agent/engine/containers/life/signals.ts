/** Signals by name or number, as clients give them. Pure. Source: moby sys/signal (ParseSignal). */
import { StatusError } from '#lib/base';
import { signalNumber } from '../../../runtime/signals.ts';
import { badParameter } from '../../http/contract.ts';

export const SIGKILL = 9;
export const SIGTERM = 15;

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
