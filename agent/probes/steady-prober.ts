/**
 * Probes that have succeeded, asked on by the native helper for as long as they do (agent/native/prober.c): a node has thousands of
 * them a minute, nearly all say what they said before, and in this process each costs three times as much. One process asks
 * them all; when it is lost every probe is its worker's again, and the next that succeeds starts another.
 */
import type { Duplex } from 'node:stream';
import { type Ctx, StatusError } from '#lib/base';
import { FrameReader } from '../kernel/linux/frames.ts';

export interface SteadyProbe {
  /** An IP address. */
  readonly host: string;
  readonly port: number;
  /** Absent: a connection is all that is asked for. */
  readonly request?: string | undefined;
  readonly firstInMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
}

/** The first answer that was no plain success: what came of it, and how it ended. */
export interface SteadyEnd {
  readonly how: 'answered' | 'timedOut' | 'notConnected' | 'broken';
  /** Of the failed call; 0 = none. */
  readonly errno: number;
  /** Since it was due. */
  readonly agoMs: number;
  readonly bytes: Buffer;
}

const HOW = { 1: 'answered', 2: 'timedOut', 3: 'notConnected', 4: 'broken' } as const;
const FRAME_BYTES_MAX = 64 << 10;
/** The prober's own limit is above it (FRAME_MAX). */
export const REQUEST_BYTES_MAX = 64 << 10;

interface Waiting {
  readonly resolve: (end: SteadyEnd) => void;
  readonly reject: (e: unknown) => void;
}

export class SteadyProber implements AsyncDisposable {
  readonly #open: () => Promise<Duplex>;
  readonly #waiting = new Map<number, Waiting>();
  #connection: Promise<Duplex> | undefined;
  #nextId = 1;
  #isClosed = false;

  constructor(open: () => Promise<Duplex>) {
    this.#open = open;
  }

  /** Until it does not succeed. Rejects with Unavailable when it is asked no more, and when the signal aborts. */
  async watch(p: SteadyProbe, c: Ctx): Promise<SteadyEnd> {
    const socket = await this.#connected();
    c.signal.throwIfAborted();
    const id = this.#nextId;
    this.#nextId = (id % 0xffffffff) + 1;
    let onAbort: () => void = () => undefined;
    try {
      return await new Promise<SteadyEnd>((resolve, reject) => {
        if (socket.destroyed) throw lost();
        this.#waiting.set(id, { resolve, reject });
        onAbort = () => {
          socket.write(dropFrame(id));
          reject(c.signal.reason);
        };
        c.signal.addEventListener('abort', onAbort, { once: true });
        socket.write(addFrame(id, p));
      });
    } finally {
      c.signal.removeEventListener('abort', onAbort);
      this.#waiting.delete(id);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    const socket = await this.#connection?.catch(() => undefined);
    socket?.destroy();
    this.#end();
  }

  #connected(): Promise<Duplex> {
    if (this.#isClosed) throw lost();
    if (this.#connection !== undefined) return this.#connection;
    const opened = this.#open().then((socket) => {
      this.#listen(socket, opened);
      return socket;
    });
    opened.catch(() => this.#forget(opened));
    this.#connection = opened;
    return opened;
  }

  #forget(connection: Promise<Duplex>): void {
    if (this.#connection === connection) this.#connection = undefined;
  }

  #listen(socket: Duplex, connection: Promise<Duplex>): void {
    const reader = new FrameReader(FRAME_BYTES_MAX);
    socket.on('data', (piece: Buffer) => {
      try {
        for (const frame of reader.push(piece)) this.#told(frame);
      } catch {
        socket.destroy(); // frames that are none: its probes are asked by the agent again
      }
    });
    socket.on('error', () => socket.destroy());
    socket.once('end', () => socket.destroy());
    socket.once('close', () => {
      this.#forget(connection);
      this.#end();
    });
  }

  #told(frame: Buffer): void {
    if (frame.toString('latin1', 0, 1) !== 'T' || frame.length < 14) return;
    const how = frame.readUInt8(5);
    if (how !== 1 && how !== 2 && how !== 3 && how !== 4) return;
    this.#waiting.get(frame.readUInt32LE(1))?.resolve({
      how: HOW[how],
      errno: frame.readUInt32LE(6),
      agoMs: frame.readUInt32LE(10),
      bytes: frame.subarray(14),
    });
  }

  #end(): void {
    for (const waiting of [...this.#waiting.values()]) waiting.reject(lost());
  }
}

function lost(): StatusError {
  return new StatusError('Unavailable', 'the prober has ended');
}

function addFrame(id: number, p: SteadyProbe): Buffer {
  const request = Buffer.from(p.request ?? '');
  const host = Buffer.from(p.host);
  const head = Buffer.alloc(24);
  head.writeUInt32LE(20 + host.length + request.length, 0);
  head.write('A', 4, 'latin1');
  head.writeUInt32LE(id, 5);
  head.writeUInt32LE(milliseconds(p.firstInMs, 0), 9);
  head.writeUInt32LE(milliseconds(p.periodMs, 1), 13);
  head.writeUInt32LE(milliseconds(p.timeoutMs, 1), 17);
  head.writeUInt16LE(p.port, 21);
  head.writeUInt8(host.length, 23);
  return Buffer.concat([head, host, request]);
}

function dropFrame(id: number): Buffer {
  const frame = Buffer.alloc(9);
  frame.writeUInt32LE(5, 0);
  frame.write('D', 4, 'latin1');
  frame.writeUInt32LE(id, 5);
  return frame;
}

function milliseconds(value: number, least: number): number {
  return Math.min(Math.max(Math.round(value), least), 0x7fffffff);
}
