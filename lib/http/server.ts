import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Clock, Logger } from '#lib/base';

export interface TlsOptions {
  readonly key: string;
  readonly cert: string;
  /** CA for client certificates. */
  readonly ca?: string | undefined;
  /** Ask for a client certificate; one that does not verify is not refused: look at `socket.authorized`. */
  readonly requestCert?: boolean | undefined;
}

export interface HttpServerOptions {
  readonly handler: (req: IncomingMessage, res: ServerResponse) => Promise<void>;
  /** Without it every upgrade offer is ignored and the request served as a plain one. */
  readonly upgrade?: ((req: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>) | undefined;
  /** Which Upgrade offers go to `upgrade`; default: websocket, spdy/3.1 and tcp. Others (h2c) are served as plain requests. */
  readonly upgradeProtocols?: readonly string[] | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  readonly log: Logger;
}

export type ListenAddress = { readonly host: string; readonly port: number } | { readonly path: string };

export interface HttpServer extends AsyncDisposable {
  /** Resolves when listening; gives the port in use (0 for a unix path). Rejects if the address is taken. */
  listen(address: ListenAddress): Promise<{ port: number }>;
  /** Stops accepting, ends idle connections, waits up to `graceMs` for running requests, then cuts the rest. Idempotent. */
  close(graceMs?: number): Promise<void>;
  /** New certificates for connections to come. */
  setTls(tls: TlsOptions): void;
}

export function createHttpServer(o: HttpServerOptions): HttpServer {
  throw new Error(`not yet ${String(o.tls)}`);
}
