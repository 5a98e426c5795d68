/**
 * Pods that wait for a node. Each is in exactly one place: active (to be tried now, by priority, then by age), backing off
 * (tried lately without success, back when its time is up), or parked (no node would do: back when something happens that
 * one of the plugins that refused it is waiting for, or after 5 minutes).
 *
 * Back-off is 1 s doubling to 10 s. A woken pod that is still backing off is tried at once when nothing else waits; one whose
 * binding failed is not. Source: kubernetes pkg/scheduler/backend/queue, feature SchedulerPopFromBackoffQ.
 */
import type { Clock, Timer } from '#lib/base';
import { Heap } from '#lib/controller';
import type { ClusterEvent, FilterPlugin } from './framework.ts';
import type { PodInfo } from './pod-info.ts';

const BACKOFF_INITIAL_MS = 1_000;
const BACKOFF_MAX_MS = 10_000;
const PARKED_MAX_MS = 5 * 60_000;

type Place =
  | { readonly at: 'active'; readonly sinceMs: number }
  /** `isEager`: woken, so that it may be tried early. */
  | { readonly at: 'backoff'; readonly untilMs: number; readonly isEager: boolean }
  | { readonly at: 'parked'; readonly sinceMs: number; readonly refusedBy: readonly FilterPlugin[] };

export interface Waiting {
  info: PodInfo;
  /** Tries without success. */
  attempts: number;
  lastTryMs: number;
}

interface Entry extends Waiting {
  place: Place;
  seq: number;
}

interface Item {
  readonly entry: Entry;
  /** Stale when it differs from the entry's. */
  readonly seq: number;
}

export class SchedulingQueue implements Disposable {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #entries = new Map<string, Entry>();
  readonly #active = new Heap<Item>((a, b) => isBefore(a.entry, b.entry));
  readonly #backoff = new Heap<Item>((a, b) => untilOf(a) < untilOf(b));
  #timer: Timer | undefined;
  #seq = 0;

  /** `onReady` is called whenever there may be something to pop. */
  constructor(clock: Clock, onReady: () => void) {
    this.#clock = clock;
    this.#onReady = onReady;
  }

  get size(): number {
    return this.#entries.size;
  }

  count(place: Place['at']): number {
    return [...this.#entries.values()].filter((e) => e.place.at === place).length;
  }

  has(uid: string): boolean {
    return this.#entries.has(uid);
  }

  /** A new pod, or one whose own wishes changed: to be tried now. */
  add(info: PodInfo): void {
    const known = this.#entries.get(info.uid);
    const entry: Entry = known ?? {
      info,
      attempts: 0,
      lastTryMs: 0,
      place: { at: 'active', sinceMs: 0 },
      seq: 0,
    };
    entry.info = info;
    this.#entries.set(info.uid, entry);
    this.#activate(entry);
  }

  /** The pod changed in a way that changes nothing for scheduling. */
  refresh(info: PodInfo): void {
    const known = this.#entries.get(info.uid);
    if (known) known.info = info;
  }

  remove(uid: string): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#entries.delete(uid);
    entry.seq = ++this.#seq;
  }

  get(uid: string): Waiting | undefined {
    return this.#entries.get(uid);
  }

  /** The next pod to try; it leaves the queue, and comes back by `park` or `failed`. */
  pop(): Waiting | undefined {
    const entry = this.#popFrom(this.#active) ?? this.#popEager();
    if (!entry) return undefined;
    this.#entries.delete(entry.info.uid);
    entry.lastTryMs = this.#clock.monotonic();
    return entry;
  }

  /** No node would do. */
  park(waiting: Waiting, refusedBy: readonly FilterPlugin[]): void {
    this.#putBack(waiting, { at: 'parked', sinceMs: this.#clock.monotonic(), refusedBy });
    this.#arm();
  }

  /** It could not be bound. */
  failed(waiting: Waiting): void {
    const entry = this.#putBack(waiting, { at: 'backoff', untilMs: backoffEnd(waiting, 1), isEager: false });
    this.#backoff.push({ entry, seq: entry.seq });
    this.#arm();
  }

  wake(event: ClusterEvent): void {
    const now = this.#clock.monotonic();
    let hasWoken = false;
    for (const entry of this.#entries.values()) {
      if (entry.place.at !== 'parked') continue;
      const { refusedBy } = entry.place;
      // No plugin refused it where there was no node at all.
      if (refusedBy.length === 0 ? event !== 'node-added' : !refusedBy.some((p) => p.wakesOn.has(event))) continue;
      hasWoken = true;
      const untilMs = backoffEnd(entry, 0);
      if (untilMs <= now) this.#activate(entry);
      else {
        this.#move(entry, { at: 'backoff', untilMs, isEager: true });
        this.#backoff.push({ entry, seq: entry.seq });
      }
    }
    if (!hasWoken) return;
    this.#arm();
    this.#onReady();
  }

  [Symbol.dispose](): void {
    this.#timer?.cancel();
    this.#entries.clear();
  }

  #putBack(waiting: Waiting, place: Place): Entry {
    const entry: Entry = { ...waiting, attempts: waiting.attempts + 1, place, seq: ++this.#seq };
    this.#entries.set(entry.info.uid, entry);
    return entry;
  }

  #move(entry: Entry, place: Place): void {
    entry.place = place;
    entry.seq = ++this.#seq;
  }

  #activate(entry: Entry): void {
    if (entry.place.at === 'active' && entry.seq !== 0) return;
    this.#move(entry, { at: 'active', sinceMs: this.#clock.monotonic() });
    this.#active.push({ entry, seq: entry.seq });
    this.#onReady();
  }

  #popFrom(heap: Heap<Item>): Entry | undefined {
    for (let item = heap.pop(); item !== undefined; item = heap.pop())
      if (item.entry.seq === item.seq) return item.entry;
    return undefined;
  }

  #popEager(): Entry | undefined {
    for (let top = this.#backoff.peek(); top !== undefined; top = this.#backoff.peek()) {
      const { entry } = top;
      const isStale = entry.seq !== top.seq;
      if (!isStale && !(entry.place.at === 'backoff' && entry.place.isEager)) return undefined;
      this.#backoff.pop();
      if (!isStale) return entry;
    }
    return undefined;
  }

  /** One timer for whatever comes first: the end of a back-off, or of a long parking. */
  #arm(): void {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const { place } of this.#entries.values()) {
      if (place.at === 'backoff') nextMs = Math.min(nextMs, place.untilMs);
      if (place.at === 'parked') nextMs = Math.min(nextMs, place.sinceMs + PARKED_MAX_MS);
    }
    this.#timer?.cancel();
    if (nextMs === Number.POSITIVE_INFINITY) return;
    this.#timer = this.#clock.after(nextMs - this.#clock.monotonic(), () => this.#due());
  }

  #due(): void {
    const now = this.#clock.monotonic();
    for (const entry of this.#entries.values()) {
      const { place } = entry;
      if (place.at === 'backoff' && place.untilMs <= now) this.#activate(entry);
      if (place.at === 'parked' && place.sinceMs + PARKED_MAX_MS <= now) this.#activate(entry);
    }
    this.#arm();
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  if (a.info.priority !== b.info.priority) return a.info.priority > b.info.priority;
  const [since, other] = [sinceOf(a), sinceOf(b)];
  return since !== other ? since < other : a.seq < b.seq;
}

function sinceOf(e: Entry): number {
  return e.place.at === 'active' ? e.place.sinceMs : 0;
}

function untilOf(i: Item): number {
  return i.entry.place.at === 'backoff' ? i.entry.place.untilMs : 0;
}

function backoffEnd(w: Waiting, more: number): number {
  const attempts = Math.max(w.attempts + more, 1);
  return w.lastTryMs + Math.min(BACKOFF_INITIAL_MS * 2 ** Math.min(attempts - 1, 10), BACKOFF_MAX_MS);
}
