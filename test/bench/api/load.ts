/** Load by undici: closed loops of so many clients, each with one request under way, over that many connections. */
import { setMaxListeners } from 'node:events';
import { Agent, Pool } from 'undici';
import { realClock } from '#lib/base';
import { sentTimes } from './event-line.ts';
import type { BenchTarget } from './processes.ts';

export interface LoadRequest {
  readonly method: 'GET' | 'POST' | 'PUT';
  readonly path: string;
  readonly body?: string | undefined;
}

export interface LoadResult {
  readonly perSecond: number;
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of the last answer's body. */
  readonly answerBytes: number;
}

const HEADERS = { 'content-type': 'application/json', accept: 'application/json' };

export class LoadClient implements AsyncDisposable {
  readonly #pool: Pool;

  constructor(target: BenchTarget, connections: number) {
    this.#pool = new Pool(target.url, { connections, pipelining: 1, connect: { ...target.tls }, bodyTimeout: 0 });
  }

  /** The body. Throws for any other answer than 2xx. */
  async send(r: LoadRequest): Promise<Buffer> {
    const { method, path, body } = r;
    const answer = await this.#pool.request({
      method,
      path,
      headers: HEADERS,
      ...(body === undefined ? {} : { body }),
    });
    const bytes = Buffer.from(await answer.body.arrayBuffer());
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${answer.statusCode} ${bytes.toString()}`);
    return bytes;
  }

  /** Until `count` requests are answered or `limitMs` have passed, whichever comes first. */
  async run(o: {
    clients: number;
    count: number;
    limitMs: number;
    next: (n: number) => LoadRequest;
  }): Promise<LoadResult> {
    const times: number[] = [];
    let answerBytes = 0;
    let taken = 0;
    const begin = realClock.monotonic();
    const client = async (): Promise<void> => {
      while (taken < o.count && realClock.monotonic() - begin < o.limitMs) {
        const sent = realClock.monotonic();
        answerBytes = (await this.send(o.next(taken++))).byteLength;
        times.push(realClock.monotonic() - sent);
      }
    };
    await Promise.all(Array.from({ length: o.clients }, client));
    const seconds = (realClock.monotonic() - begin) / 1000;
    const sorted = Float64Array.from(times).sort();
    const count = times.length;
    const common = { perSecond: count / seconds, count, answerBytes };
    return { ...common, p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }
}

export interface Watched {
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Least and most bytes that a watcher got: the same where none lost an event. */
  readonly bytesMin: number;
  readonly bytesMax: number;
}

/** Every so many watchers look for the times: reading all of them would measure the reader. */
const TIMED_EACH = 20;
const DIALS = 16;
const DIAL_LIMIT_MS = 60_000;

/** So many watchers, each on a connection of its own, while `during` runs; `settleMs` after it they are closed. */
export async function watching(
  target: BenchTarget,
  o: { path: string; watchers: number; settleMs: number; during: () => Promise<void> },
): Promise<Watched> {
  const connect = { ...target.tls, timeout: DIAL_LIMIT_MS };
  const agent = new Agent({ connections: o.watchers, pipelining: 1, connect, bodyTimeout: 0 });
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const bytes = new Array<number>(o.watchers).fill(0);
  const latencies: number[] = [];
  const endings: Promise<void>[] = [];
  const open = async (i: number): Promise<void> => {
    const url = new URL(target.url);
    const answer = await agent.request({ origin: url.origin, path: o.path, method: 'GET', signal: stop.signal });
    if (answer.statusCode !== 200) throw new Error(`watch: ${answer.statusCode} ${await answer.body.text()}`);
    answer.body.on('data', (piece: Buffer) => {
      bytes[i] = (bytes[i] ?? 0) + piece.byteLength;
      if (i % TIMED_EACH !== 0) return;
      const now = realClock.now();
      for (const t of sentTimes(piece)) latencies.push(now - t);
    });
    endings.push(new Promise((resolve) => answer.body.on('error', () => resolve()).on('end', () => resolve())));
  };
  for (let i = 0; i < o.watchers; i += DIALS)
    await Promise.all(Array.from({ length: Math.min(DIALS, o.watchers - i) }, (_, k) => open(i + k)));
  await o.during();
  await realClock.sleep(o.settleMs);
  const got = { bytesMin: Math.min(...bytes), bytesMax: Math.max(...bytes) };
  stop.abort();
  await agent.destroy();
  await Promise.all(endings);
  const sorted = Float64Array.from(latencies).sort();
  return { ...got, p50Ms: quantile(sorted, 0.5), p99Ms: quantile(sorted, 0.99) };
}

/** NaN of nothing. */
export function quantile(sorted: Float64Array, q: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? Number.NaN;
}
