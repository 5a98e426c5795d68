import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

export interface SpdyStream {
  readonly id: number;
  /** Lower-case names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly data: Duplex;
}
export interface SpdyConnection extends AsyncDisposable {
  onStream(fn: (stream: SpdyStream) => void): void;
  readonly closed: Promise<void>;
}
export function acceptSpdy(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: { protocols: readonly string[] },
): Promise<{ connection: SpdyConnection; protocol: string }> {
  throw new Error(`not yet ${req.url} ${socket.destroyed} ${head.length} ${o.protocols.length}`);
}
