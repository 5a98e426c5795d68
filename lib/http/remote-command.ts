import type { IncomingMessage } from 'node:http';
import type { Duplex, Readable, Writable } from 'node:stream';
import type { StatusError } from '#lib/base';

export type RemoteOutcome = { readonly exitCode: number } | { readonly error: StatusError };

/** The streams of one exec or attach, the same over WebSocket and SPDY. */
export interface RemoteStreams extends AsyncDisposable {
  /** Ends at the client's half close or when it goes away. */
  readonly stdin?: Readable | undefined;
  readonly stdout?: Writable | undefined;
  /** Absent with a terminal: it all comes on stdout. */
  readonly stderr?: Writable | undefined;
  onResize(fn: (width: number, height: number) => void): void;
  /** Resolves when the client is gone or `finish` is done. */
  readonly closed: Promise<void>;
  /** Ends the output streams, sends the status, closes. The last call on this object. */
  finish(outcome: RemoteOutcome): Promise<void>;
}

export interface RemoteCommandOptions {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Does the handshake (101) and gives the streams; authorize before. Throws BadRequest before the 101 if no protocol fits. */
export function acceptRemoteCommand(
  req: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  o: RemoteCommandOptions,
): Promise<RemoteStreams> {
  throw new Error(`not yet ${req.url} ${socket.destroyed} ${head.length} ${o.tty}`);
}

/** The v1 Status that goes to the error channel. */
export function statusOfOutcome(outcome: RemoteOutcome): object {
  return outcome;
}
