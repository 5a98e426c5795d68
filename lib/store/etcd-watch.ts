/**
 * A watch over a range of keys that loses nothing and repeats nothing.
 *
 * The rule is that of Go's clientv3 plus our groups: the resume point is
 * the last event handed out, (modRevision, index). A new stream starts at that modRevision again (the same transaction may
 * have had more events) and skips the indexes already seen. Headers never move the point: while catching up, etcd stamps
 * old batches with the current revision, and progress answers of 3.4 overtake events.
 *
 * The index of a put is in its value; removals have no value, so a removal's index is its position among the events of
 * its transaction. Both are the same on each re-reading (removals stand alone or share one lease's expiry, never a group).
 *
 * Fragments (a big transaction split over several responses) are glued: the events of one transaction are handed out in one
 * batch, so that who has seen one of them has seen all. What waits for its rest is forgotten when the stream breaks.
 */
import { backoffMs, type Ctx, isKind, messageOf, type Random } from '#lib/base';
import type { WatchClient, WatchEvent } from '#lib/etcd';
import { call } from './etcd-client.ts';
import type { KeySpace } from './etcd-keys.ts';
import { isOwnKey } from './keys.ts';
import { type Revision, type StoreEvent, toRevision } from './store.ts';
import { expired, indexOf, modRevisionOf } from './store-errors.ts';

export interface WatchDeps {
  readonly clients: { readonly streams: WatchClient };
  readonly keys: KeySpace;
  readonly random: Random;
}

const RECONNECT_POLICY = { initialMs: 50, maxMs: 2_000 };
/** The last index: everything of the transaction has been seen. */
const WHOLE = 127;

/** Batches as they came; throws Expired when `from` was compacted; ends when `c.signal` aborts. */
export async function* watchRange(
  deps: WatchDeps,
  range: { key: Buffer; rangeEnd?: Buffer },
  from: Revision,
  c: Ctx,
): AsyncGenerator<readonly StoreEvent[]> {
  const cursor = new Cursor(from, deps.keys);
  let failures = 0;
  while (!c.signal.aborted) {
    try {
      const startRevision = cursor.begin();
      for await (const response of deps.clients.streams.watch({ ...range, startRevision }, c.signal)) {
        failures = 0;
        if (response.compactRevision !== 0n) throw expired(cursor.last);
        if (response.canceled) throw new Error(`etcd ended the watch: ${response.cancelReason}`);
        const isBehind = response.created && response.revision + 1n < startRevision;
        if (isBehind && (await isRestored(deps, startRevision, c))) throw expired(cursor.last);
        const events = cursor.take(response.events, response.fragment);
        if (events.length > 0) yield events;
      }
    } catch (e) {
      if (c.signal.aborted) return;
      if (isFinal(e)) throw e;
      c.log.debug({ err: messageOf(e), revision: String(cursor.last) }, 'the watch broke off; resuming');
    }
    if (c.signal.aborted) return;
    await c.clock.sleep(backoffMs(RECONNECT_POLICY, failures++, deps.random), c.signal).catch(() => undefined);
  }
}

/**
 * A member may be behind the others, and its watch goes on once it has caught up. When all of them are behind what we have
 * seen, they were restored from a backup: our history is not their history.
 */
async function isRestored(deps: WatchDeps, startRevision: bigint, c: Ctx): Promise<boolean> {
  const request = { key: Buffer.from('\0'), countOnly: true };
  const answer = await call('reading the revision', () => deps.clients.streams.range(request), c, deps.random);
  return answer.revision + 1n < startRevision;
}

/** The history is gone, or what is stored cannot be read: no new stream heals that. */
function isFinal(e: unknown): boolean {
  return isKind(e, 'Expired') || isKind(e, 'Internal');
}

/** Where we are: the revision of the last event handed out, and how to tell which events of a new stream are behind it. */
class Cursor {
  last: Revision;
  readonly #keys: KeySpace;
  /** The transaction now being read, and how many of its events have come on this stream. */
  #mod = 0n;
  #position = 0;
  /** Its events, while more of them are to come. */
  #held: StoreEvent[] = [];

  constructor(from: Revision, keys: KeySpace) {
    this.last = from;
    this.#keys = keys;
  }

  /** A new stream begins: gives its start revision. */
  begin(): bigint {
    this.#mod = 0n;
    this.#position = 0;
    this.#held = [];
    const mod = modRevisionOf(this.last);
    return indexOf(this.last) === WHOLE ? mod + 1n : mod < 1n ? 1n : mod;
  }

  /** `isFragment`: more events of the last transaction may follow; they are kept until then. */
  take(events: readonly WatchEvent[], isFragment: boolean): readonly StoreEvent[] {
    const out = this.#held;
    this.#held = [];
    for (const e of events) {
      const mod = e.kv.modRevision;
      if (mod === this.#mod) this.#position++;
      else {
        this.#mod = mod;
        this.#position = 0;
      }
      const event = this.#decode(e, mod);
      if (event !== undefined && revisionOf(event) > this.last) out.push(event);
    }
    if (isFragment) {
      const unfinished = out.findIndex((e) => modRevisionOf(revisionOf(e)) === this.#mod);
      if (unfinished >= 0) this.#held = out.splice(unfinished);
    }
    const end = out.at(-1);
    if (end !== undefined) this.last = revisionOf(end);
    return out;
  }

  /** undefined for what others keep in the same etcd. */
  #decode(e: WatchEvent, mod: bigint): StoreEvent | undefined {
    if (e.type === 'delete') {
      const index = Math.min(this.#position, WHOLE - 1);
      return { type: 'delete', key: this.#keys.text(e.kv.key), revision: toRevision(mod, index) };
    }
    try {
      return { type: 'put', entry: this.#keys.entry(e.kv) };
    } catch (failure) {
      if (isOwnKey(this.#keys.text(e.kv.key))) throw failure;
      return undefined;
    }
  }
}

function revisionOf(e: StoreEvent): Revision {
  return e.type === 'put' ? e.entry.revision : e.revision;
}
