/**
 * Numbered byte streams over one WebSocket: the channel protocols of Kubernetes.
 *
 * Wire: binary protocols (`channel.k8s.io`, `v4.channel.k8s.io`, `v5.channel.k8s.io`) carry one byte channel number, then bytes;
 * base64 protocols (`base64.channel.k8s.io`, `v4.base64.channel.k8s.io`) carry text, '0' + channel, then base64. v5 adds the
 * client message [255, channel]: end of that input. An empty frame on a channel carries nothing.
 * Invariants: back-pressure both ways (a full input pauses the socket, an output's write is done when the socket took it);
 * when the client goes away all inputs end and `closed` resolves; outputs after that are dropped, never thrown.
 * Source: k8s.io/apiserver/pkg/util/wsstream, k8s.io/apimachinery/pkg/util/remotecommand; kubernetes KEP-4006.
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type Duplex, Readable, Writable } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { StatusError } from '#lib/base';

export interface ChannelOptions {
  /** In order of the server's preference. */
  readonly protocols: readonly string[];
  /** Channel numbers the client writes to. */
  readonly readable: readonly number[];
  /** Channel numbers the server writes to. */
  readonly writable: readonly number[];
}

export interface ChannelConnection extends AsyncDisposable {
  /** The chosen subprotocol; '' if the client named none (then it is binary). */
  readonly protocol: string;
  /** The stream of a channel named in `readable`. */
  input(channel: number): Readable;
  /** The stream of a channel named in `writable`. Ending it sends nothing: the protocols have no end of output but the close. */
  output(channel: number): Writable;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  /** Sends what is pending, then the close frame; resolves when the connection is gone. Idempotent. */
  close(): Promise<void>;
}

const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;
/** What an input holds unread before the socket is paused. */
const INPUT_BYTES_MAX = 256 * 1024;
const CLOSE_CHANNEL = 255;
const NORMAL_CLOSURE = 1000;

/** Does the WebSocket handshake. Throws BadRequest before the 101 if the client offers only protocols we do not speak. */
export async function acceptWebSocketChannels(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: ChannelOptions,
): Promise<ChannelConnection> {
  const { ws, protocol } = await acceptWebSocket(req, socket, head, o.protocols);
  return new WebSocketChannels(ws, protocol, o);
}

/** The protocols a client offers, in its order. */
export function offeredProtocols(req: IncomingMessage): string[] {
  return (req.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((p) => p.trim())
    .filter((p) => p !== '');
}

/**
 * The bare WebSocket with the first of our protocols that the client offers ('' if it offers none). The protocol is negotiated
 * here and not by ws, which refuses names with a slash such as SPDY/3.1+portforward.k8s.io; `ws.protocol` stays empty.
 */
export function acceptWebSocket(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  protocols: readonly string[],
): Promise<{ ws: WebSocket; protocol: string }> {
  const offered = offeredProtocols(req);
  const chosen = protocols.find((p) => offered.includes(p));
  if (offered.length > 0 && chosen === undefined)
    throw new StatusError(
      'BadRequest',
      `unable to upgrade: unable to negotiate a WebSocket protocol: client supports ${offered.join(', ')}, server accepts ${protocols.join(', ')}`,
    );
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MESSAGE_BYTES_MAX,
  });
  delete req.headers['sec-websocket-protocol'];
  if (chosen !== undefined) server.on('headers', (headers) => headers.push(`Sec-WebSocket-Protocol: ${chosen}`));
  return new Promise((resolve, reject) => {
    // ws answers a broken handshake itself (400); the socket then closes without the callback.
    const onClose = (): void => reject(new StatusError('BadRequest', 'the WebSocket handshake failed'));
    socket.once('close', onClose);
    server.handleUpgrade(req, socket as Socket, head, (ws) => {
      socket.off('close', onClose);
      resolve({ ws, protocol: chosen ?? '' });
    });
  });
}

export class WebSocketChannels implements ChannelConnection {
  readonly protocol: string;
  readonly closed: Promise<void>;
  readonly #ws: WebSocket;
  readonly #isText: boolean;
  readonly #inputs = new Map<number, Readable>();
  readonly #outputs = new Map<number, Writable>();
  /** Inputs that are full: the socket is paused while there is one. */
  readonly #full = new Set<number>();
  readonly #ended = new Set<number>();

  constructor(ws: WebSocket, protocol: string, o: ChannelOptions) {
    this.protocol = protocol;
    this.#ws = ws;
    this.#isText = protocol.includes('base64');
    for (const channel of o.readable) this.#inputs.set(channel, this.#makeInput(channel));
    for (const channel of o.writable) this.#outputs.set(channel, this.#makeOutput(channel));
    this.closed = new Promise((resolve) => {
      ws.once('close', () => {
        for (const channel of this.#inputs.keys()) this.#end(channel);
        resolve();
      });
    });
    // A protocol error closes the WebSocket as well: `close` follows and is what counts.
    ws.on('error', () => undefined);
    ws.on('message', (data) => this.#receive(data as Buffer));
  }

  input(channel: number): Readable {
    const stream = this.#inputs.get(channel);
    if (stream === undefined) throw new RangeError(`channel ${channel} is not readable`);
    return stream;
  }

  output(channel: number): Writable {
    const stream = this.#outputs.get(channel);
    if (stream === undefined) throw new RangeError(`channel ${channel} is not writable`);
    return stream;
  }

  async close(): Promise<void> {
    this.#full.clear();
    this.#ws.resume();
    if (this.#ws.readyState === this.#ws.OPEN) this.#ws.close(NORMAL_CLOSURE);
    await this.closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #makeInput(channel: number): Readable {
    return new Readable({
      highWaterMark: INPUT_BYTES_MAX,
      read: () => {
        if (this.#full.delete(channel) && this.#full.size === 0) this.#ws.resume();
      },
      destroy: (_e, callback) => {
        // Nobody reads this channel any more: what comes for it is dropped, and must not block the others.
        this.#ended.add(channel);
        if (this.#full.delete(channel) && this.#full.size === 0) this.#ws.resume();
        callback(null);
      },
    });
  }

  #makeOutput(channel: number): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, callback) => this.#send(channel, chunk, callback),
    });
  }

  #send(channel: number, chunk: Buffer, callback: () => void): void {
    if (this.#ws.readyState !== this.#ws.OPEN) {
      callback();
      return;
    }
    const message = this.#isText
      ? `${channel}${chunk.toString('base64')}`
      : Buffer.concat([Buffer.of(channel), chunk], chunk.length + 1);
    // The callback's error means that the connection is going: `closed` tells, a write is not where it is handled.
    this.#ws.send(message, { binary: !this.#isText }, () => callback());
  }

  /** Text or binary frame is one to us, as to Kubernetes: the official Python client sends `v4` in text frames. */
  #receive(data: Buffer): void {
    const first = data[0];
    if (first === undefined) return;
    const channel = this.#isText ? first - 0x30 : first;
    if (!this.#isText && channel === CLOSE_CHANNEL && this.protocol.startsWith('v5.')) {
      const ended = data[1];
      if (ended !== undefined) this.#end(ended);
      return;
    }
    const stream = this.#inputs.get(channel);
    if (stream === undefined || this.#ended.has(channel)) return;
    const bytes = this.#isText ? Buffer.from(data.toString('latin1', 1), 'base64') : data.subarray(1);
    if (bytes.length > 0 && !stream.push(bytes)) {
      this.#full.add(channel);
      this.#ws.pause();
    }
  }

  #end(channel: number): void {
    const stream = this.#inputs.get(channel);
    if (stream === undefined || this.#ended.has(channel)) return;
    this.#ended.add(channel);
    stream.push(null);
  }
}
