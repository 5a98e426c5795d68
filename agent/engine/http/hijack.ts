/**
 * A connection that a route takes over. After the answer's head both sides send raw bytes, and each may end its own half
 * while the other goes on: the client's end is the end of stdin, ours comes when the program has ended.
 *
 * A body that came in chunks and was not read to its end is the client's first input (clients without an upgrade that keep
 * their request open); after its last chunk what the socket brings counts. Source: moby daemon/server/router/container/exec.go.
 */
import { Duplex, type Readable } from 'node:stream';

export interface RawHead {
  readonly contentType: string;
  /** The protocol that the client offered; undefined = it offered none. */
  readonly upgrade: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

export function rawHead(o: RawHead): string {
  const status = o.upgrade === undefined ? '200 OK' : '101 UPGRADED';
  const upgrade = o.upgrade === undefined ? ['Connection: close'] : ['Connection: Upgrade', `Upgrade: ${o.upgrade}`];
  const own = Object.entries(o.headers).map(([name, value]) => `${name}: ${value}`);
  return [`HTTP/1.1 ${status}`, `Content-Type: ${o.contentType}`, ...upgrade, ...own, '', ''].join('\r\n');
}

/** `body`: of chunks, not at its end. */
export function afterBody(socket: Duplex, body: Readable): Duplex {
  return new BodyThenSocket(socket, body);
}

class BodyThenSocket extends Duplex {
  readonly #socket: Duplex;
  #source: Readable;

  constructor(socket: Duplex, body: Readable) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#source = body;
    this.#listen(body);
    /* A write after the client has gone ends the connection and nothing else. */
    this.on('error', () => undefined);
    socket.on('close', () => this.destroy());
    socket.on('error', () => this.destroy());
  }

  override _read(): void {
    this.#source.resume();
  }

  override _write(chunk: Buffer, encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#socket.write(chunk, encoding, callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(() => callback());
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }

  #listen(source: Readable): void {
    source.on('data', (piece: Buffer) => {
      if (!this.push(piece)) source.pause();
    });
    if (source === this.#socket) {
      source.on('end', () => this.push(null));
      return;
    }
    source.on('end', () => {
      this.#source = this.#socket;
      this.#listen(this.#socket);
    });
    /* The client went in the middle of a chunk: that is the end of its input. */
    source.on('error', () => this.push(null));
  }
}
