/**
 * Byte streams over the frames of agent/native/clients.c and session.c: u32 length (little-endian), u8 type, payload.
 * Both output streams share one connection: when either is not read the other stops too, so a caller that does not want
 * one of them calls `resume()` on it.
 */
import type { Socket } from 'node:net';
import { Readable, Writable } from 'node:stream';
import { StatusError } from '#lib/base';
import { FrameReader } from '../kernel/linux/frames.ts';
import type { AttachRequest, StreamSession } from './runtime.ts';
import { connectUnix } from './unix-socket.ts';

const FRAME_BYTES_MAX = 2 << 20;
const STDIN_PIECE_BYTES = 64 << 10;

export type FrameType = 'A' | 'I' | 'C' | 'W' | 'K' | 'S' | 'T' | 'O' | 'R' | 'E' | 'X';

export function encodeFrame(type: FrameType, payload: Uint8Array = new Uint8Array(0)): Buffer {
  const out = Buffer.allocUnsafe(5 + payload.byteLength);
  out.writeUInt32LE(1 + payload.byteLength, 0);
  out.write(type, 4, 'latin1');
  out.set(payload, 5);
  return out;
}

/** Calls `onFrame` for each frame in order, then `onEnd` once. */
export function readFrames(socket: Socket, onFrame: (type: string, payload: Buffer) => void, onEnd: () => void): void {
  const reader = new FrameReader(FRAME_BYTES_MAX);
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const frame of reader.push(chunk)) onFrame(frame.toString('latin1', 0, 1), frame.subarray(1));
    } catch (e) {
      socket.destroy(e instanceof Error ? e : new Error(String(e)));
    }
  });
  socket.on('error', () => socket.destroy());
  socket.once('close', onEnd);
}

export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(e: unknown): void;
}

/** A promise settled from outside; a rejection that nobody waits for is not an unhandled one. */
export function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (e: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}

export interface FrameSession extends StreamSession {
  /** Settles when the other side said that it has begun (payload of frame S; empty for an attach that ended), or why not. */
  readonly started: Promise<Buffer>;
  /** Ends the session with this error. */
  fail(e: StatusError): void;
}

/**
 * `what` decides how an end without an exit frame is read: an attach that loses its connection has merely ended.
 * `parseFailure` words the payload of frame X.
 */
export function frameSession(
  socket: Socket,
  what: 'exec' | 'attach',
  parseFailure: (text: string) => StatusError,
): FrameSession {
  /* The socket is read while neither is full. */
  const full = new Set<Readable>();
  const onRead = (stream: Readable): void => {
    full.delete(stream);
    if (full.size === 0) socket.resume();
  };
  const output = (): Readable => {
    const stream: Readable = new Readable({
      read: () => onRead(stream),
      destroy: (e, done) => {
        onRead(stream);
        done(e);
      },
    });
    return stream;
  };
  const stdout = output();
  const stderr = output();
  const started = deferred<Buffer>();
  const exit = deferred<number | undefined>();
  let error: StatusError | undefined;
  let attachedAtNs: bigint | undefined;
  const push = (stream: Readable, payload: Buffer): void => {
    if (stream.destroyed || stream.push(payload)) return;
    full.add(stream);
    socket.pause();
  };
  readFrames(
    socket,
    (type, payload) => {
      if (type === 'O') push(stdout, payload);
      else if (type === 'R') push(stderr, payload);
      else if (type === 'T') attachedAtNs = payload.readBigUInt64LE(0);
      else if (type === 'S') started.resolve(payload);
      else if (type === 'X') error = parseFailure(payload.toString());
      else if (type === 'E' && what === 'exec') exit.resolve(payload.readUInt32LE(0));
    },
    () => {
      const lost = error ?? (what === 'exec' ? new StatusError('Unavailable', 'the exec session was lost') : undefined);
      if (lost) {
        started.reject(lost);
        exit.reject(lost);
      } else {
        started.resolve(Buffer.alloc(0));
        exit.resolve(undefined);
      }
      stdout.push(null);
      stderr.push(null);
      stdin.destroy();
    },
  );
  const stdin = stdinStream(socket);
  return {
    stdin,
    stdout,
    stderr,
    started: started.promise,
    get attachedAtNs() {
      return attachedAtNs;
    },
    exit: exit.promise,
    resize: (width, height) => {
      const size = Buffer.alloc(4);
      size.writeUInt16LE(clamp(width), 0);
      size.writeUInt16LE(clamp(height), 2);
      if (socket.writable) socket.write(encodeFrame('W', size));
    },
    fail: (e) => {
      error ??= e;
      socket.destroy();
    },
    [Symbol.asyncDispose]: async () => {
      if (socket.destroyed) return;
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.destroy();
      await closed;
    },
  };
}

/** To the supervisor that listens there; undefined when nobody does. `started` says that it has been heard. */
export async function attachTo(path: string, o: AttachRequest): Promise<FrameSession | undefined> {
  const socket = await connectUnix(path);
  if (socket === undefined) return undefined;
  const session = frameSession(socket, 'attach', (text) => new StatusError('Internal', text));
  const ask = encodeFrame('S');
  const attach = encodeFrame('A', Buffer.from([o.stdin ? 1 : 0]));
  /* Done = in the supervisor's hands: what is told to it on another connection later comes later. */
  await new Promise<void>((resolve) => {
    socket.once('close', resolve);
    socket.write(o.output === false ? ask : Buffer.concat([attach, ask]), () => resolve());
  });
  return session;
}

function stdinStream(socket: Socket): Writable {
  const stdin = new Writable({
    write(chunk: Buffer, _encoding, callback) {
      if (!socket.writable) {
        callback(new StatusError('Unavailable', 'the session has ended'));
        return;
      }
      for (let at = 0; at < chunk.byteLength; at += STDIN_PIECE_BYTES) {
        const piece = chunk.subarray(at, at + STDIN_PIECE_BYTES);
        const isLast = at + piece.byteLength === chunk.byteLength;
        socket.write(encodeFrame('I', piece), isLast ? callback : undefined);
      }
      if (chunk.byteLength === 0) callback();
    },
    final(callback) {
      if (socket.writable) socket.write(encodeFrame('C'), () => callback());
      else callback();
    },
    destroy(error, callback) {
      /* After its orderly end a stream destroys itself; only an early destroy ends the session. */
      if (!stdin.writableFinished) socket.destroy();
      callback(error);
    },
  });
  /* A write after the end is told to its own callback; without a listener it would end this process. */
  stdin.on('error', () => undefined);
  return stdin;
}

function clamp(size: number): number {
  return Math.min(Math.max(Math.trunc(size), 0), 0xffff);
}
