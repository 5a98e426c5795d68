/**
 * SPDY/3.1 framing, the server's side: what Kubernetes clients use for exec, attach and port-forward, on a socket after an
 * Upgrade, or inside WebSocket messages.
 *
 * Frames: control (bit 31 set: version 3, type, flags, length) SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY,
 * HEADERS, WINDOW_UPDATE; data (stream id, flags, length). Client streams have odd ids and are what we accept; we open none.
 * Flow control: none. moby/spdystream neither sends nor honours WINDOW_UPDATE, so back-pressure is the connection's: a stream
 * that is full stops the reading of all (as upstream does), after STREAM_BYTES_MAX of its own.
 * Invariants: a stream ends when both sides have sent FIN, or at RST_STREAM; when the connection goes, all streams end and
 * `closed` resolves; a protocol error closes the connection.
 * Source: SPDY Protocol Draft 3.1 (chromium.org/spdy); moby/spdystream connection.go.
 */
import { Duplex } from 'node:stream';
import type { Clock } from '#lib/base';
import { HeaderPacker, HeaderUnpacker, type SpdyHeaders } from './spdy-headers.ts';

export interface SpdyStream {
  readonly id: number;
  /** Names in lower case. */
  readonly headers: SpdyHeaders;
  /** Reading ends at the client's FIN; ending it sends ours; destroying it sends RST_STREAM. */
  readonly data: Duplex;
}

export interface SpdyConnection extends AsyncDisposable {
  /** Set it in the same turn as the connection is made: streams that come before have no taker and are reset. */
  onStream(fn: (stream: SpdyStream) => void): void;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Sends what is pending and GOAWAY, ends our side and waits up to 10 s for the client's end. Idempotent. */
  close(): Promise<void>;
}

const TYPE = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;
const FIN = 1;
const RST = { protocolError: 1, invalidStream: 2, refused: 3, cancel: 5 } as const;
const FRAME_BYTES_MAX = 1024 * 1024;
const WRITE_BYTES_MAX = 32 * 1024;
/** What one stream may hold unread before it stops the connection. */
const STREAM_BYTES_MAX = 256 * 1024;
const STREAMS_MAX = 1000;
const CLOSE_GRACE_MS = 10_000;

/** A connection over any byte stream. It owns `transport`. */
export function spdyConnection(transport: Duplex, clock: Clock): SpdyConnection {
  return new Connection(transport, clock);
}

class Connection implements SpdyConnection {
  readonly closed: Promise<void>;
  readonly #transport: Duplex;
  readonly #clock: Clock;
  readonly #packer = new HeaderPacker();
  readonly #unpacker = new HeaderUnpacker();
  readonly #streams = new Map<number, ServerStream>();
  #taker: ((stream: SpdyStream) => void) | undefined;
  #lastId = 0;
  /** SYN_REPLYs in order: packing is asynchronous and stateful. */
  #replies: Promise<void> = Promise.resolve();
  #isClosing = false;

  constructor(transport: Duplex, clock: Clock) {
    this.#transport = transport;
    this.#clock = clock;
    this.closed = this.#run();
  }

  onStream(fn: (stream: SpdyStream) => void): void {
    this.#taker = fn;
  }

  async close(): Promise<void> {
    if (!this.#isClosing) {
      this.#isClosing = true;
      await this.#replies;
      this.#control(TYPE.goAway, 0, words(this.#lastId, 0));
      this.#transport.end();
      for (const stream of this.#streams.values()) stream.data.resume();
      // A client that does not end its side would keep the connection, and whoever awaits this, for ever.
      const cut = this.#clock.after(CLOSE_GRACE_MS, () => this.#transport.destroy());
      await this.closed;
      cut.cancel();
    }
    await this.closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #run(): Promise<void> {
    try {
      const frames = new FrameReader();
      for await (const chunk of this.#transport.iterator({ destroyOnReturn: true })) {
        frames.add(chunk as Buffer);
        for (let frame = frames.next(); frame !== undefined; frame = frames.next()) await this.#receive(frame);
      }
    } catch {
      // A broken frame or a broken socket: either way the connection is over, which `closed` tells.
    } finally {
      this.#transport.destroy();
      this.#packer.close();
      this.#unpacker.close();
      for (const stream of this.#streams.values()) stream.cut();
      this.#streams.clear();
    }
  }

  async #receive(frame: Frame): Promise<void> {
    if (frame.type === 'data') {
      await this.#receiveData(frame);
      return;
    }
    const { payload } = frame;
    switch (frame.type) {
      case TYPE.synStream:
        await this.#open(payload.readUInt32BE(0) & 0x7fffffff, frame.flags, payload.subarray(10));
        break;
      case TYPE.synReply:
      case TYPE.headers:
        // Its block must be unpacked all the same: all blocks of a direction are one zlib stream.
        await this.#unpacker.unpack(payload.subarray(4));
        break;
      case TYPE.rstStream:
        this.#streams.get(payload.readUInt32BE(0) & 0x7fffffff)?.cut();
        break;
      case TYPE.ping:
        // Odd ids are the client's questions; an even one would answer a question that we never ask.
        if (payload.readUInt32BE(0) % 2 === 1) this.#control(TYPE.ping, 0, payload);
        break;
      default:
      // SETTINGS, GOAWAY, WINDOW_UPDATE and unknown types ask nothing of us.
    }
  }

  async #open(id: number, flags: number, block: Buffer): Promise<void> {
    const headers = await this.#unpacker.unpack(block);
    if (id % 2 === 0 || id <= this.#lastId) {
      this.#reset(id, RST.protocolError);
      return;
    }
    this.#lastId = id;
    if (this.#taker === undefined || this.#isClosing || this.#streams.size >= STREAMS_MAX) {
      this.#reset(id, RST.refused);
      return;
    }
    const stream = new ServerStream(id, {
      send: (bytes, isLast, callback) => this.#send(id, bytes, isLast, callback),
      reset: () => this.#reset(id, RST.cancel),
      gone: () => this.#streams.delete(id),
    });
    this.#streams.set(id, stream);
    this.#replies = this.#replies.then(async () => {
      const packed = await this.#packer.pack(new Map());
      this.#control(TYPE.synReply, 0, Buffer.concat([words(id), packed]));
    });
    await this.#replies;
    if ((flags & FIN) !== 0) stream.receiveEnd();
    this.#taker({ id, headers, data: stream.data });
  }

  async #receiveData(frame: DataFrame): Promise<void> {
    const stream = this.#streams.get(frame.streamId);
    if (stream === undefined) {
      if (frame.payload.length > 0) this.#reset(frame.streamId, RST.invalidStream);
      return;
    }
    if (frame.payload.length > 0) await stream.receive(frame.payload);
    if ((frame.flags & FIN) !== 0) stream.receiveEnd();
  }

  #reset(id: number, status: number): void {
    this.#control(TYPE.rstStream, 0, words(id, status));
  }

  #control(type: number, flags: number, payload: Buffer): void {
    if (!this.#transport.writable) return;
    const head = words(0x80030000 + type, flags * 0x1000000 + payload.length);
    this.#transport.write(Buffer.concat([head, payload]));
  }

  #send(id: number, bytes: Buffer, isLast: boolean, callback: () => void): void {
    if (!this.#transport.writable) {
      callback();
      return;
    }
    for (let at = 0; at + WRITE_BYTES_MAX < bytes.length; at += WRITE_BYTES_MAX)
      this.#write(id, bytes.subarray(at, at + WRITE_BYTES_MAX), 0);
    const rest = bytes.length === 0 ? 0 : Math.floor((bytes.length - 1) / WRITE_BYTES_MAX) * WRITE_BYTES_MAX;
    this.#write(id, bytes.subarray(rest), isLast ? FIN : 0, callback);
  }

  #write(id: number, bytes: Buffer, flags: number, callback: () => void = () => undefined): void {
    this.#transport.write(Buffer.concat([words(id, flags * 0x1000000 + bytes.length), bytes]), () => callback());
  }
}

interface StreamPort {
  send(bytes: Buffer, isLast: boolean, callback: () => void): void;
  reset(): void;
  gone(): void;
}

/** One stream: `data` is the application's end. */
class ServerStream {
  readonly id: number;
  readonly data: Duplex;
  #drained: (() => void) | undefined;
  #isEnded = false;
  #isCut = false;

  constructor(id: number, port: StreamPort) {
    this.id = id;
    this.data = new Duplex({
      allowHalfOpen: true,
      readableHighWaterMark: STREAM_BYTES_MAX,
      read: () => this.#resume(),
      write: (chunk: Buffer, _encoding, callback) => {
        if (this.#isCut) callback();
        else port.send(chunk, false, callback);
      },
      final: (callback) => {
        if (this.#isCut) callback();
        else port.send(Buffer.alloc(0), true, callback);
      },
      destroy: (_e, callback) => {
        const isComplete = this.#isEnded && this.data.writableFinished;
        if (!isComplete && !this.#isCut) port.reset();
        this.#isCut = true;
        port.gone();
        this.#resume();
        // The reset is the message; an error event here would end a process that forgot to listen.
        callback(null);
      },
    });
  }

  /** Resolves when there is room for more. */
  async receive(bytes: Buffer): Promise<void> {
    if (this.#isEnded || this.data.destroyed) return;
    if (this.data.push(bytes)) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  receiveEnd(): void {
    if (this.#isEnded || this.data.destroyed) return;
    this.#isEnded = true;
    this.data.push(null);
  }

  /** The client has gone or reset the stream: no more bytes either way. */
  cut(): void {
    if (this.#isCut) return;
    this.receiveEnd();
    this.#isCut = true;
    // What has been received may still be read; what is written from here on is dropped.
    if (!this.data.writableEnded) this.data.end();
  }

  #resume(): void {
    this.#drained?.();
    this.#drained = undefined;
  }
}

interface DataFrame {
  readonly type: 'data';
  readonly streamId: number;
  readonly flags: number;
  readonly payload: Buffer;
}
type Frame = DataFrame | { readonly type: number; readonly flags: number; readonly payload: Buffer };

/** Cuts a byte stream into frames. Throws at a frame of another version or one that is too large. */
class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  next(): Frame | undefined {
    if (this.#bytes < 8) return undefined;
    const all = this.#joined();
    const first = all.readUInt32BE(0);
    const second = all.readUInt32BE(4);
    const length = second & 0xffffff;
    if (length > FRAME_BYTES_MAX) throw new RangeError(`SPDY frame of ${length} bytes`);
    if (this.#bytes < 8 + length) return undefined;
    const payload = all.subarray(8, 8 + length);
    this.#chunks = [all.subarray(8 + length)];
    this.#bytes -= 8 + length;
    const flags = second >>> 24;
    if (first < 0x80000000) return { type: 'data', streamId: first, flags, payload };
    if (((first >>> 16) & 0x7fff) !== 3) throw new RangeError('SPDY version is not 3');
    return { type: first & 0xffff, flags, payload };
  }

  #joined(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const all = Buffer.concat(this.#chunks, this.#bytes);
    this.#chunks = [all];
    return all;
  }
}

function words(...numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(numbers.length * 4);
  numbers.forEach((n, i) => {
    bytes.writeUInt32BE(n, i * 4);
  });
  return bytes;
}
