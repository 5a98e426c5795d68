/**
 * Takes pods' links away, many by one program: two hundred pods that end together were two hundred runs of `ip`. While a run is
 * under way those who come gather for the next one.
 */
import { type Ctx, raceAbort } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { removeLinks } from './iproute.ts';

/** The kernel takes a millisecond for each, and nobody waits for a link behind hundreds of others. */
const LINKS_MAX = 128;

interface Waiting {
  readonly link: string;
  readonly resolve: () => void;
  readonly reject: (e: unknown) => void;
}

export class LinkRemovals {
  readonly #programs: Programs;
  /** Of the network's own life: a caller that gives up does not stop the run that others wait for. */
  readonly #c: Ctx;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(programs: Programs, c: Ctx) {
    this.#programs = programs;
    this.#c = c;
  }

  /** Resolves when the link is gone, or was; rejects when the run that it was part of has failed: all of that run try again. */
  remove(link: string, c: Ctx): Promise<void> {
    const gone = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ link, resolve, reject });
    });
    if (!this.#isRunning) void this.#run();
    return raceAbort(gone, c.signal);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#waiting.length > 0) {
      const now = this.#waiting.splice(0, LINKS_MAX);
      try {
        await removeLinks(
          this.#programs,
          now.map((w) => w.link),
          this.#c,
        );
        for (const w of now) w.resolve();
      } catch (e) {
        for (const w of now) w.reject(e);
      }
    }
    this.#isRunning = false;
  }
}
