/**
 * The waiting and running requests of one priority level: start-time fair queuing over queues, pure.
 *
 * Virtual time is in seat-milliseconds. A queue's `next` is the virtual start of its oldest waiting request. The queue
 * with the least `next` goes first; its start becomes the level's virtual time and its queue is charged what the request is
 * guessed to take. When the request ends the guess is replaced by what it took, so who asks for slow work waits longer for
 * the next. A queue that was empty starts at the level's virtual time: idleness earns nothing.
 * Invariants: virtual time never goes back; a head that finds no room is waited for, never overtaken within its level.
 * Source: KEP-1040 "Fair Queuing for Server Requests"; Goyal et al., Start-time Fair Queuing (SIGCOMM 1996).
 */

/** What a request is guessed to take, in ms. Kubernetes' estimatedServiceDuration. */
const GUESS_MS = 3;

export interface Ticket {
  readonly seats: number;
  readonly queue: FlowQueue;
  readonly arrivedMs: number;
}

export interface FlowQueue {
  readonly index: number;
  next: number;
  readonly waiting: Ticket[];
  waitingSeats: number;
  seatsInUse: number;
}

export class FairQueues {
  /** Only those in use, or in debt: at most as many as the level has (or had, before it was given fewer). */
  readonly #queues = new Map<number, FlowQueue>();
  #virtual = 0;
  #waitingCount = 0;
  #runningCount = 0;

  get waitingCount(): number {
    return this.#waitingCount;
  }

  get runningCount(): number {
    return this.#runningCount;
  }

  /** The queue of a hand with the least waiting, then the least running. */
  choose(hand: readonly number[]): FlowQueue {
    let best: FlowQueue | undefined;
    for (const index of hand) {
      const queue = this.#queues.get(index) ?? this.#made(index);
      if (best === undefined || isEmptier(queue, best)) best = queue;
    }
    return best ?? this.#made(0);
  }

  enqueue(ticket: Ticket): void {
    const { queue } = ticket;
    if (queue.waiting.length === 0) queue.next = Math.max(queue.next, this.#virtual);
    queue.waiting.push(ticket);
    queue.waitingSeats += ticket.seats;
    this.#queues.set(queue.index, queue);
    this.#waitingCount++;
  }

  /** The ticket whose turn it is. */
  head(): Ticket | undefined {
    if (this.#waitingCount === 0) return undefined;
    let best: FlowQueue | undefined;
    for (const queue of this.#queues.values())
      if (queue.waiting.length > 0 && (best === undefined || queue.next < best.next)) best = queue;
    return best?.waiting[0];
  }

  /** `ticket` is the head. */
  start(ticket: Ticket): void {
    const { queue, seats } = ticket;
    this.#leaveQueue(ticket);
    this.#virtual = Math.max(this.#virtual, queue.next);
    queue.next += seats * GUESS_MS;
    queue.seatsInUse += seats;
    this.#runningCount++;
    // Ties go to those that were served longer ago: the last served queue goes to the end of the map.
    this.#queues.delete(queue.index);
    this.#queues.set(queue.index, queue);
  }

  finish(ticket: Ticket, tookMs: number): void {
    const { queue, seats } = ticket;
    queue.seatsInUse -= seats;
    queue.next += seats * (tookMs - GUESS_MS);
    this.#runningCount--;
    this.#forget(queue);
  }

  /** A waiting ticket whose client has gone or that has waited too long. */
  remove(ticket: Ticket): void {
    this.#leaveQueue(ticket);
    this.#forget(ticket.queue);
  }

  #leaveQueue(ticket: Ticket): void {
    const { queue } = ticket;
    const at = queue.waiting.indexOf(ticket);
    queue.waiting.splice(at, 1);
    queue.waitingSeats -= ticket.seats;
    this.#waitingCount--;
  }

  #forget(queue: FlowQueue): void {
    if (this.#waitingCount === 0 && this.#runningCount === 0) {
      // A new busy period: nobody is in debt.
      this.#queues.clear();
      this.#virtual = 0;
      return;
    }
    const isIdle = queue.waiting.length === 0 && queue.seatsInUse === 0;
    if (isIdle && queue.next <= this.#virtual) this.#queues.delete(queue.index);
  }

  #made(index: number): FlowQueue {
    return { index, next: this.#virtual, waiting: [], waitingSeats: 0, seatsInUse: 0 };
  }
}

function isEmptier(a: FlowQueue, b: FlowQueue): boolean {
  if (a.waitingSeats !== b.waitingSeats) return a.waitingSeats < b.waitingSeats;
  return a.seatsInUse < b.seatsInUse;
}
