/** A WebSocket as one stream of bytes both ways: each write is a binary message, of what comes only the bytes count. */
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream } from 'ws';
import { acceptWebSocket, offeredProtocols } from './channels.ts';

/** Does the handshake; whatever protocol the client offers is taken. Its end closes the WebSocket. */
export async function acceptWebSocketStream(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<Duplex> {
  const { ws } = await acceptWebSocket(req, socket, head, offeredProtocols(req));
  const stream = createWebSocketStream(ws);
  // Who goes without a closing handshake has gone: the stream's end says it.
  stream.on('error', () => undefined);
  return stream;
}
