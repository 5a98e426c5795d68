/**
 * Who may run now: levels with seats of their own, seats lent between them, and fair queues within each.
 *
 * Life: `configure`, then `acquire` for each request and `release` for each seat given. Reconfiguring keeps what runs and
 * what waits; a level that is gone serves those that wait in it and takes no more.
 *
 * Lending: each level keeps its nominal seats less the lendable ones to itself; the lendable ones of all levels are one
 * pool. A level under its nominal seats takes from the pool before any level above its own: what was lent comes back as
 * requests end, none is interrupted. (Kubernetes moves limits every 10 s by a measured demand; asking at each start needs no
 * clock and lends sooner.)
 * Invariants: a level never has more than `seatsMax`; one under its unlendable seats (at least one) never waits; nobody
 * borrows while a level under its nominal seats waits.
 * Source: KEP-1040; k8s.io/apiserver/pkg/util/flowcontrol/fairqueuing/queueset.
 */
import { type Clock, StatusError, type Timer } from '#lib/base';
import { FairQueues, type Ticket } from './fair-queues.ts';
import type { LevelSettings } from './levels.ts';
import { dealHand, flowHash } from './shuffle.ts';

export type Refusal = 'queue-full' | 'concurrency-limit' | 'time-out' | 'cancelled';

/** 429 as priority and fairness gives it: plain text, Retry-After: 1. */
export class TooBusy extends StatusError {
  readonly refusal: Refusal;

  constructor(refusal: Refusal) {
    super('TooManyRequests', 'Too many requests, please try again later.', { details: { retryAfterSeconds: 1 } });
    this.refusal = refusal;
  }
}

export interface Flow {
  readonly level: string;
  readonly schema: string;
  readonly distinguisher: string;
}

export interface Work {
  readonly seats: number;
  /** Held for `finalMs` after the request, and room is found for them before: what sending its event to watchers costs. */
  readonly finalSeats?: number | undefined;
  readonly finalMs?: number | undefined;
}

export interface Seat {
  readonly waitedMs: number;
  /** Once; more often does nothing. */
  release(): void;
}

interface Level {
  settings: LevelSettings;
  readonly queues: FairQueues;
  seatsInUse: number;
  hands: Map<string, readonly number[]>;
  isGone: boolean;
}

interface Waiting {
  readonly ticket: Ticket;
  readonly start: () => void;
}

export interface LevelReport {
  readonly settings: LevelSettings;
  readonly seatsInUse: number;
  readonly waiting: number;
  readonly running: number;
}

const HANDS_MAX = 4_096;
const NO_WAIT: readonly number[] = [0];

export class Dispatcher {
  readonly #clock: Clock;
  readonly #waitMsMax: number;
  readonly #levels = new Map<string, Level>();
  readonly #waiting = new Map<Ticket, Waiting>();
  #poolSeats = 0;

  constructor(o: { clock: Clock; waitMsMax: number }) {
    this.#clock = o.clock;
    this.#waitMsMax = o.waitMsMax;
  }

  configure(all: readonly LevelSettings[]): void {
    const names = new Set(all.map((s) => s.name));
    for (const [name, level] of this.#levels) {
      level.isGone = !names.has(name);
      this.#forget(level);
    }
    for (const settings of all) {
      const level = this.#levels.get(settings.name);
      if (level === undefined) {
        this.#levels.set(settings.name, newLevel(settings));
        continue;
      }
      level.settings = settings;
      level.hands = new Map();
    }
    this.#poolSeats = all.reduce((sum, s) => sum + Math.max(0, s.nominalSeats - ownSeats(s)), 0);
    this.#dispatch();
  }

  /** A seat at once where there is room, else a promise of one. Throws (or rejects with) TooBusy, or the signal's reason. */
  acquire(flow: Flow, work: Work, signal: AbortSignal): Seat | Promise<Seat> {
    const level = this.#levels.get(flow.level);
    if (level === undefined || level.isGone) throw new TooBusy('concurrency-limit');
    if (level.settings.isExempt) return this.#runExempt(level);
    signal.throwIfAborted();
    const { queuing } = level.settings;
    const seats = Math.max(1, Math.min(Math.max(work.seats, work.finalSeats ?? 0), level.settings.nominalSeats));
    const queue = level.queues.choose(queuing === undefined ? NO_WAIT : this.#hand(level, flow));
    const ticket: Ticket = { seats, queue, arrivedMs: this.#clock.monotonic() };
    if (level.queues.waitingCount === 0 && this.#fits(level, seats)) {
      level.queues.enqueue(ticket);
      return this.#run(level, ticket, work);
    }
    if (queuing === undefined) throw new TooBusy('concurrency-limit');
    if (queue.waiting.length >= queuing.queueLengthMax) throw new TooBusy('queue-full');
    level.queues.enqueue(ticket);
    const seat = this.#wait(level, ticket, { work, signal });
    this.#dispatch();
    return seat;
  }

  *report(): Iterable<LevelReport> {
    for (const { settings, seatsInUse, queues } of this.#levels.values())
      yield { settings, seatsInUse, waiting: queues.waitingCount, running: queues.runningCount };
  }

  #runExempt(level: Level): Seat {
    let isHeld = true;
    level.seatsInUse++;
    return {
      waitedMs: 0,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        level.seatsInUse--;
        this.#forget(level);
      },
    };
  }

  #hand(level: Level, flow: Flow): readonly number[] {
    const { queuing } = level.settings;
    if (queuing === undefined || queuing.queues <= 1) return NO_WAIT;
    const key = `${flow.schema}\0${flow.distinguisher}`;
    const known = level.hands.get(key);
    if (known !== undefined) return known;
    const hand = dealHand(flowHash(flow.schema, flow.distinguisher), queuing.queues, queuing.handSize);
    // Names of users come from outside: forgotten together, dealt again the same.
    if (level.hands.size >= HANDS_MAX) level.hands.clear();
    level.hands.set(key, hand);
    return hand;
  }

  #run(level: Level, ticket: Ticket, work: Work): Seat {
    const startedMs = this.#clock.monotonic();
    level.queues.start(ticket);
    level.seatsInUse += ticket.seats;
    let isHeld = true;
    return {
      waitedMs: startedMs - ticket.arrivedMs,
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#release(level, ticket, { work, startedMs });
      },
    };
  }

  #release(level: Level, ticket: Ticket, o: { work: Work; startedMs: number }): void {
    const { finalSeats = 0, finalMs = 0 } = o.work;
    const held = Math.min(finalSeats, ticket.seats);
    const chargedMs = this.#clock.monotonic() - o.startedMs + (held * finalMs) / ticket.seats;
    level.queues.finish(ticket, chargedMs);
    level.seatsInUse -= ticket.seats;
    if (held > 0 && finalMs > 0) {
      level.seatsInUse += held;
      const after = (): void => {
        level.seatsInUse -= held;
        this.#forget(level);
        this.#dispatch();
      };
      this.#clock.after(finalMs, after, { unref: true });
    }
    this.#forget(level);
    this.#dispatch();
  }

  #wait(level: Level, ticket: Ticket, o: { work: Work; signal: AbortSignal }): Promise<Seat> {
    return new Promise((resolve, reject) => {
      let timer: Timer | undefined;
      const settle = (): void => {
        timer?.cancel();
        o.signal.removeEventListener('abort', onAbort);
        this.#waiting.delete(ticket);
      };
      const leave = (reason: unknown): void => {
        settle();
        level.queues.remove(ticket);
        this.#forget(level);
        reject(reason);
        this.#dispatch();
      };
      const onAbort = (): void => leave(o.signal.reason);
      const start = (): void => {
        settle();
        resolve(this.#run(level, ticket, o.work));
      };
      this.#waiting.set(ticket, { ticket, start });
      timer = this.#clock.after(this.#waitMsMax, () => leave(new TooBusy('time-out')), { unref: true });
      o.signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Starts all that can: levels under their nominal seats first, then those that borrow. */
  #dispatch(): void {
    while (this.#waiting.size > 0) {
      const next = this.#next();
      if (next === undefined) return;
      next.start();
    }
  }

  #next(): Waiting | undefined {
    let borrower: Waiting | undefined;
    let borrowed = Number.POSITIVE_INFINITY;
    for (const level of this.#levels.values()) {
      const head = level.queues.head();
      if (head === undefined || !this.#fits(level, head.seats)) continue;
      const waiting = this.#waiting.get(head);
      const over = level.seatsInUse + head.seats - level.settings.nominalSeats;
      if (over <= 0) return waiting;
      if (over < borrowed) {
        borrowed = over;
        borrower = waiting;
      }
    }
    return borrower;
  }

  #fits(level: Level, seats: number): boolean {
    const { nominalSeats, seatsMax } = level.settings;
    const after = level.seatsInUse + seats;
    const own = ownSeats(level.settings);
    if (after <= own) return true;
    if (after > seatsMax) return false;
    const more = after - Math.max(level.seatsInUse, own);
    if (this.#lentSeats() + more > this.#poolSeats) return false;
    return after <= nominalSeats || !this.#isOwnerWaiting(level);
  }

  #lentSeats(): number {
    let lent = 0;
    for (const { settings, seatsInUse } of this.#levels.values())
      if (!settings.isExempt) lent += Math.max(0, seatsInUse - ownSeats(settings));
    return lent;
  }

  /** Whether some other level waits for seats that are its own. */
  #isOwnerWaiting(asking: Level): boolean {
    if (this.#waiting.size === 0) return false;
    for (const level of this.#levels.values()) {
      if (level === asking) continue;
      const head = level.queues.head();
      if (head !== undefined && level.seatsInUse + head.seats <= level.settings.nominalSeats) return true;
    }
    return false;
  }

  #forget(level: Level): void {
    const isIdle = level.seatsInUse === 0 && level.queues.waitingCount === 0;
    if (level.isGone && isIdle) this.#levels.delete(level.settings.name);
  }
}

function newLevel(settings: LevelSettings): Level {
  return {
    settings,
    queues: new FairQueues(),
    seatsInUse: 0,
    hands: new Map<string, readonly number[]>(),
    isGone: false,
  };
}

/** Never lent. A level without shares serves one request at a time all the same. */
function ownSeats({ nominalSeats, lendableSeats }: LevelSettings): number {
  return Math.max(1, nominalSeats - lendableSeats);
}
