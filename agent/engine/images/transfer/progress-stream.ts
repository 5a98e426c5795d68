/**
 * Docker's progress: one JSON object a line, CRLF behind it. What happened is always told; how far something is only when the
 * client takes what it was told before, and not more often than every 100 ms for each id.
 * Source: moby daemon/internal/streamformatter, daemon/internal/progress/progressreader.go; docker cli internal/jsonstream.
 */
import type { Writable } from 'node:stream';
import type { Clock } from '#lib/base';
import { messageOf } from '#lib/base';

export const PROGRESS_TYPE = 'application/json';
const EVERY_MS = 100;

export class ProgressStream {
  readonly #out: Writable;
  readonly #clock: Clock;
  readonly #toldMs = new Map<string, number>();

  constructor(out: Writable, clock: Clock) {
    this.#out = out;
    this.#clock = clock;
  }

  /** `{"status", "id"?}`, with an empty detail where an id has one in Docker's stream. */
  status(status: string, id?: string): void {
    this.#line(id === undefined ? { status } : { status, progressDetail: {}, id });
  }

  /** A headline of an id: without a detail. */
  message(status: string, id: string): void {
    this.#line({ status, id });
  }

  progress(status: string, id: string, current: number, total: number): void {
    const now = this.#clock.monotonic();
    const isLast = current >= total;
    const before = this.#toldMs.get(id);
    if (!isLast && (this.#out.writableNeedDrain || (before !== undefined && now - before < EVERY_MS))) return;
    this.#toldMs.set(id, now);
    this.#line({ status, progressDetail: { current, total }, id });
  }

  stream(text: string): void {
    this.#line({ stream: text });
  }

  aux(value: object): void {
    this.#line({ progressDetail: {}, aux: value });
  }

  /** After the first byte an error is a line. */
  error(e: unknown): void {
    const message = messageOf(e);
    this.#line({ errorDetail: { message }, error: message });
  }

  end(): void {
    this.#out.end();
  }

  #line(o: object): void {
    if (!this.#out.writableEnded && !this.#out.destroyed) this.#out.write(`${JSON.stringify(o)}\r\n`);
  }
}
