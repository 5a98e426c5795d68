/** What a registry does by itself: retention and garbage collection at an interval, and at once when it is asked to. */
import type { Ctx } from '#lib/base';
import type { RegistrySettings } from '../settings.ts';
import type { Collected, Collector } from './collector.ts';
import type { Retained, Retention } from './retention.ts';

const LOOK_MS = 60_000;

export interface MaintenanceOptions {
  readonly collector: Collector;
  readonly retention: Retention;
  readonly settings: () => RegistrySettings;
}

export interface Maintained extends Collected {
  readonly retention: Retained;
}

export class Maintenance {
  readonly #o: MaintenanceOptions;

  constructor(o: MaintenanceOptions) {
    this.#o = o;
  }

  /** `graceMs` absent = as it is set. */
  async once(c: Ctx, graceMs?: number): Promise<Maintained> {
    const { retention, collector, settings } = this.#o;
    const retained = await retention.apply(settings().retention, c);
    const grace = graceMs ?? settings().collection.graceMinutes * 60_000;
    return { ...(await collector.collect(grace, c.signal)), retention: retained };
  }

  /** Until the signal aborts; the first time one interval after the start. */
  async run(c: Ctx): Promise<void> {
    let lastAt = c.clock.monotonic();
    while (!c.signal.aborted) {
      await c.clock.sleep(LOOK_MS, c.signal).catch(() => undefined); // stopped: the loop ends
      const { intervalMinutes } = this.#o.settings().collection;
      if (c.signal.aborted || c.clock.monotonic() - lastAt < intervalMinutes * 60_000) continue;
      try {
        await this.once(c);
      } catch (err) {
        c.log.error({ err }, 'garbage collection failed; it is tried again at the next interval');
      }
      lastAt = c.clock.monotonic();
    }
  }
}
