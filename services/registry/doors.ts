/**
 * The sockets at which the registry answers, each a door of its own (access/caller.ts). Loopback takes whoever is on this machine. The
 * others are unix sockets in a folder that only root may enter: what comes by `node.sock` and `outside.sock` has been told apart, by
 * its certificate, by who passes it on (cli/registry-door.ts); `admin.sock` is for the commands of this machine's administrator.
 */

import { rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { ListenOptions } from 'node:net';
import { join } from 'node:path';
import { type Clock, makePrivateFolder, StatusError } from '#lib/base';
import type { Door } from './access/caller.ts';

/** PEM. */
export interface DoorTls {
  readonly key: string;
  readonly cert: string;
}

export type DoorListener = (door: Door, req: IncomingMessage, res: ServerResponse) => void;

/** A connection without a byte for so long is cut. */
const IDLE_MS = 5 * 60 * 1000;
/** How long requests may take to end when the registry stops; then their connections are cut. */
const CLOSE_MS = 3000;
const LIMITS = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 75_000, highWaterMark: 64 * 1024 };

export class Doors implements AsyncDisposable {
  readonly #clock: Clock;
  readonly #listener: DoorListener;
  readonly #servers: Server[] = [];

  constructor(o: { readonly clock: Clock; readonly listener: DoorListener }) {
    this.#clock = o.clock;
    this.#listener = o.listener;
  }

  /** Gives the port. Unavailable when it is taken. */
  async openLoopback(at: { host: string; port: number }, tls: DoorTls | undefined): Promise<number> {
    try {
      return portOf(await this.#open('machine', at, tls));
    } catch (e) {
      const text = `the registry cannot listen on ${at.host}:${at.port}: ${String(e)}`;
      throw new StatusError('Unavailable', text, { cause: e });
    }
  }

  /** Sockets that an earlier registry has left are taken over. */
  async openSockets(folder: string): Promise<void> {
    await makePrivateFolder(folder);
    const sockets: readonly (readonly [string, Door])[] = [
      ['node.sock', 'machine'],
      ['outside.sock', 'outside'],
      ['admin.sock', 'admin'],
    ];
    for (const [name, door] of sockets) {
      const path = join(folder, name);
      await rm(path, { force: true });
      await this.#open(door, { path }, undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#servers.map((s) => close(s, this.#clock)));
  }

  async #open(door: Door, at: ListenOptions, tls: DoorTls | undefined): Promise<Server> {
    const listener = (req: IncomingMessage, res: ServerResponse): void => this.#listener(door, req, res);
    const server = tls
      ? (await import('node:https')).createServer({ ...LIMITS, ...tls }, listener)
      : createServer(LIMITS, listener);
    server.setTimeout(IDLE_MS); // a client that stalls in the middle of a chunk must not hold its upload for ever
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(at, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.#servers.push(server);
    return server;
  }
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

async function close(server: Server, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  using _cut = clock.after(CLOSE_MS, () => server.closeAllConnections());
  await closed;
}
