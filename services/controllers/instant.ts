/** The moment a plan is made for, in both forms that plans need, so that plans stay pure. */
import type { Clock } from '#lib/base';
import { timeText } from '#lib/base';

export interface Instant {
  /** ms since the epoch. */
  readonly ms: number;
  /** The same as the API writes it, to the second. */
  readonly text: string;
}

export function instantOf(clock: Clock): Instant {
  return instant(clock.now());
}

export function instant(ms: number): Instant {
  return { ms, text: timeText(ms) };
}
