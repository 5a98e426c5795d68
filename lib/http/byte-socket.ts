/**
 * One stream of bytes toward a client over a WebSocket, as logs go to browsers: `binary.k8s.io` (or no protocol named) sends
 * them as they are, `base64.binary.k8s.io` as text; an empty message comes first, what the client sends is dropped.
 * Source: k8s.io/streaming/pkg/httpstream/wsstream/stream.go (Reader).
 */
import type { IncomingMessage } from 'node:http';
import { type Duplex, Writable } from 'node:stream';
import { acceptWebSocket } from './channels.ts';

export interface ByteSocket extends AsyncDisposable {
  /** A write is done when the socket took it; after the client has gone writes are dropped. */
  readonly output: Writable;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
}

const BASE64 = 'base64.binary.k8s.io';
const PROTOCOLS = ['binary.k8s.io', BASE64];
const NORMAL_CLOSURE = 1000;

/** Does the WebSocket handshake. Throws BadRequest before the 101 if the client offers only protocols we do not speak. */
export async function acceptByteSocket(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<ByteSocket> {
  const { ws, protocol } = await acceptWebSocket(req, socket, head, PROTOCOLS);
  const closed = new Promise<void>((resolve) => ws.once('close', () => resolve()));
  // A protocol error closes the WebSocket as well: `closed` is what counts.
  ws.on('error', () => undefined);
  const isText = protocol === BASE64;
  const send = (bytes: Buffer, done: () => void): void => {
    if (ws.readyState === ws.OPEN)
      ws.send(isText ? bytes.toString('base64') : bytes, { binary: !isText }, () => done());
    else done();
  };
  send(Buffer.alloc(0), () => undefined);
  return {
    output: new Writable({ write: (chunk: Buffer, _encoding, callback) => send(chunk, callback) }),
    closed,
    async [Symbol.asyncDispose]() {
      if (ws.readyState === ws.OPEN) ws.close(NORMAL_CLOSURE);
      await closed;
    },
  };
}
