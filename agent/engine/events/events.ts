/**
 * What happens in the engine, to whoever follows. The last 256 are kept for clients that ask for the past; who reads too
 * slowly is ended, not buffered without a bound. Source: moby daemon/events/events.go.
 */
import { type Clock, type Ctx, Queue } from '#lib/base';
import type { EngineEvent, EngineEvents } from '../parts.ts';
import { SCOPE } from './filter.ts';

export interface TimedEvent {
  readonly event: EngineEvent;
  /** Since 1970; no two events share one, later ones are greater. */
  readonly micros: number;
  /** As API versions below 1.52 tell it, with its newline: encoded once for all. */
  readonly line: string;
}

export interface Following extends Disposable {
  readonly past: readonly TimedEvent[];
  /** Fails once its reader lags behind by more than a bound. */
  readonly next: Queue<TimedEvent>;
}

const KEPT_MAX = 256;
const BEHIND_MAX = 1024;

export class Events implements EngineEvents {
  readonly #clock: Clock;
  readonly #kept: TimedEvent[] = [];
  readonly #followers = new Set<Queue<TimedEvent>>();
  #latest = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get followers(): number {
    return this.#followers.size;
  }

  emit(event: EngineEvent): void {
    this.#latest = Math.max(this.#latest + 1, this.#clock.now() * 1000);
    const timed = { event, micros: this.#latest, line: lineOf(event, this.#latest) };
    this.#kept.push(timed);
    if (this.#kept.length > KEPT_MAX) this.#kept.shift();
    for (const follower of this.#followers) if (!follower.push(timed)) this.#followers.delete(follower);
  }

  /** Those kept from `since` to `until` (none without both), and all that come from now on: none is lost between. */
  follow(o: { readonly since?: number | undefined; readonly until?: number | undefined }, c: Ctx): Following {
    const { since = 0, until = Number.POSITIVE_INFINITY } = o;
    const wantsPast = o.since !== undefined || o.until !== undefined;
    const past = wantsPast ? this.#kept.filter((e) => e.micros >= since && e.micros <= until) : [];
    const next = new Queue<TimedEvent>({ capacity: BEHIND_MAX });
    this.#followers.add(next);
    const stop = (): void => {
      this.#followers.delete(next);
      next.end();
      c.signal.removeEventListener('abort', stop);
    };
    c.signal.addEventListener('abort', stop, { once: true });
    if (c.signal.aborted) stop();
    return { past, next, [Symbol.dispose]: stop };
  }
}

/** Field order as Docker's: some clients show the text as it comes. */
function lineOf(e: EngineEvent, micros: number): string {
  const actor = { Type: e.type, Action: e.action, Actor: { ID: e.id, Attributes: e.attributes }, scope: SCOPE };
  const time = `"time":${Math.floor(micros / 1_000_000)},"timeNano":${micros}000`;
  return `${JSON.stringify({ ...legacyOf(e), ...actor }).slice(0, -1)},${time}}\n`;
}

function legacyOf(e: EngineEvent): object {
  if (e.type !== 'container' && e.type !== 'image') return {};
  const from = e.type === 'container' ? e.attributes['image'] : undefined;
  return { status: e.action, id: e.id, ...(from === undefined ? {} : { from }) };
}
