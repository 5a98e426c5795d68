/**
 * Connections to one https server that the caller makes itself (by address, or through something else), kept for a while and
 * shared by POSTs of JSON. Redirects are not followed.
 *
 * Invariants: of an answer no more is read than the caller allows, the rest is thrown away; a request on a connection that the
 * other side closed while it was idle is sent anew once, so what is posted must be idempotent.
 */
import type { TLSSocket } from 'node:tls';
import { type Dispatcher, Pool } from 'undici';

export interface JsonPoolOptions {
  /** `https://host:port`. */
  readonly origin: string;
  readonly connect: () => Promise<TLSSocket>;
  readonly connectionsMax: number;
  readonly idleMs: number;
}

export interface JsonPost {
  readonly path: string;
  readonly host: string;
  readonly body: string;
  /** The only limit of time. */
  readonly signal: AbortSignal;
  /** How much of an answer with this code is read. */
  readonly bytesMaxOf: (code: number) => number;
}

export interface JsonAnswer {
  readonly code: number;
  readonly bytes: Buffer;
  /** There was more than was read. */
  readonly isCut: boolean;
}

export class JsonPool {
  readonly #pool: Pool;

  constructor(o: JsonPoolOptions) {
    this.#pool = new Pool(o.origin, {
      connections: o.connectionsMax,
      pipelining: 1,
      keepAliveTimeout: o.idleMs,
      connect: (_options, done) => {
        o.connect().then(
          (socket) => done(null, socket),
          (e: unknown) => done(e instanceof Error ? e : new Error(String(e)), null),
        );
      },
    });
  }

  /** Throws what the connection failed with, or the signal's reason. */
  async post(o: JsonPost): Promise<JsonAnswer> {
    const { statusCode, body } = await this.#sent(o);
    return { code: statusCode, ...(await readAtMost(body, o.bytesMaxOf(statusCode))) };
  }

  /** Lets requests end that are under way. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }

  async #sent(o: JsonPost): Promise<Dispatcher.ResponseData> {
    const send = (): Promise<Dispatcher.ResponseData> =>
      this.#pool.request({
        method: 'POST',
        path: o.path,
        headers: { host: o.host, accept: 'application/json, */*', 'content-type': 'application/json' },
        body: o.body,
        signal: o.signal,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
    try {
      return await send();
    } catch (e) {
      if (o.signal.aborted || !isClosedWhileIdle(e)) throw e;
      return await send();
    }
  }
}

const CLOSED = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']);

function isClosedWhileIdle(e: unknown): boolean {
  return e instanceof Error && 'code' in e && typeof e.code === 'string' && CLOSED.has(e.code);
}

async function readAtMost(
  body: Dispatcher.ResponseData['body'],
  max: number,
): Promise<{ readonly bytes: Buffer; readonly isCut: boolean }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue;
    chunks.push(Buffer.from(chunk));
    size += chunk.length;
    if (size > max) break;
  }
  if (!body.destroyed && !body.readableEnded) await body.dump();
  return { bytes: Buffer.concat(chunks).subarray(0, max), isCut: size > max };
}
