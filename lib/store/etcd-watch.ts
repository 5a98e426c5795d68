/**
 * A watch over a range of keys that loses nothing and repeats nothing.
 *
 * Why not etcd3's Watcher: it moves its resume point to the header's revision before the backlog has come, so a cut
 * connection loses history (dependencies.md 1a). The rule here is that of Go's clientv3 plus our groups: the resume point is
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
import { Duplex } from 'node:stream';
import type { Etcd3, IEvent, IWatchResponse } from 'etcd3';
import { backoffMs, type Ctx, isKind, messageOf, type Random } from '#lib/base';
import { call, type EtcdClients } from './etcd-client.ts';
import type { KeySpace } from './etcd-keys.ts';
import { isOwnKey } from './keys.ts';
import { type Revision, type StoreEvent, toRevision } from './store.ts';
import { expired, indexOf, modRevisionOf } from './store-errors.ts';

export interface WatchDeps {
  readonly clients: Pick<EtcdClients, 'streams'>;
  readonly keys: KeySpace;
  readonly random: Random;
}

const RECONNECT_POLICY = { initialMs: 50, maxMs: 2_000 };
/** The last index: everything of the transaction has been seen. */
const WHOLE = 127;

/** Batches as they came; throws Expired when `from` was compacted; ends when `c.signal` aborts. */
export async function* watchRange(
  deps: WatchDeps,
  range: { key: Buffer; range_end?: Buffer },
  from: Revision,
  c: Ctx,
): AsyncGenerator<readonly StoreEvent[]> {
  const cursor = new Cursor(from, deps.keys);
  let failures = 0;
  while (!c.signal.aborted) {
    try {
      const startRevision = cursor.begin();
      for await (const response of openStream(deps.clients.streams, { ...range, startRevision }, c)) {
        failures = 0;
        if (response.compact_revision !== '0') throw expired(cursor.last);
        if (response.canceled) throw new Error(`etcd ended the watch: ${response.cancel_reason}`);
        const isBehind = response.created && BigInt(response.header.revision) + 1n < startRevision;
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
  const request = { key: Buffer.from('\0'), count_only: true };
  const answer = await call('reading the revision', (o) => deps.clients.streams.kv.range(request, o), c, deps.random);
  return BigInt(answer.header.revision) + 1n < startRevision;
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
  take(events: readonly IEvent[], isFragment: boolean): readonly StoreEvent[] {
    const out = this.#held;
    this.#held = [];
    for (const e of events) {
      const mod = BigInt(e.kv.mod_revision);
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
  #decode(e: IEvent, mod: bigint): StoreEvent | undefined {
    if (e.type === 'Delete') {
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

/** One gRPC stream with one watcher; ends or throws with it, and is cancelled when the consumer leaves or `c` aborts. */
async function* openStream(
  client: Etcd3,
  o: { key: Buffer; range_end?: Buffer; startRevision: bigint },
  c: Ctx,
): AsyncGenerator<IWatchResponse> {
  const stream = await client.watchClient.watch();
  const cancel = (): void => stream.cancel();
  c.signal.addEventListener('abort', cancel, { once: true });
  try {
    if (c.signal.aborted) return;
    stream.write({
      create_request: {
        key: o.key,
        ...(o.range_end === undefined ? {} : { range_end: o.range_end }),
        start_revision: o.startRevision.toString(),
        fragment: true,
      },
    });
    yield* responses(stream);
  } finally {
    c.signal.removeEventListener('abort', cancel);
    stream.cancel();
  }
}

/** The stream is Node's own Duplex, whatever its declared type: iterating it pauses etcd when the consumer is slow. */
function responses(stream: unknown): AsyncIterable<IWatchResponse> {
  if (!(stream instanceof Duplex)) throw new Error('etcd3 gave a watch stream that is no Duplex');
  return stream as AsyncIterable<IWatchResponse>;
}
