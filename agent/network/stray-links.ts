/**
 * Links of this instance whose pod holds no address: an address is written down before its link is made and given back after it
 * is gone, so nobody has them. One goes that two looks running have found, so that a pod which is just being made anew never
 * loses its link to a look that began before. Other instances' links have other names.
 */
import type { Ctx } from '#lib/base';
import type { Programs } from '../kernel/kernel.ts';
import { ipJson, removeLinks } from './iproute.ts';
import type { NetworkNames } from './names.ts';

const HASH = /^[0-9a-f]{8}$/;
/** Soon after the start, and then now and then. */
const FIRST_LOOKS = 2;
const FIRST_MS = 2_000;
const THEN_MS = 60_000;

export class StrayLinks {
  readonly #programs: Programs;
  readonly #prefix: string;
  #seen: ReadonlySet<string> = new Set();

  constructor(programs: Programs, names: NetworkNames) {
    this.#programs = programs;
    this.#prefix = names.vethPrefix;
  }

  /** Until aborted; a look that fails is told. */
  async run(held: () => ReadonlySet<string>, c: Ctx): Promise<void> {
    for (let looks = 0; ; looks++) {
      await c.clock.sleep(looks < FIRST_LOOKS ? FIRST_MS : THEN_MS, c.signal);
      try {
        const gone = await this.look(held, c);
        if (gone.length > 0) c.log.info({ links: gone }, 'links that no pod owns are removed');
      } catch (err) {
        c.signal.throwIfAborted();
        c.log.warn({ err }, 'links that no pod owns could not be looked for');
      }
    }
  }

  /** Once. `held`: names of the links of whoever holds an address, asked for after the look. Gives the names of those that went. */
  async look(held: () => ReadonlySet<string>, c: Ctx): Promise<readonly string[]> {
    const links = (await ipJson(this.#programs, ['link', 'show', 'type', 'veth'], {}, c)) ?? [];
    const names = links.map((l) => String(l['ifname'])).filter((n) => this.#isOurs(n));
    const ofPods = held();
    const strays = names.filter((n) => !ofPods.has(n));
    const stale = strays.filter((n) => this.#seen.has(n));
    this.#seen = new Set(strays);
    await removeLinks(this.#programs, stale, c);
    return stale;
  }

  #isOurs(name: string): boolean {
    return name.startsWith(this.#prefix) && HASH.test(name.slice(this.#prefix.length));
  }
}
