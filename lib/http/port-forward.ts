import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/** One forwarded connection: bytes both ways and one line for an error. */
export interface PortForwardPair {
  readonly port: number;
  readonly data: Duplex;
  /** Tells the client why the connection failed and closes the pair. */
  fail(text: string): void;
}
export interface PortForwardConnection extends AsyncDisposable {
  onPair(fn: (pair: PortForwardPair) => void): void;
  readonly closed: Promise<void>;
}

export function acceptPortForward(req: IncomingMessage, socket: Duplex, head: Buffer): Promise<PortForwardConnection> {
  throw new Error(`not yet ${req.url} ${socket.destroyed} ${head.length}`);
}
