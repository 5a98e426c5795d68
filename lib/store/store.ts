/**
 * Desired state, as ordered keys with opaque value bytes. The store knows nothing of kinds: the API server gives it the
 * encoded object and decodes what it reads (ADR 0002). Two implementations pass one conformance suite: etcd and memory.
 *
 * Revisions: all puts of one etcd transaction share one mod revision, so a revision here is
 * `modRevision * 128 + index in the group` (design.md 0.9); a read at a store revision is `revision * 128 + 127`, so that
 * a watch from a list's revision starts at the next transaction.
 *
 * Legal call order: any, from any number of callers. Every write may be repeated after a lost answer: a repeated create
 * ends in AlreadyExists, a repeated update in Conflict, and the caller re-reads.
 */
import type { Ctx } from '#lib/base';

/** modRevision * 128 + index. Opaque decimal string outside (metadata.resourceVersion). */
export type Revision = bigint & { readonly __brand: 'Revision' };

export const REVISION_SLOTS = 128n;

export interface Entry {
  readonly key: string;
  readonly value: Buffer;
  readonly revision: Revision;
  /** The value is an envelope (sealing/envelope.ts); never seen above the sealing store. */
  readonly isSealed?: boolean | undefined;
}

export type StoreEvent =
  | { readonly type: 'put'; readonly entry: Entry }
  /** `revision` is that of the removal. */
  | { readonly type: 'delete'; readonly key: string; readonly revision: Revision };

/**
 * Leadership or session fencing: the write commits only while `key` still exists with this create revision
 * (a plain etcd create_revision). A failed fence is StatusError kind Conflict, reason 'Fenced'.
 */
export interface Fence {
  readonly key: string;
  readonly createRevision: bigint;
}

export interface WriteOptions {
  readonly fence?: Fence | undefined;
  /** The key disappears this many seconds after the write (Events). Bucketed by minute onto shared leases. */
  readonly ttlSeconds?: number | undefined;
  /** The value is an envelope: kept as a flag beside it. */
  readonly isSealed?: boolean | undefined;
  /** Like `fence`, for the key that sealed the value; when it fails: Conflict, reason 'GuardLost'. Told after `fence`. */
  readonly guard?: Fence | undefined;
}

export interface ListPage {
  readonly entries: readonly Entry[];
  /** Of the store when the first page was read: hand it to `watch`. */
  readonly revision: Revision;
  /** Whether keys after the last entry remain. */
  readonly more: boolean;
  /** How many remain after this page, when known. */
  readonly remaining: number;
}

export interface ListOptions {
  readonly limit?: number | undefined;
  /** Exclusive: start behind this key. */
  readonly after?: string | undefined;
  /** Read at this past revision; throws Expired when compacted. */
  readonly at?: Revision | undefined;
}

export interface Store {
  /** Linearizable. */
  get(key: string, c: Ctx): Promise<Entry | undefined>;
  /** Linearizable unless `at` is given; keys in byte order, all starting with `prefix`. */
  list(prefix: string, o: ListOptions, c: Ctx): Promise<ListPage>;
  /** Throws AlreadyExists when the key exists. */
  create(key: string, value: Buffer, o: WriteOptions, c: Ctx): Promise<Entry>;
  /** Throws Conflict when the key's revision is not `expected` (also when it is gone). */
  update(key: string, value: Buffer, expected: Revision, o: WriteOptions, c: Ctx): Promise<Entry>;
  /** Throws Conflict when the key's revision is not `expected`. Returns the revision of the removal. */
  delete(key: string, expected: Revision, o: Pick<WriteOptions, 'fence'>, c: Ctx): Promise<Revision>;
  /**
   * Every change with a revision greater than `from`, of all keys, in order, in batches as they came. Reconnects by
   * itself without loss or repetition; throws Expired when `from` was compacted; ends when `c.signal` aborts.
   */
  watch(from: Revision, c: Ctx): AsyncIterable<readonly StoreEvent[]>;
  /** A revision at least as new as every write acknowledged before the call (one linearizable read, shared by waiters). */
  currentRevision(c: Ctx): Promise<Revision>;
  /** Session leases and elections, and the store's own health. */
  readonly admin: StoreAdmin;
}

/** An etcd lease with a key: how a leader, or a replica that holds a node's session, is known. */
export interface HeldKey extends AsyncDisposable {
  readonly fence: Fence;
  /** Aborts when the lease is lost or within its safety margin without renewal (own monotonic clock). */
  readonly lost: AbortSignal;
}

export interface StoreAdmin {
  /** Waits until this caller holds `key` (value = identity), then keeps it alive. One holder at a time. */
  acquire(key: string, identity: string, o: { ttlSeconds: number }, c: Ctx): Promise<HeldKey>;
  /** Forgets history before the revision; watches older than that get Expired. */
  compact(before: Revision, c: Ctx): Promise<void>;
  /** Throws Unavailable with the reason (unreachable, NOSPACE alarm, ...) when writes would fail. */
  health(c: Ctx): Promise<{ sizeBytes: number; sizeInUseBytes: number; quotaBytes: number }>;
}

export function toRevision(modRevision: bigint, index: number): Revision {
  return (modRevision * REVISION_SLOTS + BigInt(index)) as Revision;
}

/** The revision of a read at store revision `headerRevision`. */
export function readRevision(headerRevision: bigint): Revision {
  return (headerRevision * REVISION_SLOTS + 127n) as Revision;
}

/** Clients keep them in 64 bits. */
const REVISION_MAX = (1n << 64n) - 1n;

/** Parses metadata.resourceVersion; undefined when it is not a decimal number of 64 bits. */
export function parseRevision(text: string): Revision | undefined {
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const revision = BigInt(text);
  return revision <= REVISION_MAX ? (revision as Revision) : undefined;
}
