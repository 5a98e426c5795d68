/**
 * The cluster's registry under one name on every node: `localhost:5000` in an image name is answered here and passed on,
 * byte for byte, to where the registry runs.
 */
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Logger, StatusError } from '#lib/base';

export interface RegistryProxyOptions {
  readonly port: number;
  /** `host:port`, or `tls://host:port`: then the node's certificate is shown, and the other end must be of the same CA. */
  readonly upstream: string;
  /** For `tls://`; read at every connection, so that a renewed certificate is taken. */
  readonly credentials: () => Promise<{ readonly ca: string; readonly cert: string; readonly key: string }>;
  readonly log: Logger;
}

export async function startRegistryProxy(o: RegistryProxyOptions): Promise<AsyncDisposable> {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    open.add(near);
    near.on('close', () => open.delete(near));
    near.on('error', () => undefined);
    const failed = (e: unknown): void => {
      o.log.debug({ err: e, upstream: o.upstream }, 'registry connection failed');
      near.destroy();
    };
    dial(o).then((far) => {
      open.add(far);
      far.on('close', () => open.delete(far));
      far.on('error', failed);
      near.on('close', () => far.destroy());
      near.pipe(far);
      far.pipe(near);
    }, failed);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (e: NodeJS.ErrnoException) =>
      reject(
        new StatusError('Unavailable', `port ${o.port} for the registry cannot be opened: ${e.message}`, { cause: e }),
      ),
    );
    server.listen(o.port, '127.0.0.1', resolve);
  });
  return {
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        for (const s of open) s.destroy();
        server.close(() => resolve());
      }),
  };
}

async function dial(o: RegistryProxyOptions): Promise<Socket> {
  const isTls = o.upstream.startsWith('tls://');
  const address = isTls ? o.upstream.slice('tls://'.length) : o.upstream;
  const colon = address.lastIndexOf(':');
  const to = { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
  return isTls ? connectTls({ ...to, ...(await o.credentials()) }) : connect({ ...to, allowHalfOpen: true });
}
