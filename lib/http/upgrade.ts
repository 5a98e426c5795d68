import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { StatusError } from '#lib/base';

export function isUpgrade(req: IncomingMessage): boolean {
  throw new Error(`not yet ${req.url}`);
}
/** Writes a plain HTTP answer to an upgrade request and closes. */
export function refuseUpgrade(socket: Duplex, e: StatusError): void {
  throw new Error(`not yet ${e.message} ${socket.destroyed}`);
}
/** Reads the body of an upgrade request (Content-Length) from head and socket; gives what follows it. */
export function hijack(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  maxBodyBytes: number,
): Promise<{ body: Buffer; rest: Buffer }> {
  throw new Error(`not yet ${req.url} ${socket.destroyed} ${head.length} ${maxBodyBytes}`);
}
export type Handler = (req: IncomingMessage, res: ServerResponse) => Promise<void>;
