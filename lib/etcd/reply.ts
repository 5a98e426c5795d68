/** How a stream ended: by its trailers, or without. Source: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md, "Responses". */
import type { ClientHttp2Stream, IncomingHttpHeaders, IncomingHttpStatusHeader } from 'node:http2';
import { codeOfHttp, RpcError, UNAVAILABLE, UNKNOWN } from './rpc-error.ts';

type Headers = IncomingHttpHeaders & IncomingHttpStatusHeader;

const DETAILS_MAX = 4096;

export class Reply {
  /** Called once, when nothing more comes. */
  onEnd: () => void = () => undefined;
  #headers: Headers | undefined;
  #trailers: IncomingHttpHeaders | undefined;
  #error: Error | undefined;
  #isOver = false;

  constructor(stream: ClientHttp2Stream) {
    stream.on('response', (headers) => {
      this.#headers = headers;
    });
    stream.on('trailers', (trailers) => {
      this.#trailers = trailers;
    });
    stream.on('error', (e) => {
      this.#error = e;
    });
    stream.on('end', () => {
      if (this.#trailers !== undefined) this.#end();
    });
    stream.on('close', () => this.#end());
  }

  /** A reader may hear of it before the stream's own event. */
  broke(e: unknown): void {
    if (e instanceof Error) this.#error ??= e;
  }

  /** undefined for status 0. */
  failure(): RpcError | undefined {
    const from = this.#trailers?.['grpc-status'] === undefined ? this.#headers : this.#trailers;
    const code = from?.['grpc-status'];
    if (code === '0') return undefined;
    if (typeof code === 'string')
      return new RpcError(/^\d{1,2}$/.test(code) ? Number(code) : UNKNOWN, detailsOf(from?.['grpc-message']));
    const status = this.#headers?.[':status'];
    if (status !== undefined && status !== 200) return new RpcError(codeOfHttp(status), `HTTP status ${status}`);
    return new RpcError(UNAVAILABLE, this.#error === undefined ? 'the connection ended' : reasonOf(this.#error));
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.onEnd();
  }
}

/** Node wraps what broke the connection. */
function reasonOf(e: Error): string {
  return e.cause instanceof Error ? e.cause.message : e.message;
}

/** grpc-message is percent-encoded; what is not is taken as it is. */
function detailsOf(encoded: string | string[] | undefined): string {
  const text = (typeof encoded === 'string' ? encoded : '').slice(0, DETAILS_MAX);
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
