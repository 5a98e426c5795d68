/** Exponential back-off with full jitter, and the one client-side retry loop. */
import { ERROR_KINDS, toStatusError } from './errors.ts';
import type { Random } from './random.ts';
import type { Ctx } from './scope.ts';

export interface BackoffPolicy {
  readonly initialMs: number;
  readonly maxMs: number;
  /** Default 2. */
  readonly factor?: number;
  /** Share of the delay that is random, 0..1. Default 0.2. */
  readonly jitter?: number;
}

/** Delay before attempt number `attempt` (0 = the first retry), in ms. */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: Random): number {
  const plain = Math.min(policy.initialMs * (policy.factor ?? 2) ** attempt, policy.maxMs);
  const jitter = policy.jitter ?? 0.2;
  return plain * (1 - jitter) + plain * jitter * random.next();
}

/**
 * Runs `fn` until it succeeds, fails with a kind that no retry can heal, or `attempts` are used up.
 * Cancel: rejects with the signal's reason.
 */
export async function retry<T>(
  fn: () => Promise<T>,
  o: { attempts: number; policy: BackoffPolicy; random: Random },
  c: Ctx,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fn();
    } catch (e) {
      const kind = toStatusError(e).kind;
      if (attempt + 1 >= o.attempts || ERROR_KINDS[kind].retry === 'never') throw e;
      await c.clock.sleep(backoffMs(o.policy, attempt, o.random), c.signal);
    }
  }
}
