/** Streams of JSON documents, one a line: progress (CRLF), events and statistics (LF). Source: moby pkg/streamformatter. */
import type { Writable } from 'node:stream';
import { StatusError } from '#lib/base';

export interface JsonLinesOptions {
  /** Default CRLF. */
  readonly end?: '\r\n' | '\n';
}

export class JsonLines {
  readonly #output: Writable;
  readonly #end: string;

  constructor(output: Writable, o: JsonLinesOptions = {}) {
    this.#output = output;
    this.#end = o.end ?? '\r\n';
  }

  /** Resolves when the client has taken enough for more; throws Cancelled when it has gone. */
  async write(value: unknown): Promise<void> {
    return this.writeText(`${JSON.stringify(value)}${this.#end}`);
  }

  /** A line that was encoded before, with its end. */
  async writeText(line: string): Promise<void> {
    if (isGone(this.#output)) throw gone();
    if (!this.#output.write(line)) await drained(this.#output);
  }

  /** For what may be left out, such as a count that the next one replaces: false when the client lags behind. */
  offer(value: unknown): boolean {
    if (isGone(this.#output) || this.#output.writableNeedDrain) return false;
    this.#output.write(`${JSON.stringify(value)}${this.#end}`);
    return true;
  }

  end(): void {
    this.#output.end();
  }
}

function isGone(output: Writable): boolean {
  return output.destroyed || output.writableEnded;
}

function gone(): StatusError {
  return new StatusError('Cancelled', 'the client has gone');
}

function drained(output: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      output.off('drain', onDrain).off('close', onClose);
    };
    const onDrain = (): void => {
      settle();
      resolve();
    };
    const onClose = (): void => {
      settle();
      reject(gone());
    };
    output.on('drain', onDrain).on('close', onClose);
    if (output.destroyed) onClose();
  });
}
