/**
 * The body of a request whose connection was taken over before Node read it, when it comes in chunks. Bytes behind the last
 * chunk stay in the socket. Source: RFC 9112 7.1.
 */

import type { Duplex } from 'node:stream';
import { Readable } from 'node:stream';
import { StatusError } from '#lib/base';

const LINE_BYTES_MAX = 1024;
const NEWLINE = 0x0a;

type Expect = 'size' | 'data' | 'data-end' | 'trailer' | 'done';

/** Cuts chunks; pure but for its state. Throws BadRequest for what is no chunk. */
export class ChunkDecoder {
  #expect: Expect = 'size';
  #line = '';
  #left = 0;

  get isDone(): boolean {
    return this.#expect === 'done';
  }

  /** The data in `piece`, and what of it lies behind the last chunk. */
  feed(piece: Buffer): { readonly data: readonly Buffer[]; readonly rest: Buffer } {
    const data: Buffer[] = [];
    let at = 0;
    while (at < piece.length && this.#expect !== 'done') {
      if (this.#expect === 'data') {
        const take = Math.min(this.#left, piece.length - at);
        data.push(piece.subarray(at, at + take));
        this.#left -= take;
        at += take;
        if (this.#left === 0) this.#expect = 'data-end';
        continue;
      }
      const end = piece.indexOf(NEWLINE, at);
      const to = end < 0 ? piece.length : end;
      this.#line += piece.toString('latin1', at, to);
      if (this.#line.length > LINE_BYTES_MAX) throw malformed();
      at = end < 0 ? piece.length : end + 1;
      if (end >= 0) this.#endLine();
    }
    return { data, rest: piece.subarray(at) };
  }

  #endLine(): void {
    const line = this.#line.replace(/\r$/, '');
    this.#line = '';
    if (this.#expect === 'size') {
      const size = /^\s*([0-9a-f]{1,8})\s*(?:;.*)?$/i.exec(line)?.[1];
      if (size === undefined) throw malformed();
      this.#left = Number.parseInt(size, 16);
      this.#expect = this.#left === 0 ? 'trailer' : 'data';
    } else if (this.#expect === 'data-end') {
      if (line !== '') throw malformed();
      this.#expect = 'size';
    } else if (line === '') this.#expect = 'done';
  }
}

function malformed(): StatusError {
  return new StatusError('BadRequest', 'malformed chunked encoding');
}

/** Reads the socket only when it is read itself. Ends with the last chunk; fails when the client goes before it. */
export class ChunkedBody extends Readable {
  readonly #socket: Duplex;
  readonly #decoder = new ChunkDecoder();
  readonly #onReadable = (): void => this.#pump();
  readonly #onEnd = (): void => void this.destroy(new StatusError('BadRequest', 'the request body ended early'));
  #isListening = false;

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
  }

  override _read(): void {
    if (!this.#isListening) {
      this.#isListening = true;
      this.#socket.on('readable', this.#onReadable).on('end', this.#onEnd).on('close', this.#onEnd);
    }
    this.#pump();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#stop();
    callback(error);
  }

  #pump(): void {
    if (!this.#isListening) return;
    for (;;) {
      const piece: unknown = this.#socket.read();
      if (!(piece instanceof Buffer)) return;
      if (!this.#take(piece)) return;
    }
  }

  /** False: enough for now. */
  #take(piece: Buffer): boolean {
    try {
      const { data, rest } = this.#decoder.feed(piece);
      let wantsMore = true;
      for (const d of data) wantsMore = this.push(d);
      if (!this.#decoder.isDone) {
        if (!wantsMore) this.#stop();
        return wantsMore;
      }
      this.#stop();
      if (rest.length > 0) this.#socket.unshift(rest);
      this.push(null);
    } catch (e) {
      this.destroy(e instanceof Error ? e : new Error(String(e)));
    }
    return false;
  }

  #stop(): void {
    this.#isListening = false;
    this.#socket.off('readable', this.#onReadable).off('end', this.#onEnd).off('close', this.#onEnd);
  }
}
