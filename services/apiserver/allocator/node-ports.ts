/**
 * Node ports. A claim is a key of its own in the store, outside the registry: creating it is the compare-and-swap. Ports in
 * use are first looked for among the services in the watch cache.
 */
import { type DeepReadonly, Kinds, kindInfo, type ObjectKey, type Service } from '#lib/api';
import { type Clock, type Ctx, isKind, type Random, StatusError } from '#lib/base';
import type { Entry } from '#lib/store';
import type { Storage } from '../storage.ts';
import type { ClaimOutcome } from './addresses.ts';

const PREFIX = '/berth/nodeports/';
const PAGE = 1_000;

export interface PortRange {
  /** Inclusive. */
  readonly from: number;
  readonly to: number;
}

interface Claim {
  readonly namespace: string;
  readonly name: string;
  readonly atMs: number;
}

const TAKEN = { refused: 'provided port is already allocated' };

export class NodePortAllocator {
  readonly #storage: Storage;
  readonly #range: PortRange;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(o: { storage: Storage; range: PortRange; clock: Clock; random: Random }) {
    this.#storage = o.storage;
    this.#range = o.range;
    this.#clock = o.clock;
    this.#random = o.random;
  }

  async claimAny(owner: ObjectKey, dryRun: boolean, c: Ctx): Promise<number> {
    const used = this.#used();
    const count = this.#range.to - this.#range.from + 1;
    const start = this.#random.below(count);
    for (let i = 0; i < count; i++) {
      const port = this.#range.from + ((start + i) % count);
      if (used.has(port)) continue;
      if (dryRun || (await this.#create(port, owner, c))) return port;
    }
    throw new StatusError('Internal', 'failed to allocate a nodePort: range is full');
  }

  async claim(port: number, owner: ObjectKey, dryRun: boolean, c: Ctx): Promise<ClaimOutcome> {
    const { from, to } = this.#range;
    if (port < from || port > to)
      return { refused: `provided port is not in the valid range. The range of valid ports is ${from}-${to}` };
    const current = await this.#storage.store.get(keyOf(port), c);
    if (current !== undefined) return isOwnedBy(current, owner) ? 'owned' : TAKEN;
    return dryRun || (await this.#create(port, owner, c)) ? 'claimed' : TAKEN;
  }

  async release(port: number, owner: ObjectKey, c: Ctx): Promise<void> {
    const current = await this.#storage.store.get(keyOf(port), c);
    if (current === undefined || !isOwnedBy(current, owner)) return;
    try {
      await this.#storage.store.delete(current.key, current.revision, {}, c);
    } catch (e) {
      // Gone in between: nothing left to give back.
      if (!isKind(e, 'Conflict')) throw e;
    }
  }

  async claims(c: Ctx): Promise<{ readonly port: number; readonly owner: ObjectKey; readonly ageMs: number }[]> {
    const found: { port: number; owner: ObjectKey; ageMs: number }[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await this.#storage.store.list(PREFIX, { limit: PAGE, after }, c);
      for (const entry of page.entries) {
        const { namespace, name, atMs } = claimOf(entry);
        found.push({
          port: Number(entry.key.slice(PREFIX.length)),
          owner: { namespace, name },
          ageMs: this.#clock.now() - atMs,
        });
      }
      after = page.entries.at(-1)?.key;
      if (!page.more || after === undefined) return found;
    }
  }

  #used(): Set<number> {
    const used = new Set<number>();
    for (const { object } of this.#storage.cache.of(kindInfo(Kinds.services)).items('')) {
      const { spec } = object as DeepReadonly<Service>;
      for (const p of spec?.ports ?? []) if (p.nodePort !== undefined) used.add(p.nodePort);
      if (spec?.healthCheckNodePort !== undefined) used.add(spec.healthCheckNodePort);
    }
    return used;
  }

  async #create(port: number, owner: ObjectKey, c: Ctx): Promise<boolean> {
    const claim: Claim = { namespace: owner.namespace, name: owner.name, atMs: this.#clock.now() };
    try {
      await this.#storage.store.create(keyOf(port), Buffer.from(JSON.stringify(claim)), {}, c);
      return true;
    } catch (e) {
      if (isKind(e, 'AlreadyExists')) return false;
      throw e;
    }
  }
}

function keyOf(port: number): string {
  return `${PREFIX}${port}`;
}

function claimOf(entry: Entry): Claim {
  return JSON.parse(entry.value.toString('utf8')) as Claim;
}

function isOwnedBy(entry: Entry, owner: ObjectKey): boolean {
  const claim = claimOf(entry);
  return claim.namespace === owner.namespace && claim.name === owner.name;
}
