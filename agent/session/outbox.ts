/**
 * Reports that the gateway has not stored yet. Of each pod only the newest status is kept; "removed" ends a pod's statuses.
 * Nothing is lost by a broken connection: `resendAll` on each new one. In memory only: after a restart of the agent the
 * pod workers report anew.
 *
 * Bounds: one entry per pod, and per released volume; events: the newest 256 while disconnected.
 */

import type { Clock, Logger, Timer } from '#lib/base';
import type { AgentMessage } from '#proto/gen/berth/agent/v1/AgentMessage.ts';
import type { PodRef } from './session.ts';

interface Entry {
  /** Or a volume; uids are nobody's twice. */
  readonly pod: PodRef;
  readonly report: Report;
  /** Of the last sending on this connection. */
  sequence: string | undefined;
}

type Report =
  | { readonly type: 'status'; readonly status: Buffer }
  /** The pod is gone from this node. */
  | { readonly type: 'removed' }
  | { readonly type: 'volumeErased' };

const EVENTS_MAX = 256;
const RETRY_MS = 1_000;

export class Outbox {
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #entries = new Map<string, Entry>();
  #events: Buffer[] = [];
  #nodeStatus: Buffer | undefined;
  #send: ((m: AgentMessage) => void) | undefined;
  #sequence = 0n;
  #retry: Timer | undefined;

  constructor(o: { clock: Clock; log: Logger }) {
    this.#clock = o.clock;
    this.#log = o.log;
  }

  get size(): number {
    return this.#entries.size;
  }

  podStatus(pod: PodRef, status: Buffer): void {
    const before = this.#entries.get(pod.uid);
    if (before !== undefined && before.report.type !== 'status') return;
    this.#put({ pod, report: { type: 'status', status }, sequence: undefined });
  }

  podRemoved(pod: PodRef): void {
    this.#put({ pod, report: { type: 'removed' }, sequence: undefined });
  }

  volumeErased(volume: PodRef): void {
    this.#put({ pod: volume, report: { type: 'volumeErased' }, sequence: undefined });
  }

  nodeStatus(status: Buffer): void {
    if (this.#send !== undefined) this.#send({ node_status: { status } });
    else this.#nodeStatus = status;
  }

  event(event: Buffer): void {
    if (this.#send !== undefined) {
      this.#send({ event: { event } });
      return;
    }
    this.#events.push(event);
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
  }

  /** A new connection: everything unacknowledged goes out again. */
  open(send: (m: AgentMessage) => void): void {
    this.#send = send;
    for (const e of this.#entries.values()) e.sequence = undefined;
    this.#sendUnsent();
    if (this.#nodeStatus !== undefined) send({ node_status: { status: this.#nodeStatus } });
    this.#nodeStatus = undefined;
    for (const event of this.#events) send({ event: { event } });
    this.#events = [];
  }

  close(): void {
    this.#send = undefined;
    this.#retry?.cancel();
    this.#retry = undefined;
  }

  /** Of an older sending of the same pod: nothing, a newer one is under way. */
  acknowledged(sequence: string, errorKind: string): void {
    for (const [uid, entry] of this.#entries) {
      if (entry.sequence !== sequence) continue;
      if (errorKind === '' || errorKind === 'NotFound') this.#entries.delete(uid);
      else if (errorKind === 'Invalid' || errorKind === 'Forbidden') {
        this.#entries.delete(uid);
        this.#log.error({ ...entry.pod, err: errorKind }, 'the control plane refuses a report');
      } else {
        entry.sequence = undefined;
        this.#retry ??= this.#clock.after(RETRY_MS, () => {
          this.#retry = undefined;
          this.#sendUnsent();
        });
      }
      return;
    }
  }

  #put(entry: Entry): void {
    this.#entries.set(entry.pod.uid, entry);
    if (this.#send !== undefined) this.#sendOne(entry, this.#send);
  }

  #sendUnsent(): void {
    const send = this.#send;
    if (send === undefined) return;
    for (const entry of this.#entries.values()) if (entry.sequence === undefined) this.#sendOne(entry, send);
  }

  #sendOne(entry: Entry, send: (m: AgentMessage) => void): void {
    entry.sequence = (++this.#sequence).toString();
    const { sequence, pod, report } = entry;
    const { namespace, name, uid } = pod;
    if (report.type === 'status') send({ pod_status: { sequence, namespace, name, uid, status: report.status } });
    else if (report.type === 'removed') send({ pod_removed: { sequence, namespace, name, uid } });
    else send({ volume_erased: { sequence, name, uid } });
  }
}
