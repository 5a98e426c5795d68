/**
 * The bytes of one exec, attach, log or port-forward stream as Node streams, the same on both ends of `Streams.Open`
 * (streams.proto). Both ends meet here because neither may import the other.
 *
 * Back-pressure: a writable's callback waits for the call's drain; when a readable's consumer is slow the call is paused (all
 * its channels with it, as in Kubernetes' own multiplexed streams). Chunks are cut to 64 KiB.
 *
 * Ends: each writable ends with Data{last}; each end sends End exactly once, after which it sends nothing. A call that
 * breaks destroys every stream and reports it through `onEnd`.
 */
import { Readable, Writable } from 'node:stream';
import { ERROR_KINDS, type ErrorKind, isKind, StatusError, toStatusError } from '#lib/base';
import type { Frame, Frame__Output } from './gen/berth/streams/v1/Frame.ts';

export const STDIN = 0;
export const STDOUT = 1;
export const STDERR = 2;

const CHUNK_BYTES = 64 * 1024;

export type Outcome = { readonly exitCode: number } | { readonly error: StatusError };

/** What both ends' gRPC calls are. */
export interface FrameCall {
  readonly destroyed: boolean;
  readonly writable: boolean;
  write(frame: Frame): boolean;
  pause(): unknown;
  resume(): unknown;
  on(event: 'data', fn: (frame: Frame__Output) => void): unknown;
  on(event: 'error', fn: (e: Error) => void): unknown;
  on(event: string, fn: () => void): unknown;
  off(event: string, fn: () => void): unknown;
}

export class FrameChannels {
  readonly #call: FrameCall;
  readonly #readables = new Map<number, Readable>();
  readonly #writables = new Set<Writable>();
  /** Channels whose consumer is behind; the call flows only while there is none. */
  readonly #full = new Set<number>();
  #onResize: ((width: number, height: number) => void) | undefined;
  #lastSize: { width: number; height: number } | undefined;
  #onEnd: ((o: Outcome) => void) | undefined;
  #isEnded = false;
  #isSent = false;

  /** Takes the call over: from now on every frame comes here. `onEnd` is called once: the peer's End, or the break. */
  constructor(call: FrameCall, o: { onEnd: (o: Outcome) => void }) {
    this.#call = call;
    this.#onEnd = o.onEnd;
    call.on('data', (frame: Frame__Output) => this.#receive(frame));
    call.on('end', () => this.#finish({ error: new StatusError('Unavailable', 'the other end closed the stream') }));
    call.on('error', (e: Error) => this.#finish({ error: breakOf(e) }));
    call.on('close', () => this.#finish({ error: new StatusError('Unavailable', 'the connection was lost') }));
    call.on('cancelled', () => this.#finish({ error: new StatusError('Cancelled', 'the other end went away') }));
  }

  readable(channel: number): Readable {
    const stream = new Readable({ read: () => this.#wanted(channel), highWaterMark: 4 * CHUNK_BYTES });
    // Nobody need listen: the outcome tells of the break.
    stream.on('error', () => undefined);
    this.#readables.set(channel, stream);
    return stream;
  }

  writable(channel: number): Writable {
    const stream = new Writable({
      highWaterMark: 4 * CHUNK_BYTES,
      write: (chunk: Buffer, _encoding, done) => this.#sendBytes(channel, chunk, done),
      final: (done) => this.#send({ data: { channel, last: true } }, done),
    });
    stream.on('error', () => undefined);
    this.#writables.add(stream);
    return stream;
  }

  /** The newest size that came before is delivered at once. */
  onResize(fn: (width: number, height: number) => void): void {
    this.#onResize = fn;
    if (this.#lastSize) fn(this.#lastSize.width, this.#lastSize.height);
  }

  resize(width: number, height: number): void {
    this.#send({ resize: { width, height } }, () => undefined);
  }

  /** Nothing is sent after this. */
  sendEnd(o: Outcome): void {
    if (this.#isSent) return;
    const end =
      'error' in o
        ? { exit_code: -1, error_kind: o.error.kind, error_message: o.error.message }
        : { exit_code: o.exitCode, error_kind: '', error_message: '' };
    this.#send({ end }, () => undefined);
    this.#isSent = true;
  }

  #receive(frame: Frame__Output): void {
    if (frame.data) {
      const stream = this.#readables.get(frame.data.channel);
      // A channel that was not asked for: its bytes have nowhere to go.
      if (stream === undefined || stream.destroyed) return;
      if (frame.data.bytes.byteLength > 0 && !stream.push(frame.data.bytes)) {
        this.#full.add(frame.data.channel);
        this.#call.pause();
      }
      if (frame.data.last) stream.push(null);
    } else if (frame.resize) {
      this.#lastSize = frame.resize;
      this.#onResize?.(frame.resize.width, frame.resize.height);
    } else if (frame.end) {
      const { exit_code: exitCode, error_kind: kind, error_message: message } = frame.end;
      this.#finish(kind === '' ? { exitCode } : { error: new StatusError(errorKind(kind), message) }, true);
    }
  }

  #wanted(channel: number): void {
    this.#full.delete(channel);
    if (this.#full.size === 0) this.#call.resume();
  }

  #finish(outcome: Outcome, isOrderly = false): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    const broken = 'error' in outcome && !isOrderly ? outcome.error : undefined;
    for (const stream of this.#readables.values()) {
      if (stream.destroyed || stream.readableEnded) continue;
      if (broken === undefined) stream.push(null);
      else stream.destroy(broken);
    }
    if (broken !== undefined) for (const stream of this.#writables) stream.destroy(broken);
    this.#onEnd?.(outcome);
    this.#onEnd = undefined;
    this.#call.resume();
  }

  #sendBytes(channel: number, chunk: Buffer, done: (e?: Error) => void): void {
    const piece = chunk.subarray(0, CHUNK_BYTES);
    const rest = chunk.subarray(CHUNK_BYTES);
    this.#send({ data: { channel, bytes: piece } }, (e) => {
      if (e || rest.byteLength === 0) done(e);
      else this.#sendBytes(channel, rest, done);
    });
  }

  #send(frame: Frame, done: (e?: Error) => void): void {
    if (this.#isSent || this.#call.destroyed || !this.#call.writable) {
      // The peer has its outcome already or is gone; what is still written has no reader.
      done();
      return;
    }
    if (this.#call.write(frame)) {
      done();
      return;
    }
    const settle = (): void => {
      this.#call.off('drain', settle);
      this.#call.off('close', settle);
      this.#call.off('error', settle);
      this.#call.off('cancelled', settle);
      done();
    };
    for (const event of ['drain', 'close', 'error', 'cancelled']) this.#call.on(event, settle);
  }
}

export function errorKind(text: string): ErrorKind {
  return Object.hasOwn(ERROR_KINDS, text) ? (text as ErrorKind) : 'Internal';
}

/** A gRPC failure as one of our kinds. */
export function grpcError(e: unknown): StatusError {
  const code = typeof e === 'object' && e !== null && 'code' in e ? e.code : undefined;
  const details = e instanceof Error && 'details' in e && typeof e.details === 'string' ? e.details : undefined;
  const kind = GRPC_KINDS.find(([number]) => number === code)?.[1];
  if (kind === undefined) return toStatusError(e);
  return new StatusError(kind, details ?? 'the connection broke', { cause: e });
}

export function breakOf(e: Error): StatusError {
  const known = grpcError(e);
  return isKind(known, 'Internal') ? new StatusError('Unavailable', known.message, { cause: e }) : known;
}

const GRPC_KINDS: readonly (readonly [number, ErrorKind])[] = [
  [1, 'Cancelled'],
  [3, 'Invalid'],
  [4, 'DeadlineExceeded'],
  [5, 'NotFound'],
  [6, 'AlreadyExists'],
  [7, 'Forbidden'],
  [8, 'TooManyRequests'],
  [9, 'Conflict'],
  [10, 'Conflict'],
  [12, 'Unimplemented'],
  [13, 'Internal'],
  [14, 'Unavailable'],
  [16, 'Unauthorized'],
];
