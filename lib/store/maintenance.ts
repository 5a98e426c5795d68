/**
 * Keeps etcd within its quota, so that it never raises NOSPACE (after which it refuses every write): forgets old history,
 * gives free pages back, and if the alarm is up nevertheless, makes room and takes it down.
 *
 * Each round: sample the revision; compact what is older than `historyMs`; ask every member for its size; defragment a
 * member (it stands still meanwhile, so one at a time, and only when at least half of a big file is free) ; above 80 % of
 * the quota compact to a minute ago and say so. A member that is away is passed over: what it has to say of itself must
 * not stop the others from being kept. Every step may be repeated and done by several replicas at once.
 */
import { type Ctx, messageOf, type Random, realRandom } from '#lib/base';
import { EtcdClient, type EtcdTls } from '#lib/etcd';
import { call, type EtcdEndpoints, storeError } from './etcd-client.ts';
import type { Revision, Store } from './store.ts';

export interface MaintenanceOptions extends EtcdEndpoints {
  /** Default 60 s. */
  readonly intervalMs?: number | undefined;
  /** How long a watch or a paged list can be away and still resume. Default 5 min. */
  readonly historyMs?: number | undefined;
  /** Files smaller than this are never defragmented. Default 64 MiB. */
  readonly defragMinBytes?: number | undefined;
  /** Default 2 GiB. */
  readonly quotaBytes?: number | undefined;
  readonly random?: Random | undefined;
}

interface Member {
  readonly endpoint: string;
  readonly client: EtcdClient;
}

interface Size {
  readonly sizeBytes: number;
  readonly inUseBytes: number;
}

interface Sample {
  readonly at: number;
  readonly revision: Revision;
}

const FULL_SHARE = 0.8;
const FULL_HISTORY_MS = 60_000;

export class Maintenance implements AsyncDisposable {
  readonly #store: Store;
  /** Any member that answers: for what concerns all of them. */
  #cluster: EtcdClient;
  #members: readonly Member[];
  readonly #endpoints: EtcdEndpoints;
  readonly #random: Random;
  readonly #intervalMs: number;
  readonly #historyMs: number;
  readonly #defragMinBytes: number;
  readonly #quotaBytes: number;
  /** Oldest first; at most one per interval of history. */
  #samples: Sample[] = [];
  #compactedTo: Revision | undefined;

  constructor(store: Store, o: MaintenanceOptions) {
    this.#store = store;
    this.#endpoints = o;
    this.#cluster = new EtcdClient(o);
    this.#members = membersOf(o);
    this.#random = o.random ?? realRandom;
    this.#intervalMs = o.intervalMs ?? 60_000;
    this.#historyMs = o.historyMs ?? 5 * 60_000;
    this.#defragMinBytes = o.defragMinBytes ?? 64 * 1024 ** 2;
    this.#quotaBytes = o.quotaBytes ?? 2 * 1024 ** 3;
  }

  /** Rounds until `c.signal` aborts; a failed round is logged and the next one tries again. */
  async run(c: Ctx): Promise<void> {
    while (!c.signal.aborted) {
      try {
        await this.round(c);
      } catch (e) {
        if (c.signal.aborted) return;
        c.log.warn({ err: messageOf(e) }, 'etcd maintenance failed; trying again');
      }
      await c.clock.sleep(this.#intervalMs, c.signal).catch(() => undefined);
    }
  }

  async round(c: Ctx): Promise<void> {
    const now = c.clock.monotonic();
    this.#samples.push({ at: now, revision: await this.#store.currentRevision(c) });
    const alarmed = await this.#alarms(c);
    const sizes = new Map<Member, Size>();
    for (const m of this.#members) {
      const size = await this.#passingOver(m, () => this.#size(m), c);
      if (size !== undefined) sizes.set(m, size);
    }
    const largest = Math.max(0, ...[...sizes.values()].map((s) => s.sizeBytes));
    const full = largest > this.#quotaBytes * FULL_SHARE;
    if (full || alarmed.length > 0)
      c.log.error({ sizeBytes: largest, quotaBytes: this.#quotaBytes }, 'etcd is nearly full: forgetting more history');
    await this.#compact(now - (alarmed.length > 0 ? 0 : full ? FULL_HISTORY_MS : this.#historyMs), c);
    const need = alarmed.length > 0 ? 'alarmed' : full ? 'full' : 'none';
    for (const m of sizes.keys()) await this.#passingOver(m, () => this.#defragment(m, need, c), c);
    for (const memberId of alarmed) await this.#disarm(memberId, c);
  }

  /** A renewed certificate of this client: for connections to come. */
  useTls(tls: EtcdTls): void {
    this.#close();
    this.#cluster = new EtcdClient({ ...this.#endpoints, tls });
    this.#members = membersOf({ ...this.#endpoints, tls });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#close();
  }

  #close(): void {
    this.#cluster.close();
    for (const { client } of this.#members) client.close();
  }

  /** To the newest sample that is at least as old as `until`. */
  async #compact(until: number, c: Ctx): Promise<void> {
    const target = this.#samples.filter((s) => s.at <= until).at(-1);
    if (target === undefined) return;
    this.#samples = this.#samples.filter((s) => s.at >= target.at);
    if (target.revision === this.#compactedTo) return;
    await this.#store.admin.compact(target.revision, c);
    this.#compactedTo = target.revision;
    c.log.debug({ revision: String(target.revision) }, 'compacted etcd');
  }

  /** undefined when it fails: that member is left for the next round. */
  async #passingOver<T>({ endpoint }: Member, fn: () => Promise<T>, c: Ctx): Promise<T | undefined> {
    try {
      return await fn();
    } catch (e) {
      c.signal.throwIfAborted();
      const { message } = storeError(`looking after ${endpoint}`, e);
      c.log.warn({ endpoint, err: message }, 'an etcd member is passed over');
      return undefined;
    }
  }

  /** Asked once: a member that is away costs a round one deadline. */
  async #size({ client }: Member): Promise<Size> {
    const status = await client.status();
    return { sizeBytes: status.dbSize, inUseBytes: status.dbSizeInUse };
  }

  /**
   * The size is read anew: compaction has freed pages. etcd counts them with the next write, which an alarm forbids: then
   * its figure decides nothing.
   */
  async #defragment(member: Member, need: 'none' | 'full' | 'alarmed', c: Ctx): Promise<void> {
    const { sizeBytes, inUseBytes } = await this.#size(member);
    const worth = {
      none: sizeBytes > this.#defragMinBytes && inUseBytes < sizeBytes / 2,
      full: inUseBytes < sizeBytes * 0.9,
      alarmed: true,
    }[need];
    if (!worth) return;
    const startedAt = c.clock.monotonic();
    await member.client.defragment();
    const after = await this.#size(member);
    const durationMs = Math.round(c.clock.monotonic() - startedAt);
    c.log.info({ sizeBytes, afterBytes: after.sizeBytes, durationMs }, 'defragmented an etcd member');
  }

  /** Members with a NOSPACE alarm. */
  async #alarms(c: Ctx): Promise<readonly bigint[]> {
    const alarms = await call('reading alarms', () => this.#cluster.alarms(), c, this.#random);
    return alarms.filter((a) => a.kind === 'nospace').map((a) => a.memberId);
  }

  async #disarm(memberId: bigint, c: Ctx): Promise<void> {
    await call('disarming', () => this.#cluster.disarmNospace(memberId), c, this.#random);
    c.log.warn({ memberId: memberId.toString() }, 'etcd has room again: took the NOSPACE alarm down');
  }
}

function membersOf(o: EtcdEndpoints): readonly Member[] {
  return o.endpoints.map((endpoint) => ({ endpoint, client: new EtcdClient({ ...o, endpoints: [endpoint] }) }));
}
