/**
 * The one place that knows pino. Constant message, variable fields; standard keys: kind namespace name uid node revision
 * traceId durationMs err. error = a person must act; warn = odd but healed; info = state changed; debug = per reconcile.
 */
import { writeSync } from 'node:fs';
import pino from 'pino';

export interface Logger {
  error(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  info(fields: object, message: string): void;
  debug(fields: object, message: string): void;
  child(fields: object): Logger;
}

/** JSON lines to fd 1 (or `fd`), each written before the call returns. Logging never throws: see `LineWriter`. */
export function createLogger(o: { component: string; level?: string | undefined; fd?: number | undefined }): Logger {
  return pino(
    {
      level: o.level ?? 'info',
      base: { component: o.component, pid: process.pid },
      serializers: { err: pino.stdSerializers.err },
    },
    new LineWriter((bytes, at) => writeSync(o.fd ?? 1, bytes, at)),
  );
}

/**
 * Where pino's own destination throws (a full disk, a reader that has gone) into whatever code happened to log, and so ends
 * loops that had nothing to do with it, this one drops the line, counts it, and says so once there is room again.
 */
export class LineWriter {
  /** Writes from `at` on; the number of bytes it took. */
  readonly #write: (bytes: Buffer, at: number) => number;
  #lost = 0;
  /** The last line stands there without its end. */
  #isCut = false;

  constructor(write: (bytes: Buffer, at: number) => number) {
    this.#write = write;
  }

  write(line: string): void {
    try {
      if (this.#isCut) this.#put('\n');
      if (this.#lost > 0) {
        this.#put(
          `{"level":40,"time":${Date.now()},"pid":${process.pid},"lost":${this.#lost},"msg":"log lines were lost"}\n`,
        );
        this.#lost = 0;
      }
      this.#put(line);
    } catch {
      this.#lost++;
    }
  }

  #put(text: string): void {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) {
      at += this.#write(bytes, at);
      this.#isCut = at < bytes.length;
    }
  }
}

const drop = (): undefined => undefined;
/** For tests and for code that must stay silent. */
export const silentLogger: Logger = { error: drop, warn: drop, info: drop, debug: drop, child: () => silentLogger };
