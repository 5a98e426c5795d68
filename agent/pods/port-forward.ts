/**
 * One forwarded connection: into a pod's network namespace, as the kubelet does, so that what listens on the pod's loopback
 * alone is reached; to a pod's address, as proxies do; or to a port of the node.
 * Source: kubernetes cri-client port-forward; containerd internal/cri/server/sandbox_portforward_linux.go.
 */
import { pipeline } from 'node:stream/promises';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import type { StreamIo } from '../session/session.ts';
import type { PodDeps } from './deps.ts';

export interface ForwardTarget {
  /** Path of the network namespace; '' is the node's. */
  readonly netns: string;
  /** The first that takes a connection. */
  readonly addresses: readonly string[];
  readonly port: number;
  /** What the error begins with. */
  readonly failure: string;
}

/** Ends when both directions have; a half-close of either side is passed on. A cut resets the connection. */
export async function forwardPort(d: Pick<PodDeps, 'kernel'>, t: ForwardTarget, io: StreamIo, c: Ctx): Promise<void> {
  const { netns, addresses, port } = t;
  const socket = await d.kernel.namespaces.dial(netns, { addresses, port }, c).catch((e: unknown) => {
    if (c.signal.aborted) throw e;
    throw new StatusError('Unavailable', `${t.failure}${messageOf(e)}`, { cause: e });
  });
  socket.on('error', () => undefined);
  const cut = (): void => {
    socket.destroy();
  };
  c.signal.addEventListener('abort', cut, { once: true });
  try {
    if (c.signal.aborted) return;
    await Promise.allSettled([pipeline(io.stdin, socket), pipeline(socket, io.stdout)]);
  } finally {
    c.signal.removeEventListener('abort', cut);
    socket.destroy();
  }
}
