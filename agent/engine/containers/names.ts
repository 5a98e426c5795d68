/** Names and ids of containers: who has which, and whom a text means. Source: moby daemon/names.go, daemon/container.go (GetContainer). */
import type { Random } from '#lib/base';
import { badParameter, conflict, notFound } from '../http/contract.ts';

const NAME = /^\/?[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;
const ATTEMPTS = 6;

export interface Named {
  readonly id: string;
}

export class NameIndex<T extends Named> {
  readonly #byId = new Map<string, T>();
  readonly #idByName = new Map<string, string>();

  get size(): number {
    return this.#byId.size;
  }

  all(): readonly T[] {
    return [...this.#byId.values()];
  }

  byId(id: string): T | undefined {
    return this.#byId.get(id);
  }

  /** Throws 400 for a bad name and 409 for one that is taken. Without the slash. */
  reserve(name: string, id: string): string {
    if (!NAME.test(name))
      throw badParameter(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
    const plain = name.replace(/^\//, '');
    const owner = this.#idByName.get(plain);
    if (owner !== undefined && owner !== id)
      throw conflict(
        `Conflict. The container name "/${plain}" is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    this.#idByName.set(plain, id);
    return plain;
  }

  /** One of nobody's yet. */
  reserveAny(id: string, random: Random): string {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const name = randomName(random) + (attempt === 0 ? '' : String(random.below(10)));
      if (!this.#idByName.has(name)) return this.reserve(name, id);
    }
    return this.reserve(id.slice(0, 12), id);
  }

  release(name: string, id: string): void {
    if (this.#idByName.get(name) === id) this.#idByName.delete(name);
  }

  add(item: T): void {
    this.#byId.set(item.id, item);
  }

  remove(id: string): void {
    this.#byId.delete(id);
    for (const [name, owner] of this.#idByName) if (owner === id) this.#idByName.delete(name);
  }

  /** By id, by name, by a beginning of an id that is one's alone. Throws 404 and 400. */
  find(text: string): T {
    const item = this.#byId.get(text) ?? this.#byId.get(this.#idByName.get(text.replace(/^\//, '')) ?? '');
    if (item !== undefined) return item;
    const found = text === '' ? [] : [...this.#byId.values()].filter((t) => t.id.startsWith(text));
    if (found.length > 1) throw badParameter(`multiple IDs found with provided prefix: ${text}`);
    if (found[0] === undefined) throw notFound(`No such container: ${text}`);
    return found[0];
  }
}

const ADJECTIVES =
  'able bold brave bright brisk calm clear clever cosy crisp daring deft eager early fair fleet fond frank fresh gentle glad golden good grand great happy hardy honest keen kind lively loyal lucky mellow merry mild modest neat nimble noble patient plain polite prompt proud quick quiet rapid ready robust round serene sharp silent simple sleek smooth snug sober solid spry stable steady still stout strong sturdy sunny swift tender thrifty tidy tranquil true trusty vivid warm wise witty worthy young zesty'.split(
    ' ',
  );
/** Of those who moved things across water, and who made that safe. */
const SURNAMES =
  'ader archimedes bazalgette beaufort bering bligh boulton bowditch brindley brunel cabot cartier champlain cochrane columbus cook crichton dampier davis denny drake ericsson evans fitzroy flinders franklin froude fulton gama grace halley harrison hudson hutton jervis jessop kaiser kelvin lesseps magellan marconi maury mclean mercator nansen napier nemo nobile parsons pytheas rennie ross russell samuda semmes shackleton slocum smeaton stephenson stevenson symington tasman telford thorne torres vancouver vespucci wallis watt weddell whitbread zheng'.split(
    ' ',
  );

function randomName(random: Random): string {
  return `${ADJECTIVES[random.below(ADJECTIVES.length)]}_${SURNAMES[random.below(SURNAMES.length)]}`;
}
