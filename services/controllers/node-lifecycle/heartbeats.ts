/**
 * Who has been silent for too long, judged only from what this process could have heard.
 *
 * A node's Lease says for how long a sign of life counts (docs/adr/0005-heartbeats-without-etcd-writes.md). Silence is a verdict
 * only when the way to the API was open all through a full such time: a leader that has just begun, a store that was away, a
 * process that was stopped start every silence at zero. The way counts as open while a linearizable read a second is answered.
 *
 * Times are monotonic ms of this process but for the Lease's own, which is used for one difference only.
 */
import type { DeepReadonly, Lease } from '#lib/api';
import type { Clock } from '#lib/base';

/** A gap between two answered probes longer than this is an outage. */
export const OUTAGE_MS = 3_000;

const SESSION = 'berth.dev/session';

export type Verdict =
  | { readonly type: 'heard'; readonly untilMs: number }
  /** Overdue, but we have not listened for long enough. */
  | { readonly type: 'unsure'; readonly untilMs: number }
  | { readonly type: 'silent' };

interface Sign {
  readonly renewTime: string;
  readonly durationMs: number;
  /** When the sign stops counting. */
  readonly expiresMs: number;
}

export class Heartbeats {
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #signs = new Map<string, Sign>();
  #openSinceMs: number | undefined;
  #lastProbeMs = 0;

  /** `graceMs` is for nodes whose Lease names no duration, or that have none. */
  constructor(clock: Clock, graceMs: number) {
    this.#clock = clock;
    this.#graceMs = graceMs;
  }

  /** A probe was answered. True when the way was closed before, so that everything is judged anew. */
  probed(): boolean {
    const now = this.#clock.monotonic();
    const wasClosed = !this.#isOpen(now);
    if (wasClosed) this.#openSinceMs = now;
    this.#lastProbeMs = now;
    return wasClosed;
  }

  /** Judges nobody by the past: every silence begins at zero. For the end of a time in which most nodes were silent. */
  listenAnew(): void {
    if (this.#openSinceMs !== undefined) this.#openSinceMs = this.#clock.monotonic();
  }

  /** Call with every version of a node's Lease. True when it is a new sign of life, or the end of one. */
  sawLease(node: string, lease: DeepReadonly<Lease>): boolean {
    const renewTime = lease.spec?.renewTime ?? '';
    const durationMs = (lease.spec?.leaseDurationSeconds ?? 0) * 1000 || this.#graceMs;
    const known = this.#signs.get(node);
    if (known?.renewTime === renewTime && known.durationMs === durationMs) return false;
    const now = this.#clock.monotonic();
    // A renewal that comes while we listen is fresh whatever the writer's clock says; only for what was there before, and
    // for the gateway's word that a node has fallen silent, the time it names counts.
    const isRenewal =
      known !== undefined && known.renewTime !== '' && lease.metadata.annotations?.[SESSION] !== 'silent';
    const ageMs = isRenewal ? 0 : Math.max(this.#clock.now() - (Date.parse(renewTime) || 0), 0);
    const expiresMs = now + durationMs - ageMs;
    this.#signs.set(node, { renewTime, durationMs, expiresMs });
    return true;
  }

  /** A node without a Lease is heard by its existence for one grace period. */
  sawNode(node: string): void {
    if (this.#signs.has(node)) return;
    const expiresMs = this.#clock.monotonic() + this.#graceMs;
    this.#signs.set(node, { renewTime: '', durationMs: this.#graceMs, expiresMs });
  }

  forget(node: string): void {
    this.#signs.delete(node);
  }

  verdict(node: string): Verdict {
    const now = this.#clock.monotonic();
    const sign = this.#signs.get(node);
    if (!sign) return { type: 'unsure', untilMs: now + this.#graceMs };
    if (now < sign.expiresMs) return { type: 'heard', untilMs: sign.expiresMs };
    if (!this.#isOpen(now) || this.#openSinceMs === undefined) return { type: 'unsure', untilMs: now + OUTAGE_MS };
    const sureMs = this.#openSinceMs + sign.durationMs;
    return now < sureMs ? { type: 'unsure', untilMs: sureMs } : { type: 'silent' };
  }

  #isOpen(now: number): boolean {
    return this.#openSinceMs !== undefined && now - this.#lastProbeMs <= OUTAGE_MS;
  }
}
