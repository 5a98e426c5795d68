/**
 * The store on etcd: reads here, writes through group commit (etcd-commit.ts), changes through our own watch
 * (etcd-watch.ts), elections and lifetimes by leases (etcd-lease.ts).
 *
 * Assumes an etcd of its own, or a prefix of its own in a shared one; foreign values among our keys are refused, not
 * guessed at, and foreign keys beside ours are passed over. Reads are linearizable ranges, in pages of 500 at one revision,
 * so that no answer is larger than a few MB.
 */
import {
  type Clock,
  type Ctx,
  isKind,
  type Logger,
  type Random,
  raceAbort,
  realRandom,
  Scope,
  SharedRead,
  StatusError,
} from '#lib/base';
import type { EtcdTls, RangeRequest, RangeResponse } from '#lib/etcd';
import { call, type EtcdClients, type EtcdEndpoints, openClients } from './etcd-client.ts';
import { Committer } from './etcd-commit.ts';
import { KeySpace } from './etcd-keys.ts';
import { acquire, LeaseBuckets } from './etcd-lease.ts';
import { watchRange } from './etcd-watch.ts';
import {
  type Entry,
  type ListOptions,
  type ListPage,
  type Revision,
  readRevision,
  type Store,
  type StoreAdmin,
  type StoreEvent,
  type WriteOptions,
} from './store.ts';
import { modRevisionOf } from './store-errors.ts';

export interface EtcdOptions extends EtcdEndpoints {
  /** Put before every key, for an etcd shared with others. Default ''. */
  readonly prefix?: string | undefined;
  /** What etcd was started with (--quota-backend-bytes); etcd 3.4 does not tell. Default 2 GiB, etcd's own. */
  readonly quotaBytes?: number | undefined;
  readonly random?: Random | undefined;
}

const PAGE_ENTRIES = 500;
const DEFAULT_QUOTA_BYTES = 2 * 1024 ** 3;

export class EtcdStore implements Store, AsyncDisposable {
  readonly admin: StoreAdmin;
  readonly #clients: EtcdClients;
  readonly #keys: KeySpace;
  readonly #random: Random;
  readonly #scope: Scope;
  readonly #committer: Committer;
  readonly #leases: LeaseBuckets;
  readonly #revisions: SharedRead<Revision>;
  readonly #quotaBytes: number;

  private constructor(o: EtcdOptions, clients: EtcdClients, c: { clock: Clock; log: Logger }) {
    this.#clients = clients;
    this.#keys = new KeySpace(o.prefix ?? '');
    this.#random = o.random ?? realRandom;
    this.#scope = new Scope('etcd store');
    this.#quotaBytes = o.quotaBytes ?? DEFAULT_QUOTA_BYTES;
    const own: Ctx = { clock: c.clock, log: c.log, signal: this.#scope.signal };
    const shared = { keys: this.#keys, random: this.#random };
    this.#committer = new Committer({ clients, c: own, ...shared });
    const leaseDeps = { clients, ...shared };
    this.#leases = new LeaseBuckets(leaseDeps, own);
    this.#revisions = new SharedRead(() => this.#readRevision(own));
    this.admin = {
      acquire: (key, identity, options, ctx) => acquire(leaseDeps, { key, identity, ...options }, ctx),
      compact: (before, ctx) => this.#compact(before, ctx),
      health: (ctx) => this.#health(ctx),
    };
  }

  /** Resolves when etcd has answered once. Throws Unavailable when it does not within a few seconds. */
  static async open(o: EtcdOptions, c: Ctx): Promise<EtcdStore> {
    const store = new EtcdStore(o, openClients(o, o.random ?? realRandom), c);
    try {
      await store.currentRevision(c);
      return store;
    } catch (e) {
      await store[Symbol.asyncDispose]();
      throw e;
    }
  }

  async get(key: string, c: Ctx): Promise<Entry | undefined> {
    const answer = await this.#range(`reading ${key}`, { key: this.#keys.bytes(key) }, c);
    const kv = answer.kvs[0];
    return kv && this.#keys.entry(kv);
  }

  async list(prefix: string, o: ListOptions, c: Ctx): Promise<ListPage> {
    const limit = o.limit !== undefined && o.limit > 0 ? o.limit : Number.POSITIVE_INFINITY;
    const entries: Entry[] = [];
    let revision = o.at;
    for (let after = o.after; ; ) {
      const page = await this.#range(
        `listing ${prefix}`,
        {
          ...this.#keys.range(prefix, after),
          limit: Math.min(PAGE_ENTRIES, limit - entries.length),
          ...(revision === undefined ? {} : { revision: pastRevision(revision) }),
        },
        c,
      );
      revision ??= readRevision(page.revision);
      for (const kv of page.kvs) entries.push(this.#keys.entry(kv));
      const remaining = page.count - page.kvs.length;
      if (remaining <= 0 || page.kvs.length === 0 || entries.length >= limit)
        return { entries, revision, more: remaining > 0, remaining: Math.max(remaining, 0) };
      after = entries.at(-1)?.key;
    }
  }

  create(key: string, value: Buffer, o: WriteOptions, c: Ctx): Promise<Entry> {
    return this.#put({ key, value, expected: undefined }, o, c);
  }

  update(key: string, value: Buffer, expected: Revision, o: WriteOptions, c: Ctx): Promise<Entry> {
    return this.#put({ key, value, expected }, o, c);
  }

  delete(key: string, expected: Revision, o: Pick<WriteOptions, 'fence'>, c: Ctx): Promise<Revision> {
    return this.#committer.remove(key, expected, o.fence, c);
  }

  watch(from: Revision, c: Ctx): AsyncIterable<readonly StoreEvent[]> {
    const deps = { clients: this.#clients, keys: this.#keys, random: this.#random };
    return watchRange(deps, this.#keys.range(''), from, c);
  }

  currentRevision(c: Ctx): Promise<Revision> {
    return raceAbort(this.#revisions.read(), c.signal);
  }

  /** A renewed certificate of this client. */
  useTls(tls: EtcdTls): void {
    this.#clients.useTls(tls);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    this.#clients.close();
  }

  async #put(
    given: { key: string; value: Buffer; expected: Revision | undefined },
    o: WriteOptions,
    c: Ctx,
  ): Promise<Entry> {
    const w = { ...given, fence: o.fence, guard: o.guard, isSealed: o.isSealed === true };
    if (o.ttlSeconds === undefined) return this.#committer.put({ ...w, leaseId: undefined }, c);
    const leaseId = await this.#leases.leaseFor(o.ttlSeconds, c);
    try {
      return await this.#committer.put({ ...w, leaseId }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
      this.#leases.forget(o.ttlSeconds);
      return this.#committer.put({ ...w, leaseId: await this.#leases.leaseFor(o.ttlSeconds, c) }, c);
    }
  }

  #range(what: string, request: RangeRequest, c: Ctx): Promise<RangeResponse> {
    return call(what, () => this.#clients.kv.range(request), c, this.#random);
  }

  /** A linearizable read of a key that does not exist: its header holds a revision not older than any acknowledged write. */
  async #readRevision(c: Ctx): Promise<Revision> {
    const answer = await this.#range('reading the revision', { key: Buffer.from('\0'), countOnly: true }, c);
    return readRevision(answer.revision);
  }

  async #compact(before: Revision, c: Ctx): Promise<void> {
    // Answered when the history is really gone, so that who looks at the size next sees what it gave.
    try {
      await call('compacting', () => this.#clients.kv.compact(modRevisionOf(before)), c, this.#random);
    } catch (e) {
      // Somebody has compacted further already, which is as good.
      if (!isKind(e, 'Expired')) throw e;
    }
  }

  async #health(c: Ctx): Promise<{ sizeBytes: number; sizeInUseBytes: number; quotaBytes: number }> {
    const [alarm] = await call('reading alarms', () => this.#clients.kv.alarms(), c, this.#random);
    if (alarm !== undefined)
      throw new StatusError('Unavailable', `etcd member ${alarm.memberId} has raised the alarm ${alarm.kind}`);
    const status = await call('reading the status', () => this.#clients.kv.status(), c, this.#random);
    return { sizeBytes: status.dbSize, sizeInUseBytes: status.dbSizeInUse, quotaBytes: this.#quotaBytes };
  }
}

/** etcd takes 0 for "now"; its first revision is 1. */
function pastRevision(revision: Revision): bigint {
  const mod = modRevisionOf(revision);
  return mod < 1n ? 1n : mod;
}
