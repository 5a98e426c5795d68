/**
 * Where clients of the engine connect. Who may write to the socket is root on this machine: it is root's and the group's
 * `docker`, where the host has one (moby daemon/listeners/group_unix.go).
 */
import { chmod, chown, mkdir, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { dirname } from 'node:path';
import { StatusError } from '#lib/base';

export interface Listener extends AsyncDisposable {
  /** Of TCP; 0 for a socket file. */
  readonly port: number;
}

const SOCKET_MODE = 0o660;
const FOLDER_MODE = 0o755;
const GROUP = 'docker';
const KEEP_ALIVE_MS = 30_000;

/** A socket file whose owner is dead is replaced; throws Conflict when somebody answers there. */
export async function listenUnix(path: string, onConnection: (socket: Socket) => void): Promise<Listener> {
  await mkdir(dirname(path), { recursive: true, mode: FOLDER_MODE });
  if (await isAnswered(path)) throw new StatusError('Conflict', `another engine answers at ${path}`);
  await rm(path, { force: true });
  const listener = await listen({ path }, onConnection);
  try {
    await chmod(path, SOCKET_MODE);
    const group = await groupId(GROUP);
    if (group !== undefined) await chown(path, 0, group);
  } catch (e) {
    await listener[Symbol.asyncDispose]();
    throw e;
  }
  return listener;
}

export function listenTcp(
  address: { readonly host: string; readonly port: number },
  onConnection: (socket: Socket) => void,
): Promise<Listener> {
  return listen(address, onConnection);
}

async function listen(
  address: { readonly path: string } | { readonly host: string; readonly port: number },
  onConnection: (socket: Socket) => void,
): Promise<Listener> {
  const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_MS };
  const server = createServer(options, onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(address, () => {
      server.off('error', reject);
      resolve();
    });
  });
  /* Of a single connection that could not be accepted (no more files): the others go on. */
  server.on('error', () => undefined);
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    [Symbol.asyncDispose]: () => stopListening(server),
  };
}

/** Connections are whose they were given to. */
async function stopListening(server: Server): Promise<void> {
  server.close();
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => settle(true));
    /* No file, no socket, or nobody behind it. */
    socket.once('error', () => settle(false));
  });
}

/** undefined: the host has no such group. */
export async function groupId(name: string, path = '/etc/group'): Promise<number | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  for (const line of text.split('\n')) {
    const [group, , id = ''] = line.split(':');
    if (group === name && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}
