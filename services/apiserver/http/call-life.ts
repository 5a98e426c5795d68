/** How long one request may go on: until its client has gone, its time is over, or (watches and streams) the server stops. */
import type { ServerResponse } from 'node:http';
import { StatusError, type TimeLimits, type Timer } from '#lib/base';

export class CallLife {
  readonly #abort = new AbortController();
  readonly #stopping: AbortSignal;
  readonly #limit: Timer | undefined;
  readonly #onStop: (() => void) | undefined;
  #isOver = false;

  constructor(res: ServerResponse, o: { isLong: boolean; limits: TimeLimits; stopping: AbortSignal }) {
    this.#stopping = o.stopping;
    res.once('close', () => {
      // Whatever was to be done has been: nobody is to be told.
      if (!this.#isOver) this.#abort.abort(new DOMException('the client has gone', 'AbortError'));
    });
    if (!o.isLong) {
      this.#limit = o.limits.start(() => {
        this.#abort.abort(timeout());
        // A client that does not read what it asked for.
        if (res.headersSent) res.destroy();
      });
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
