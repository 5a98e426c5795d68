/**
 * One forwarded connection into a pod or to the node itself, dialled by the node. A program that listens only on the pod's own
 * loopback is not reached this way (upstream's kubelet dials from inside the network namespace).
 */
import { connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { StreamIo } from '../session/session.ts';
import type { PodDeps } from './deps.ts';

export interface ForwardTarget {
  readonly address: string;
  readonly port: number;
  /** For the error. */
  readonly where: 'inside the pod' | 'of the node';
}

const CONNECT_LIMIT_MS = 10_000;

export async function forwardPort(d: PodDeps, t: ForwardTarget, io: StreamIo, c: Ctx): Promise<void> {
  const socket = await dial(d, t, c);
  const cut = (): void => {
    socket.destroy();
  };
  c.signal.addEventListener('abort', cut, { once: true });
  try {
    await Promise.allSettled([pipeline(io.stdin, socket), pipeline(socket, io.stdout)]);
  } finally {
    c.signal.removeEventListener('abort', cut);
    socket.destroy();
  }
}

function dial(d: PodDeps, t: ForwardTarget, c: Ctx): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: t.address, port: t.port, allowHalfOpen: true });
    const limit = d.clock.after(CONNECT_LIMIT_MS, () => socket.destroy(new Error('connection timed out')));
    const onError = (e: Error): void => {
      limit.cancel();
      reject(
        new StatusError('Unavailable', `failed to connect to ${t.address}:${t.port} ${t.where}: ${messageOf(e)}`, {
          cause: e,
        }),
      );
    };
    socket.once('error', onError);
    socket.once('connect', () => {
      limit.cancel();
      socket.off('error', onError);
      socket.on('error', () => undefined);
      if (c.signal.aborted) socket.destroy();
      resolve(socket);
    });
  });
}
