/**
 * The client's side of the channel protocols: dials a WebSocket (TLS with a client certificate, or a bearer token) and gives
 * its numbered streams. Of a client, `readable` are the channels the server writes to, `writable` those we write to.
 * Source: kubernetes KEP-4006; k8s.io/client-go/tools/remotecommand/websocket.go.
 */
import { WebSocket } from 'ws';
import { StatusError } from '#lib/base';
import { type ChannelConnection, type ChannelOptions, WebSocketChannels } from './channels.ts';

export interface ChannelDial extends ChannelOptions {
  /** https:// or http:// */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly tls?: {
    readonly ca?: string | undefined;
    readonly cert?: string | undefined;
    readonly key?: string | undefined;
    readonly servername?: string | undefined;
    readonly rejectUnauthorized?: boolean | undefined;
  };
  readonly timeoutMs: number;
  /** The error for an answer that is no upgrade. */
  refused(code: number, body: string): Error;
}

export interface DialledChannels extends ChannelConnection {
  /** v5 only: tells the server that nothing more comes on this channel. */
  endChannel(channel: number): void;
}

const CLOSE_CHANNEL = 255;
const REFUSAL_BYTES_MAX = 64 * 1024;
/** As the server's own limit. */
const MESSAGE_BYTES_MAX = 16 * 1024 * 1024;

/** Throws what `refused` makes, or Unavailable when the server cannot be reached. */
export function dialChannels(o: ChannelDial): Promise<DialledChannels> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(o.url.replace(/^http/, 'ws'), [...o.protocols], {
      handshakeTimeout: o.timeoutMs,
      perMessageDeflate: false,
      maxPayload: MESSAGE_BYTES_MAX,
      ...(o.headers === undefined ? {} : { headers: { ...o.headers } }),
      ...Object.fromEntries(Object.entries(o.tls ?? {}).filter(([, v]) => v !== undefined)),
    });
    const onError = (e: Error): void =>
      reject(new StatusError('Unavailable', `${new URL(o.url).host} cannot be reached: ${e.message}`, { cause: e }));
    ws.once('error', onError);
    ws.once('unexpected-response', (request, response) => {
      const pieces: Buffer[] = [];
      let size = 0;
      response.on('data', (d: Buffer) => {
        size += d.length;
        if (size <= REFUSAL_BYTES_MAX) pieces.push(d);
      });
      response.once('close', () => {
        reject(o.refused(response.statusCode ?? 0, Buffer.concat(pieces).toString('utf8')));
        request.destroy();
      });
    });
    ws.once('open', () => {
      ws.off('error', onError);
      // In this very turn: the first message may already be in the socket's buffer.
      const channels = new WebSocketChannels(ws, ws.protocol, o);
      resolve(
        Object.assign(channels, {
          endChannel: (channel: number): void => {
            if (ws.readyState === ws.OPEN) ws.send(Buffer.of(CLOSE_CHANNEL, channel), { binary: true });
          },
        }),
      );
    });
  });
}
