/**
 * Port-forward: many TCP connections over one, in the three ways clients do it.
 *
 * 1. WebSocket with subprotocol `SPDY/3.1+portforward.k8s.io` (kubectl >= 1.31): its messages are slices of a SPDY byte stream.
 * 2. `Upgrade: SPDY/3.1`, X-Stream-Protocol-Version portforward.k8s.io (older clients).
 *    In both, a connection is two streams with the headers streamType (error, then data), port, requestID.
 * 3. WebSocket channels (@kubernetes/client-node): `?ports=N`; channel 2i is data, 2i+1 error of port i, each begins with the
 *    port as two bytes, little-endian.
 * Invariants: an error is text on the error stream, which is ended (never reset) when its connection is over; a pair that is
 * not complete after 30 s is dropped.
 * Source: k8s.io/kubelet/pkg/cri/streaming/portforward/{httpstream,websocket}.go; kubernetes KEP-4006.
 */
import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import { type Clock, realClock, StatusError, type Timer } from '#lib/base';
import { acceptWebSocket, acceptWebSocketChannels, offeredProtocols } from './channels.ts';
import { type SpdyConnection, type SpdyStream, spdyConnection } from './spdy.ts';
import { acceptSpdy } from './spdy-accept.ts';
import { upgradeOf } from './upgrade.ts';

/** One forwarded connection: bytes both ways and one line for an error. */
export interface PortForwardPair {
  readonly port: number;
  /** The client's end. Its end is the client's half close; when both sides have ended the pair is over. */
  readonly data: Duplex;
  /** Tells the client why the connection failed and ends the pair. */
  fail(text: string): void;
}

export interface PortForwardConnection extends AsyncDisposable {
  /** Set it in the same turn as the connection is given. */
  onPair(fn: (pair: PortForwardPair) => void): void;
  /** Resolves when the client has gone. */
  readonly closed: Promise<void>;
}

const TUNNEL = 'SPDY/3.1+portforward.k8s.io';
const CHANNEL_PROTOCOLS = ['v5.channel.k8s.io', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'];
const PAIR_TIMEOUT_MS = 30_000;
const PORTS_MAX = 50;

/** Does the handshake (101); authorize before. Throws BadRequest or Forbidden before the 101. */
export async function acceptPortForward(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: { readonly clock?: Clock | undefined } = {},
): Promise<PortForwardConnection> {
  const clock = o.clock ?? realClock;
  if (upgradeOf(req) !== 'websocket') {
    const { connection } = await acceptSpdy(req, socket, head, { protocols: ['portforward.k8s.io'], clock });
    return new SpdyPortForward(connection, clock);
  }
  if (!offeredProtocols(req).includes(TUNNEL)) return acceptChannelForward(req, socket, head);
  const { ws } = await acceptWebSocket(req, socket, head, [TUNNEL]);
  return new SpdyPortForward(spdyConnection(createWebSocketStream(ws), clock), clock);
}

interface HalfPair {
  error?: SpdyStream;
  data?: SpdyStream;
  readonly timer: Timer;
}

class SpdyPortForward implements PortForwardConnection {
  readonly closed: Promise<void>;
  readonly #connection: SpdyConnection;
  readonly #clock: Clock;
  readonly #halves = new Map<string, HalfPair>();
  #taker: ((pair: PortForwardPair) => void) | undefined;

  constructor(connection: SpdyConnection, clock: Clock) {
    this.#connection = connection;
    this.#clock = clock;
    this.closed = connection.closed.then(() => {
      for (const half of this.#halves.values()) half.timer.cancel();
      this.#halves.clear();
    });
    connection.onStream((stream) => this.#add(stream));
  }

  onPair(fn: (pair: PortForwardPair) => void): void {
    this.#taker = fn;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close();
  }

  #add(stream: SpdyStream): void {
    const type = stream.headers.get('streamtype');
    const port = portOf(stream.headers.get('port') ?? '');
    if ((type !== 'error' && type !== 'data') || port === undefined) {
      stream.data.destroy();
      return;
    }
    // Clients before requestID opened the data stream right after its error stream: ids differ by two.
    const id = stream.headers.get('requestid') ?? `stream ${type === 'error' ? stream.id : stream.id - 2}`;
    const half: HalfPair = this.#halves.get(id) ?? { timer: this.#clock.after(PAIR_TIMEOUT_MS, () => this.#drop(id)) };
    if (half[type] !== undefined) {
      stream.data.destroy();
      return;
    }
    half[type] = stream;
    this.#halves.set(id, half);
    if (half.error !== undefined && half.data !== undefined) {
      half.timer.cancel();
      this.#halves.delete(id);
      this.#taker?.(pairOf(port, half.data.data, half.error.data));
    }
  }

  #drop(id: string): void {
    const half = this.#halves.get(id);
    this.#halves.delete(id);
    half?.error?.data.end(`timed out waiting for the data stream of request ${id}`);
    half?.data?.data.destroy();
  }
}

function portOf(text: string): number | undefined {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65535 ? port : undefined;
}

/** Ties the error stream to its data stream: it ends when the connection is over. */
function pairOf(port: number, data: Duplex, error: Duplex): PortForwardPair {
  error.resume();
  const endError = (): void => {
    if (!error.writableEnded && !error.destroyed) error.end();
  };
  data.once('close', endError);
  return {
    port,
    data,
    fail: (text) => {
      if (!error.writableEnded && !error.destroyed) error.end(text);
      data.resume();
      if (!data.writableEnded) data.end();
    },
  };
}

async function acceptChannelForward(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<PortForwardConnection> {
  const texts = new URL(req.url ?? '/', 'http://localhost').searchParams.getAll('ports').flatMap((p) => p.split(','));
  const ports = texts.map((text) => portOf(text));
  if (ports.length === 0 || ports.length > PORTS_MAX || ports.includes(undefined))
    throw new StatusError('BadRequest', 'query parameter "ports" must name 1 to 50 ports');
  const channels = ports.map((_port, i) => i * 2);
  const connection = await acceptWebSocketChannels(req, socket, head, {
    protocols: CHANNEL_PROTOCOLS,
    readable: channels,
    writable: channels.flatMap((c) => [c, c + 1]),
  });
  let open = ports.length;
  const pairs = channels.map((channel, i): PortForwardPair => {
    const port = ports[i] ?? 0;
    const greeting = Buffer.from([port & 0xff, port >> 8]);
    const output = connection.output(channel);
    const error = connection.output(channel + 1);
    output.write(greeting);
    error.write(greeting);
    const data = Duplex.from({ readable: connection.input(channel), writable: output });
    // The protocol cannot end one channel: the connection is closed when the last pair is over.
    data.once('close', () => {
      if (--open === 0) void connection.close();
    });
    return {
      port,
      data,
      fail: (text) => {
        error.end(text);
        data.resume();
        data.end();
      },
    };
  });
  return {
    closed: connection.closed,
    onPair: (fn) => {
      for (const pair of pairs) fn(pair);
    },
    [Symbol.asyncDispose]: () => connection.close(),
  };
}
