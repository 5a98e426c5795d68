/**
 * How long one request may go on: until its client has gone, its time is over, or (watches and streams) the server stops.
 *
 * Time that is over cancels what the request waits for. An answer under way is one that its client does not read, and is
 * cut off; one that begins only then has as much time again.
 */
import type { ServerResponse } from 'node:http';
import { StatusError, type TimeLimits, type Timer } from '#lib/base';

export class CallLife {
  readonly #abort = new AbortController();
  readonly #stopping: AbortSignal;
  #limit: Timer | undefined;
  readonly #onStop: (() => void) | undefined;
  #isOver = false;

  constructor(res: ServerResponse, o: { isLong: boolean; limits: TimeLimits; stopping: AbortSignal }) {
    this.#stopping = o.stopping;
    res.once('close', () => {
      // Whatever was to be done has been: nobody is to be told.
      if (!this.#isOver) this.#abort.abort(new DOMException('the client has gone', 'AbortError'));
    });
    if (!o.isLong) {
      this.#startLimit(res, o.limits);
      return;
    }
    // A stopping server ends its watches and lets short requests finish.
    const onStop = (): void => this.#abort.abort(o.stopping.reason);
    this.#onStop = onStop;
    o.stopping.addEventListener('abort', onStop, { once: true });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  #startLimit(res: ServerResponse, limits: TimeLimits): void {
    this.#limit = limits.start(() => {
      this.#abort.abort(timeout());
      if (!res.headersSent) {
        this.#startLimit(res, limits);
        return;
      }
      res.destroy();
      // Behind another answer of its connection it has none to end yet.
      if (res.socket === null && !res.writableFinished) res.req.socket.destroy();
    });
  }

  end(): void {
    this.#isOver = true;
    this.#limit?.cancel();
    if (this.#onStop !== undefined) this.#stopping.removeEventListener('abort', this.#onStop);
  }
}

function timeout(): StatusError {
  const message = 'Timeout: request did not complete within the allotted timeout';
  return new StatusError('DeadlineExceeded', message);
}
