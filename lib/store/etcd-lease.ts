/**
 * etcd leases.
 *
 * `LeaseBuckets`: keys with a time to live (Events) share leases: one bucket per TTL and minute, living a minute longer than
 * asked. At most 100 keys a lease: their expiry is one transaction, and a revision has 128 slots.
 *
 * `acquire`: an election. The lease is granted, then one transaction creates the key if it is absent; its create revision is
 * the fence. The holder renews every third of the TTL and believes in itself only until `ttl - margin` after the last
 * renewal was SENT, by its own monotonic clock: etcd counts from when it received it, so the holder always gives up first.
 */
import { type Ctx, isKind, messageOf, type Random, raceAbort, Scope, StatusError, type Timer } from '#lib/base';
import { call, type EtcdClients } from './etcd-client.ts';
import type { KeySpace } from './etcd-keys.ts';
import { watchRange } from './etcd-watch.ts';
import { type Fence, type HeldKey, type Revision, readRevision } from './store.ts';
import { encodeValue } from './value-header.ts';

export interface LeaseDeps {
  readonly clients: Pick<EtcdClients, 'kv' | 'streams'>;
  readonly keys: KeySpace;
  readonly random: Random;
}

const BUCKET_MS = 60_000;
const BUCKET_KEYS_MAX = 100;
const RECHECK_MS = 3_000;

interface Bucket {
  readonly leaseId: Promise<bigint>;
  readonly endsAt: number;
  keys: number;
}

export class LeaseBuckets {
  readonly #deps: LeaseDeps;
  /** The store's own: a lease is granted for many callers, so no single caller's cancel may end it. */
  readonly #c: Ctx;
  /** By TTL in seconds; callers use a handful of different TTLs. */
  readonly #buckets = new Map<number, Bucket>();

  constructor(deps: LeaseDeps, c: Ctx) {
    this.#deps = deps;
    this.#c = c;
  }

  /** A lease that ends between `ttlSeconds` and a minute later. */
  leaseFor(ttlSeconds: number, c: Ctx): Promise<bigint> {
    return raceAbort(this.#bucketFor(ttlSeconds).leaseId, c.signal);
  }

  /** One more key is going to be on it. */
  #bucketFor(ttlSeconds: number): Bucket {
    const now = this.#c.clock.monotonic();
    const open = this.#buckets.get(ttlSeconds);
    if (open !== undefined && now < open.endsAt && open.keys < BUCKET_KEYS_MAX) {
      open.keys++;
      return open;
    }
    const leaseId = grant(this.#deps, ttlSeconds + BUCKET_MS / 1000, this.#c);
    const bucket: Bucket = { leaseId, endsAt: now + BUCKET_MS, keys: 1 };
    this.#buckets.set(ttlSeconds, bucket);
    leaseId.catch(() => this.#forget(ttlSeconds, bucket));
    return bucket;
  }

  /** After etcd has said that a lease is gone (revoked by hand, restored from a backup). */
  forget(ttlSeconds: number): void {
    this.#buckets.delete(ttlSeconds);
  }

  #forget(ttlSeconds: number, bucket: Bucket): void {
    if (this.#buckets.get(ttlSeconds) === bucket) this.#buckets.delete(ttlSeconds);
  }
}

async function grant(deps: LeaseDeps, ttlSeconds: number, c: Ctx): Promise<bigint> {
  return await call('granting a lease', () => deps.clients.streams.leaseGrant(Math.ceil(ttlSeconds)), c, deps.random);
}

/** Resolves when this caller holds the key. */
export async function acquire(
  deps: LeaseDeps,
  o: { key: string; identity: string; ttlSeconds: number },
  c: Ctx,
): Promise<HeldKey> {
  for (;;) {
    c.signal.throwIfAborted();
    await untilAbsent(deps, o.key, c);
    const sentAt = c.clock.monotonic();
    const leaseId = await grant(deps, o.ttlSeconds, c);
    let createRevision: bigint | undefined;
    try {
      createRevision = await tryCreate(deps, { ...o, leaseId }, c);
    } finally {
      if (createRevision === undefined) await revoke(deps, leaseId);
    }
    if (createRevision !== undefined) return new EtcdHeldKey(deps, { ...o, leaseId, createRevision, sentAt }, c);
  }
}

/** The create revision, or undefined when another holder was faster. */
async function tryCreate(
  deps: LeaseDeps,
  o: { key: string; identity: string; leaseId: bigint },
  c: Ctx,
): Promise<bigint | undefined> {
  const key = deps.keys.bytes(o.key);
  const request = {
    compare: [{ key, target: 'create' as const, revision: 0n }],
    success: [{ put: { key, value: encodeValue(Buffer.from(o.identity), 0, false), lease: o.leaseId } }],
    failure: [{ range: { key } }],
  };
  const answer = await call(`acquiring ${o.key}`, () => deps.clients.kv.txn(request), c, deps.random);
  if (answer.succeeded) return answer.revision;
  // A repeated attempt after a lost answer finds its own lease on the key.
  const holder = answer.responses[0]?.range?.kvs[0];
  return holder?.lease === o.leaseId ? holder.createRevision : undefined;
}

/**
 * A watch tells at once; every few seconds the key is read again, so that an event that never comes (an etcd that crashed
 * and came back while its disk was full was seen to swallow one) delays an election and does not end it.
 */
async function untilAbsent(deps: LeaseDeps, key: string, c: Ctx): Promise<void> {
  const request = { key: deps.keys.bytes(key), keysOnly: true };
  for (;;) {
    const answer = await call(`reading ${key}`, () => deps.clients.kv.range(request), c, deps.random);
    if (answer.kvs.length === 0) return;
    await deletedWithin(deps, key, readRevision(answer.revision), c);
    c.signal.throwIfAborted();
  }
}

/** Resolves at the key's removal, or after RECHECK_MS. */
async function deletedWithin(deps: LeaseDeps, key: string, from: Revision, c: Ctx): Promise<void> {
  await using scope = new Scope(`wait for ${key}`, c.signal);
  using _recheck = c.clock.after(RECHECK_MS, () => scope.abort());
  const place = { clients: deps.clients, keys: deps.keys, random: deps.random };
  try {
    for await (const events of watchRange(place, { key: deps.keys.bytes(key) }, from, { ...c, signal: scope.signal }))
      if (events.some((e) => e.type === 'delete')) return;
  } catch (e) {
    // Compacted while waiting, or time to look again.
    if (!isKind(e, 'Expired') && !scope.signal.aborted) throw e;
  }
}

/** Best effort under a deadline of its own, since it runs after a cancel: an unrevoked lease ends by itself. */
async function revoke(deps: LeaseDeps, leaseId: bigint): Promise<void> {
  await deps.clients.streams.leaseRevoke(leaseId).catch(() => undefined);
}

class EtcdHeldKey implements HeldKey {
  readonly fence: Fence;
  readonly #deps: LeaseDeps;
  readonly #leaseId: bigint;
  readonly #ttlMs: number;
  readonly #lost = new AbortController();
  readonly #scope: Scope;
  readonly #c: Ctx;
  #expiry: Timer | undefined;

  constructor(
    deps: LeaseDeps,
    o: { key: string; leaseId: bigint; ttlSeconds: number; createRevision: bigint; sentAt: number },
    c: Ctx,
  ) {
    this.#deps = deps;
    this.fence = { key: o.key, createRevision: o.createRevision };
    this.#leaseId = o.leaseId;
    this.#ttlMs = o.ttlSeconds * 1000;
    // Not linked to the acquiring caller's signal: holding ends by dispose or by loss only.
    this.#scope = new Scope(`hold ${o.key}`);
    this.#c = { ...c, signal: this.#scope.signal };
    this.#believeUntil(o.sentAt);
    this.#scope.spawn('renew', () => this.#renewAll());
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#expiry?.cancel();
    await this.#scope[Symbol.asyncDispose]();
    await revoke(this.#deps, this.#leaseId);
  }

  #believeUntil(sentAt: number): void {
    const marginMs = Math.min(this.#ttlMs / 4, 2_000);
    const endsAt = sentAt + this.#ttlMs - marginMs;
    this.#expiry?.cancel();
    this.#expiry = this.#c.clock.after(
      endsAt - this.#c.clock.monotonic(),
      () => this.#lose('was not renewed in time'),
      {
        unref: true,
      },
    );
  }

  #lose(why: string): void {
    if (this.#lost.signal.aborted) return;
    this.#expiry?.cancel();
    this.#c.log.warn({ key: this.fence.key }, 'lost a held key');
    this.#lost.abort(new StatusError('Conflict', `${this.fence.key} ${why}`, { reason: 'Fenced' }));
    this.#scope.abort();
  }

  async #renewAll(): Promise<void> {
    while (!this.#c.signal.aborted) {
      await this.#c.clock.sleep(this.#ttlMs / 3, this.#c.signal);
      try {
        await this.#renewOnce();
      } catch (e) {
        if (this.#c.signal.aborted) return;
        this.#c.log.debug({ key: this.fence.key, err: messageOf(e) }, 'a lease renewal failed; trying again');
        await this.#c.clock.sleep(200, this.#c.signal);
      }
    }
  }

  async #renewOnce(): Promise<void> {
    const sentAt = this.#c.clock.monotonic();
    const ttl = await this.#deps.clients.streams.leaseKeepAlive(this.#leaseId, this.#ttlMs / 3);
    if (ttl <= 0) this.#lose('expired in etcd');
    else this.#believeUntil(sentAt);
  }
}
