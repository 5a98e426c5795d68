/**
 * Load of new connections: each request opens a TCP connection of its own, sends one GET and reads to the end. Open loop: the
 * pace does not wait for answers, so a stall shows as many slow requests and not as few. Raw sockets, because an HTTP client
 * costs more CPU than the cluster under test.
 */
import { connect } from 'node:net';
import { realClock } from '#lib/base';

const TICK_MS = 10;
const REQUEST_LIMIT_MS = 10_000;
const OPEN_MAX = 5000;

export interface LoadTarget {
  readonly host: string;
  readonly port: number;
}

export interface LoadFailure {
  readonly atMs: number;
  readonly target: string;
  readonly reason: string;
}

export interface LoadReport {
  readonly started: number;
  readonly answered: number;
  readonly failures: readonly LoadFailure[];
  /** Started in each whole second. */
  readonly perSecond: readonly number[];
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

export interface LoadOptions {
  /** Used in turn. */
  readonly targets: readonly LoadTarget[];
  readonly perSecond: number;
  /** Part of every right answer. */
  readonly expected: string;
}

export class Load {
  readonly #o: LoadOptions;
  readonly #begin = realClock.monotonic();
  readonly #latencies: number[] = [];
  readonly #failures: LoadFailure[] = [];
  readonly #perSecond: number[] = [];
  readonly #running: Promise<void>;
  #started = 0;
  #open = 0;
  #stopping = false;

  constructor(o: LoadOptions) {
    this.#o = o;
    this.#running = this.#pace();
  }

  /** Since its begin. */
  get seconds(): number {
    return (realClock.monotonic() - this.#begin) / 1000;
  }

  /** Ends the pace, waits for what is open. */
  async stop(): Promise<LoadReport> {
    this.#stopping = true;
    await this.#running;
    while (this.#open > 0) await realClock.sleep(TICK_MS);
    const sorted = this.#latencies.toSorted((a, b) => a - b);
    const at = (share: number): number => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
    return {
      started: this.#started,
      answered: sorted.length,
      failures: this.#failures,
      perSecond: this.#perSecond.slice(0, -1),
      medianMs: at(0.5),
      p99Ms: at(0.99),
      maxMs: at(1),
    };
  }

  async #pace(): Promise<void> {
    while (!this.#stopping) {
      const elapsed = realClock.monotonic() - this.#begin;
      const second = Math.floor(elapsed / 1000);
      while (this.#started < (elapsed / 1000) * this.#o.perSecond && this.#open < OPEN_MAX) {
        this.#perSecond[second] = (this.#perSecond[second] ?? 0) + 1;
        this.#request();
      }
      await realClock.sleep(TICK_MS);
    }
  }

  #request(): void {
    const target = this.#o.targets[this.#started % this.#o.targets.length];
    if (target === undefined) throw new Error('load without a target');
    this.#started++;
    this.#open++;
    const begin = realClock.monotonic();
    const socket = connect({ host: target.host, port: target.port });
    let answer = '';
    let reason: string | undefined;
    socket.setTimeout(REQUEST_LIMIT_MS, () => {
      reason = `no answer within ${REQUEST_LIMIT_MS} ms`;
      socket.destroy();
    });
    socket.on('connect', () => socket.write(`GET / HTTP/1.1\r\nHost: ${target.host}\r\nConnection: close\r\n\r\n`));
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1');
    });
    socket.on('error', (e) => {
      reason ??= e.message;
    });
    socket.on('close', () => {
      this.#open--;
      if (reason === undefined && !(answer.startsWith('HTTP/1.1 200') && answer.includes(this.#o.expected)))
        reason = `bad answer: ${JSON.stringify(answer.slice(0, 120))}`;
      if (reason === undefined) this.#latencies.push(realClock.monotonic() - begin);
      else
        this.#failures.push({
          atMs: Math.round(begin - this.#begin),
          target: `${target.host}:${target.port}`,
          reason,
        });
    });
  }
}
