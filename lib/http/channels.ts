import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';

export interface ChannelOptions {
  /** In order of the server's preference. */
  readonly protocols: readonly string[];
  /** Channel numbers the client may write to. */
  readonly readable: readonly number[];
  /** Channel numbers the server writes to. */
  readonly writable: readonly number[];
}

/** Numbered byte streams over one WebSocket. */
export interface ChannelConnection extends AsyncDisposable {
  readonly protocol: string;
  input(channel: number): Readable;
  output(channel: number): Writable;
  /** Resolves when the connection is gone. */
  readonly closed: Promise<void>;
  close(): Promise<void>;
}

export function acceptWebSocketChannels(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: ChannelOptions,
): Promise<ChannelConnection> {
  throw new Error(`not yet ${req.url} ${socket.destroyed} ${head.length} ${o.protocols.length}`);
}
