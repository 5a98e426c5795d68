/**
 * Copies of Event objects to NATS, one message each on `berth.events.<namespace>`, for whoever listens. Best effort by
 * design: the Events themselves are in etcd, and with NATS away nothing here waits or fails.
 */
import { Kinds } from '#lib/api';
import { backoffMs, type Clock, type Ctx, type Logger, messageOf, type Random, Scope } from '#lib/base';
import { type Bus, Subjects } from '#lib/bus';
import type { Client } from '#lib/client';

export interface EventCopiesDeps {
  readonly client: Client;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

const RETRY = { initialMs: 200, maxMs: 5_000 };

export async function startEventCopies(d: EventCopiesDeps): Promise<AsyncDisposable> {
  const scope = new Scope('event copies');
  scope.spawn('copy', (signal) => copyForever(d, { signal, clock: d.clock, log: d.log }));
  return scope;
}

/** Only what happens from now on: a restart must not tell old events again. */
async function copyForever(d: EventCopiesDeps, c: Ctx): Promise<void> {
  let from: string | undefined;
  for (let failures = 0; !c.signal.aborted; ) {
    try {
      from ??= (await d.client.list(Kinds.events, { limit: 1 }, c)).resourceVersion;
      for await (const e of d.client.watch(Kinds.events, { resourceVersion: from, allowWatchBookmarks: true }, c)) {
        failures = 0;
        from = e.type === 'BOOKMARK' ? e.resourceVersion : (e.object.metadata.resourceVersion ?? from);
        if (e.type !== 'ADDED' && e.type !== 'MODIFIED') continue;
        d.bus.publish(Subjects.event(e.object.metadata.namespace ?? ''), JSON.stringify(e.object));
      }
    } catch (e) {
      if (c.signal.aborted) return;
      from = undefined;
      d.log.debug({ err: messageOf(e) }, 'event copies interrupted');
      await c.clock.sleep(backoffMs(RETRY, Math.min(failures++, 10), d.random), c.signal);
    }
  }
}
