/** A node's stream to a port, for tests: straight to a port of this host. */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { NodeStream } from '#lib/client';

export async function portStream(port: number): Promise<NodeStream> {
  const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  await once(socket, 'connect');
  return {
    stdin: socket,
    stdout: socket,
    stderr: socket,
    result: new Promise(() => undefined),
    resize: () => undefined,
    [Symbol.asyncDispose]: async () => void socket.destroy(),
  };
}
