/**
 * The cluster's registry under one name on every node: `localhost:5000` in an image name is answered here and passed on,
 * byte for byte, to where the registry runs.
 */
import { connect, createServer, type Socket } from 'node:net';
import { type Logger, StatusError } from '#lib/base';

export interface RegistryProxyOptions {
  readonly port: number;
  /** host:port */
  readonly upstream: string;
  readonly log: Logger;
}

export async function startRegistryProxy(o: RegistryProxyOptions): Promise<AsyncDisposable> {
  const colon = o.upstream.lastIndexOf(':');
  const host = o.upstream.slice(0, colon);
  const port = Number(o.upstream.slice(colon + 1));
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ host, port, allowHalfOpen: true });
    for (const s of [near, far]) {
      open.add(s);
      s.on('close', () => open.delete(s));
    }
    near.on('error', () => far.destroy());
    far.on('error', (e) => {
      o.log.debug({ err: e, upstream: o.upstream }, 'registry connection failed');
      near.destroy();
    });
    near.pipe(far);
    far.pipe(near);
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
