import { connect, type Socket } from 'node:net';
import { StatusError } from '#lib/base';

/** Absent, left over, or its listener ended between the kernel's word and ours (a connection that it never took is reset). */
const NOBODY = new Set(['ENOENT', 'ENOTDIR', 'ECONNREFUSED', 'ECONNRESET']);

/** Undefined when nobody listens at the path. */
export async function connectUnix(path: string): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    const onError = (e: NodeJS.ErrnoException): void => {
      if (NOBODY.has(e.code ?? '')) resolve(undefined);
      else reject(new StatusError('Unavailable', `cannot reach the supervisor at ${path}: ${e.message}`, { cause: e }));
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      socket.off('error', onError);
      resolve(socket);
    });
  });
}
