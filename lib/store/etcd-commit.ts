/**
 * Group commit: writes that wait at the same moment become one etcd transaction, so that fifty bindings cost one fsync.
 *
 * Each write is a nested transaction of its own {compare its key [and its fence]; then put; else read both}, so one that
 * fails does not touch its neighbours. A group holds at most 64 puts on different keys and 1 MB. Nothing waits when
 * nothing is in flight: a group leaves at the end of the current microtask. While groups are in flight, later writes gather;
 * a second group may leave at any time (etcd puts both into one fsync), a third and fourth only when full.
 *
 * All puts of one transaction share a modRevision, hence the index in the value header. A removal has no value to carry an
 * index and stands alone.
 *
 * A lost answer: the group is sent again. A write that had already happened then fails its compare, but what is stored is
 * byte for byte what it wrote, which counts as success (the bytes hold a uid, so no other writer can have made them). A removal
 * that is repeated and finds nothing has happened too: whoever else may have removed that version, it is gone.
 */
import { type Ctx, type Random, raceAbort, StatusError } from '#lib/base';
import type { Compare, RequestOp, TxnRequest, TxnResponse } from '#lib/etcd';
import { call, type EtcdClients } from './etcd-client.ts';
import type { KeySpace } from './etcd-keys.ts';
import { type Entry, type Fence, type Revision, toRevision } from './store.ts';
import { conflict, exists, fenced, guardLost, modRevisionOf } from './store-errors.ts';
import { encodeValue } from './value-header.ts';

const GROUP_WRITES_MAX = 64;
const GROUP_BYTES_MAX = 1024 * 1024;
/** Groups in flight while later writes are still gathering, and in all. */
const EAGER_GROUPS_MAX = 2;
const GROUPS_MAX = 4;
/** Writes that wait for their group; more is an overload that the caller must hear of. */
const WAITING_WRITES_MAX = 20_000;
const REMOVALS_MAX = 64;

export interface PutWrite {
  readonly key: string;
  readonly value: Buffer;
  /** undefined = the key must not exist. */
  readonly expected: Revision | undefined;
  readonly fence: Fence | undefined;
  /** Of the key that sealed the value. */
  readonly guard: Fence | undefined;
  readonly isSealed: boolean;
  readonly leaseId: bigint | undefined;
}

interface Waiting {
  readonly write: PutWrite;
  readonly resolve: (e: Entry) => void;
  readonly reject: (e: unknown) => void;
}

export interface CommitDeps {
  readonly clients: Pick<EtcdClients, 'kv'>;
  readonly keys: KeySpace;
  readonly random: Random;
  /** Lives as long as the store: a group serves many callers, so no single caller's cancel may end it. */
  readonly c: Ctx;
}

export class Committer {
  readonly #deps: CommitDeps;
  #waiting: Waiting[] = [];
  #inFlight = 0;
  #flushPlanned = false;
  #removals = 0;
  readonly #removalWaiters: (() => void)[] = [];

  constructor(deps: CommitDeps) {
    this.#deps = deps;
  }

  put(write: PutWrite, c: Ctx): Promise<Entry> {
    c.signal.throwIfAborted();
    if (this.#waiting.length >= WAITING_WRITES_MAX)
      throw new StatusError('TooManyRequests', `${WAITING_WRITES_MAX} writes are already waiting for etcd`);
    const done = new Promise<Entry>((resolve, reject) => {
      this.#waiting.push({ write, resolve, reject });
    });
    if (!this.#flushPlanned) {
      this.#flushPlanned = true;
      queueMicrotask(() => this.#flush());
    }
    return raceAbort(done, c.signal);
  }

  async remove(key: string, expected: Revision, fence: Fence | undefined, c: Ctx): Promise<Revision> {
    if (this.#removals >= REMOVALS_MAX) await new Promise<void>((resolve) => this.#removalWaiters.push(resolve));
    this.#removals++;
    try {
      c.signal.throwIfAborted();
      return await this.#remove(key, expected, fence, c);
    } finally {
      this.#removals--;
      this.#removalWaiters.shift()?.();
    }
  }

  async #remove(key: string, expected: Revision, fence: Fence | undefined, c: Ctx): Promise<Revision> {
    const { keys, clients, random } = this.#deps;
    const request = {
      compare: compares(keys, key, expected, [fence]),
      success: [{ deleteKey: keys.bytes(key) }],
      failure: readBack(keys, key, [fence]),
    };
    let attempts = 0;
    const send = (attempt: number): Promise<TxnResponse> => {
      attempts = attempt;
      return clients.kv.txn(request);
    };
    const answer = await call(`deleting ${key}`, send, c, random);
    if (!answer.succeeded) {
      const isGone = attempts > 0 && answer.responses[0]?.range?.kvs.length === 0;
      if (!isGone || (fence !== undefined && isLost(answer, fence, 1)))
        throw refusal(answer, { key, expected, fence, guard: undefined });
    }
    return toRevision(answer.revision, 0);
  }

  #flush(): void {
    this.#flushPlanned = false;
    while (this.#waiting.length > 0) {
      const full = this.#waiting.length >= GROUP_WRITES_MAX;
      if (this.#inFlight >= (full ? GROUPS_MAX : EAGER_GROUPS_MAX)) return;
      void this.#commit(this.#takeGroup());
    }
  }

  /** The oldest writes that may share a transaction: the first write of each key; the rest keep their order. */
  #takeGroup(): Waiting[] {
    const group: Waiting[] = [];
    const rest: Waiting[] = [];
    const seen = new Set<string>();
    let bytes = 0;
    for (const [i, w] of this.#waiting.entries()) {
      const size = w.write.value.byteLength + w.write.key.length;
      if (group.length >= GROUP_WRITES_MAX || (group.length > 0 && bytes + size > GROUP_BYTES_MAX)) {
        rest.push(...this.#waiting.slice(i));
        break;
      }
      if (seen.has(w.write.key)) {
        rest.push(w);
        continue;
      }
      seen.add(w.write.key);
      bytes += size;
      group.push(w);
    }
    this.#waiting = rest;
    return group;
  }

  async #commit(group: readonly Waiting[]): Promise<void> {
    this.#inFlight++;
    try {
      await this.#send(group);
    } catch (e) {
      for (const w of group) w.reject(e);
    } finally {
      this.#inFlight--;
      this.#flush();
    }
  }

  async #send(group: readonly Waiting[]): Promise<void> {
    const { clients, c, random } = this.#deps;
    const requests = group.map((w, index) => this.#request(w.write, stored(w.write, index)));
    const [single] = requests;
    // etcd 3.4 does not count the bytes of nested puts against its quota: a lone write stays flat, so that NOSPACE is raised.
    const request =
      single !== undefined && requests.length === 1
        ? single
        : { compare: [], success: requests.map((txn): RequestOp => ({ txn })), failure: [] };
    let attempts = 0;
    let answer: TxnResponse;
    try {
      const send = (attempt: number): Promise<TxnResponse> => {
        attempts = attempt;
        return clients.kv.txn(request);
      };
      answer = await call(`writing ${group.length} keys`, send, c, random);
    } catch (e) {
      // One bad write (too large, a lease that ended) fails the whole transaction: then each goes alone.
      if (group.length === 1 || !(e instanceof StatusError) || (e.kind !== 'TooLarge' && e.kind !== 'NotFound'))
        throw e;
      await Promise.all(group.map((w) => this.#send([w]).catch(w.reject)));
      return;
    }
    for (const [i, w] of group.entries()) {
      const own = group.length === 1 ? answer : answer.responses[i]?.txn;
      if (own === undefined) w.reject(new StatusError('Internal', `etcd answered nothing for ${w.write.key}`));
      else this.#settle(w, own, { mod: answer.revision, index: i, repeated: attempts > 0 });
    }
  }

  #settle(w: Waiting, own: TxnResponse, o: { mod: bigint; index: number; repeated: boolean }): void {
    const { key, value } = w.write;
    if (own.succeeded) {
      w.resolve({ key, value, revision: toRevision(o.mod, o.index) });
      return;
    }
    const earlier = o.repeated ? this.#earlierSuccess(own, w.write, o.index) : undefined;
    if (earlier) w.resolve(earlier);
    else w.reject(refusal(own, w.write));
  }

  #request(write: PutWrite, value: Buffer): TxnRequest {
    const { keys } = this.#deps;
    const held = [write.fence, write.guard];
    const put = {
      key: keys.bytes(write.key),
      value,
      lease: write.leaseId,
    };
    return {
      compare: compares(keys, write.key, write.expected, held),
      success: [{ put }],
      failure: readBack(keys, write.key, held),
    };
  }

  #earlierSuccess(answer: TxnResponse, write: PutWrite, index: number): Entry | undefined {
    const kv = answer.responses[0]?.range?.kvs[0];
    if (kv === undefined || !stored(write, index).equals(kv.value)) return undefined;
    if (write.expected !== undefined && kv.modRevision === modRevisionOf(write.expected)) return undefined;
    return this.#deps.keys.entry(kv);
  }
}

function stored(write: PutWrite, index: number): Buffer {
  return encodeValue(write.value, index, write.isSealed);
}

type Held = readonly (Fence | undefined)[];

function compares(keys: KeySpace, key: string, expected: Revision | undefined, held: Held): Compare[] {
  const own: Compare =
    expected === undefined
      ? { key: keys.bytes(key), target: 'create', revision: 0n }
      : { key: keys.bytes(key), target: 'mod', revision: modRevisionOf(expected) };
  const out = [own];
  for (const h of held)
    if (h !== undefined) out.push({ key: keys.bytes(h.key), target: 'create', revision: h.createRevision });
  return out;
}

/** What the else-branch reads: the key itself (with its value), then that of the fence and of the guard. */
function readBack(keys: KeySpace, key: string, held: Held): RequestOp[] {
  const out: RequestOp[] = [{ range: { key: keys.bytes(key) } }];
  for (const h of held) if (h !== undefined) out.push({ range: { key: keys.bytes(h.key), keysOnly: true } });
  return out;
}

function refusal(answer: TxnResponse, w: Pick<PutWrite, 'key' | 'expected' | 'fence' | 'guard'>): StatusError {
  if (w.fence !== undefined && isLost(answer, w.fence, 1)) return fenced(w.fence);
  if (w.guard !== undefined && isLost(answer, w.guard, w.fence === undefined ? 1 : 2)) return guardLost(w.guard);
  return w.expected === undefined ? exists(w.key) : conflict(w.key);
}

/** `at`: which of the answer's reads is of its key. */
function isLost(answer: TxnResponse, held: Fence, at: number): boolean {
  const kv = answer.responses[at]?.range?.kvs[0];
  return kv === undefined || kv.createRevision !== held.createRevision;
}
