/**
 * Keeps etcd within its quota, so that it never raises NOSPACE (after which it refuses every write): forgets old history,
 * gives free pages back, and if the alarm is up nevertheless, makes room and takes it down.
 *
 * Each round: sample the revision; compact what is older than `historyMs`; ask every member for its size; defragment a
 * member (it stands still meanwhile, so one at a time, and only when at least half of a big file is free) ; above 80 % of
 * the quota compact to a minute ago and say so. Every step may be repeated and done by several replicas at once.
 */
import type { Etcd3 } from 'etcd3';
import { type Ctx, messageOf, type Random, realRandom } from '#lib/base';
import { call, type EtcdEndpoints, openClient } from './etcd-client.ts';
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

interface Sample {
  readonly at: number;
  readonly revision: Revision;
}

const FULL_SHARE = 0.8;
const FULL_HISTORY_MS = 60_000;

export class Maintenance implements AsyncDisposable {
  readonly #store: Store;
  readonly #members: readonly Etcd3[];
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
    this.#members = o.endpoints.map((endpoint) => openClient({ ...o, endpoints: [endpoint] }, false));
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
    let largest = 0;
    for (const member of this.#members) largest = Math.max(largest, (await this.#size(member, c)).sizeBytes);
    const full = largest > this.#quotaBytes * FULL_SHARE;
    if (full || alarmed.length > 0)
      c.log.error({ sizeBytes: largest, quotaBytes: this.#quotaBytes }, 'etcd is nearly full: forgetting more history');
    await this.#compact(now - (alarmed.length > 0 ? 0 : full ? FULL_HISTORY_MS : this.#historyMs), c);
    for (const member of this.#members) await this.#defragment(member, full || alarmed.length > 0, c);
    for (const memberId of alarmed) await this.#disarm(memberId, c);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const member of this.#members) member.close();
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

  async #size(member: Etcd3, c: Ctx): Promise<{ sizeBytes: number; inUseBytes: number }> {
    const status = await call('reading a status', (o) => member.maintenance.status(o), c, this.#random);
    return { sizeBytes: Number(status.dbSize), inUseBytes: Number(status.dbSizeInUse) };
  }

  async #defragment(member: Etcd3, urgent: boolean, c: Ctx): Promise<void> {
    const { sizeBytes, inUseBytes } = await this.#size(member, c);
    const worth = urgent
      ? inUseBytes < sizeBytes * 0.9
      : sizeBytes > this.#defragMinBytes && inUseBytes < sizeBytes / 2;
    if (!worth) return;
    const startedAt = c.clock.monotonic();
    const deadline = c.clock.now() + 120_000;
    await call('defragmenting', () => member.maintenance.defragment({ deadline }), c, this.#random);
    const after = await this.#size(member, c);
    const durationMs = Math.round(c.clock.monotonic() - startedAt);
    c.log.info({ sizeBytes, afterBytes: after.sizeBytes, durationMs }, 'defragmented an etcd member');
  }

  /** Members with a NOSPACE alarm. */
  async #alarms(c: Ctx): Promise<readonly string[]> {
    const [member] = this.#members;
    if (member === undefined) return [];
    const answer = await call('reading alarms', (o) => member.maintenance.alarm({ action: 'Get' }, o), c, this.#random);
    return answer.alarms.filter((a) => String(a.alarm).toLowerCase() === 'nospace').map((a) => a.memberID);
  }

  async #disarm(memberID: string, c: Ctx): Promise<void> {
    const [member] = this.#members;
    if (member === undefined) return;
    const request = { action: 'Deactivate' as const, memberID, alarm: 'Nospace' as const };
    await call('disarming', (o) => member.maintenance.alarm(request, o), c, this.#random);
    c.log.warn({ memberId: memberID }, 'etcd has room again: took the NOSPACE alarm down');
  }
}
