/**
 * gRPC over node:http2 to whichever of several addresses answers. What etcd's calls need and no more: no compression, no
 * balancing (one connection at a time; the next address when it fails), no retries (the caller knows what may be repeated).
 * grpc-js costs three times as much a call and a quarter of a second at start (ADR 16).
 * Source: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
 */
import { type ClientHttp2Stream, constants } from 'node:http2';
import { type Clock, messageOf, realClock, TimeLimits, type Timer } from '#lib/base';
import { Connection, type EtcdTls } from './connection.ts';
import { Deframer, framed } from './frames.ts';
import { Reply } from './reply.ts';
import { CANCELLED, DEADLINE_EXCEEDED, INTERNAL, isOfOneMember, RpcError, UNAVAILABLE } from './rpc-error.ts';

export interface ChannelOptions {
  /** `http://host:port` or `https://host:port`. */
  readonly endpoints: readonly string[];
  readonly tls?: EtcdTls | undefined;
  readonly clock?: Clock | undefined;
  /** After so many, calls to come get a new connection. Default 2^29. */
  readonly streamsPerConnection?: number | undefined;
}

export interface Method {
  readonly path: string;
  /**
   * A member that has lost its leader refuses the call and ends the stream, instead of leaving it silent
   * (clientv3.WithRequireLeader).
   */
  readonly needsLeader: boolean;
}

export interface RpcStream {
  /** The answers, decoded by nobody yet. Throws RpcError when the stream ends in any way but well. Once. */
  readonly messages: AsyncIterable<Buffer>;
  write(message: Buffer): void;
  /** Nothing more will be written. */
  end(): void;
  cancel(): void;
}

/**
 * HTTP/2 numbers the streams of a connection and has 2^30 numbers for a client's: a few weeks of a busy server. Node goes on
 * with such a connection and fails each call.
 */
const STREAMS_PER_CONNECTION = 2 ** 29;

export class Channel {
  readonly #o: ChannelOptions;
  readonly #clock: Clock;
  /** By length in ms: callers use three or four. */
  readonly #limits = new Map<number, TimeLimits>();
  #connection: Connection | undefined;
  #dials: number;
  #isClosed = false;

  /** `first`: which of the endpoints is dialled first. */
  constructor(o: ChannelOptions, first = 0) {
    this.#o = o;
    this.#clock = o.clock ?? realClock;
    this.#dials = first;
  }

  /** One message there, one back. Throws RpcError. `limitMs`: of the whole, connecting included. */
  unary(method: Method, message: Buffer, limitMs: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const { connection, stream } = this.#open(method);
      const reply = new Reply(stream);
      const deframer = new Deframer();
      let answer: Buffer | undefined;
      const fail = (e: RpcError): void => {
        limit.cancel();
        reject(e);
      };
      const limit = this.#limit(limitMs, () => {
        fail(new RpcError(DEADLINE_EXCEEDED, `no answer within ${limitMs} ms`));
        this.#leave(connection);
        stream.close(constants.NGHTTP2_CANCEL);
      });
      stream.on('data', (chunk: Buffer) => {
        try {
          for (const whole of deframer.push(chunk)) answer = whole;
        } catch (e) {
          fail(e instanceof RpcError ? e : new RpcError(INTERNAL, messageOf(e)));
          stream.close(constants.NGHTTP2_CANCEL);
        }
      });
      reply.onEnd = () => {
        const failure = reply.failure();
        if (failure !== undefined && isOfOneMember(failure)) this.#leave(connection);
        if (failure !== undefined) fail(failure);
        else if (answer === undefined) fail(new RpcError(INTERNAL, 'no message came with the answer'));
        else {
          limit.cancel();
          resolve(answer);
        }
      };
      stream.end(framed(message));
    });
  }

  /** `limitMs`: undefined for one that lasts. Throws RpcError. */
  stream(method: Method, limitMs?: number): RpcStream {
    const { connection, stream } = this.#open(method);
    const ending: Ending = {};
    const stop = (why: RpcError): void => {
      ending.stopped ??= why;
      stream.close(constants.NGHTTP2_CANCEL);
    };
    const limit =
      limitMs === undefined
        ? undefined
        : this.#limit(limitMs, () => {
            stop(new RpcError(DEADLINE_EXCEEDED, `no answer within ${limitMs} ms`));
            this.#leave(connection);
          });
    stream.once('close', () => limit?.cancel());
    // Made at once: a stream that nobody reads may break too, and its error must have a listener.
    const reply = new Reply(stream);
    return {
      messages: messagesOf(stream, reply, ending, (e) => {
        if (isOfOneMember(e)) this.#leave(connection);
      }),
      write: (message) => void stream.write(framed(message)),
      end: () => void stream.end(),
      cancel: () => stop(new RpcError(CANCELLED, 'the caller has left')),
    };
  }

  /** For calls to come. What goes on keeps its connection until it ends. */
  close(): void {
    this.#isClosed = true;
    this.#connection?.close();
    this.#connection = undefined;
  }

  #open(method: Method): { connection: Connection; stream: ClientHttp2Stream } {
    try {
      const connection = this.#connected();
      return { connection, stream: connection.request(headersOf(method)) };
    } catch (e) {
      throw e instanceof RpcError ? e : new RpcError(UNAVAILABLE, messageOf(e));
    }
  }

  #connected(): Connection {
    if (this.#connection?.isOpen === true) return this.#connection;
    if (this.#isClosed) throw new RpcError(UNAVAILABLE, 'this client is closed');
    const { endpoints, tls, streamsPerConnection = STREAMS_PER_CONNECTION } = this.#o;
    const endpoint = endpoints[this.#dials++ % endpoints.length] ?? '';
    this.#connection = new Connection(endpoint, { tls, clock: this.#clock, streamsMax: streamsPerConnection });
    return this.#connection;
  }

  /** The member behind it is of no use now: calls to come try the next one. With one address this one is all there is. */
  #leave(connection: Connection): void {
    if (this.#connection !== connection || this.#o.endpoints.length < 2) return;
    this.#connection = undefined;
    connection.close();
  }

  #limit(ms: number, onOver: () => void): Timer {
    let limits = this.#limits.get(ms);
    if (limits === undefined) {
      limits = new TimeLimits(this.#clock, ms);
      this.#limits.set(ms, limits);
    }
    return limits.start(onOver);
  }
}

/** Why we ended a stream ourselves, when we did: the member has no part in it. */
interface Ending {
  stopped?: RpcError;
}

async function* messagesOf(
  stream: ClientHttp2Stream,
  reply: Reply,
  ending: Ending,
  onFailure: (e: RpcError) => void,
): AsyncGenerator<Buffer> {
  const deframer = new Deframer();
  try {
    for await (const chunk of stream) yield* deframer.push(chunk);
  } catch (e) {
    if (e instanceof RpcError) throw e;
    reply.broke(e);
  } finally {
    stream.close(constants.NGHTTP2_CANCEL);
  }
  if (ending.stopped !== undefined) throw ending.stopped;
  const failure =
    reply.failure() ?? (deframer.isWithin ? new RpcError(UNAVAILABLE, 'the stream ended within a message') : undefined);
  if (failure === undefined) return;
  onFailure(failure);
  throw failure;
}

function headersOf(method: Method): Record<string, string> {
  return {
    ':method': 'POST',
    ':path': method.path,
    te: 'trailers',
    'content-type': 'application/grpc',
    'user-agent': 'berth',
    ...(method.needsLeader ? { hasleader: 'true' } : {}),
  };
}
