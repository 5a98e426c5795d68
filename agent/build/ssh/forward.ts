/** The socket by which one step asks an SSH agent. It may list keys and have things signed; the agent's other powers stay outside. */
import { once, setMaxListeners } from 'node:events';
import { chmod, chown, open } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { type Ctx, messageOf } from '#lib/base';
import { AGENT, framed, messagesOf, type SshAgent } from './agent.ts';

/** A step that opens more waits for none: they are closed. */
const CONNECTIONS_MAX = 64;
const FAILURE = Buffer.of(AGENT.failure);

export interface AgentSocket {
  /** That others cannot enter. */
  readonly folder: string;
  readonly name: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Disposing ends what is asked and closes the socket. */
export async function forwardAgent(agent: SshAgent, o: AgentSocket, c: Ctx): Promise<AsyncDisposable> {
  const folder = await open(o.folder);
  const stop = new AbortController();
  setMaxListeners(CONNECTIONS_MAX, stop.signal);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serve(agent, socket, stop.signal).catch((e: unknown) => {
      c.log.debug({ err: messageOf(e) }, 'a step and its SSH agent');
      socket.destroy();
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  const close = async (): Promise<void> => {
    stop.abort();
    for (const socket of sockets) socket.destroy();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
    await folder.close();
  };
  try {
    // The path of a socket has 107 bytes at most.
    server.listen(`/proc/self/fd/${folder.fd}/${o.name}`);
    await once(server, 'listening');
    const path = join(o.folder, o.name);
    await chown(path, o.uid, o.gid);
    await chmod(path, o.mode);
  } catch (e) {
    await close();
    throw e;
  }
  return { [Symbol.asyncDispose]: close };
}

async function serve(agent: SshAgent, socket: Socket, signal: AbortSignal): Promise<void> {
  for await (const request of messagesOf(socket)) {
    const isAllowed = request[0] === AGENT.listKeys || request[0] === AGENT.sign;
    socket.write(framed(isAllowed ? await agent.ask(request, signal).catch(() => FAILURE) : FAILURE));
  }
  socket.end();
}
