/**
 * Runs something in at most one process of the cluster. Leadership is a key in the store bound to a lease; its fence goes to
 * whatever is run, so that even a leader that does not know yet that it was deposed cannot write.
 *
 * Life: acquire -> run -> (lease lost: stop, acquire again | caller stops: stop, release).
 */
import type { BackoffPolicy, Ctx, Random } from '#lib/base';
import { backoffMs, messageOf, Scope } from '#lib/base';
import type { Fence, StoreAdmin } from '#lib/store';

export interface LeaderOptions {
  readonly admin: StoreAdmin;
  /** The election key, one for each thing that is led. */
  readonly key: string;
  /** Who we are, for people who look. */
  readonly identity: string;
  readonly ttlSeconds: number;
  readonly random: Random;
  /** Starts the work. Its signal aborts when leadership ends; what it returns is disposed then, before the key is released. */
  readonly start: (lead: { readonly fence: Fence; readonly signal: AbortSignal }) => Promise<AsyncDisposable>;
}

const BACKOFF: BackoffPolicy = { initialMs: 200, maxMs: 5_000 };

/** Until the context's signal aborts; then everything is stopped and the key is released. */
export async function lead(o: LeaderOptions, c: Ctx): Promise<void> {
  for (let failures = 0; !c.signal.aborted; ) {
    try {
      await leadOnce(o, c, () => {
        failures = 0;
      });
    } catch (e) {
      if (c.signal.aborted) return;
      c.log.warn({ key: o.key, err: messageOf(e) }, 'leader election failed, trying again');
      await c.clock.sleep(backoffMs(BACKOFF, Math.min(failures++, 10), o.random), c.signal).catch(() => undefined);
    }
  }
}

async function leadOnce(o: LeaderOptions, c: Ctx, onStarted: () => void): Promise<void> {
  await using held = await o.admin.acquire(o.key, o.identity, { ttlSeconds: o.ttlSeconds }, c);
  await using term = new Scope(`leader of ${o.key}`, c.signal);
  const onLost = (): void => term.abort(new DOMException('leadership was lost', 'AbortError'));
  held.lost.addEventListener('abort', onLost, { once: true });
  try {
    if (held.lost.aborted) return;
    c.log.info({ key: o.key, identity: o.identity }, 'became leader');
    term.own(await o.start({ fence: held.fence, signal: term.signal }));
    onStarted();
    await new Promise<void>((resolve) => {
      if (term.signal.aborted) resolve();
      else term.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    if (!c.signal.aborted) c.log.warn({ key: o.key, identity: o.identity }, 'leadership was lost');
  } finally {
    held.lost.removeEventListener('abort', onLost);
  }
}
