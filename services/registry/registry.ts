/**
 * The image registry: OCI distribution spec 1.1 over node:http, content-addressed on disk, crash-safe. It runs in a process
 * of its own (main.ts), because hashing blobs must not delay the API, and imports little, because it mostly idles.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Clock, Logger, Random } from '#lib/base';
import { StatusError } from '#lib/base';
import { FolderContentStore } from '#lib/oci';
import { sendError } from './errors.ts';
import type { RegistryState } from './exchange.ts';
import { Repositories } from './repository.ts';
import { route } from './routes.ts';
import { Uploads } from './uploads.ts';

export interface RegistryOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** Everything the registry keeps lies below; made when absent. */
  readonly folder: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: Random;
  /** PEM; absent = plain http. */
  readonly tls?: { readonly key: string; readonly cert: string } | undefined;
}

export interface Registry extends AsyncDisposable {
  /** `http://127.0.0.1:5000`, with the port that was really taken. */
  readonly url: string;
  /** host:port, as it stands at the head of an image reference. */
  readonly host: string;
}

/** A connection without a byte for so long is cut. */
const IDLE_MS = 5 * 60 * 1000;
/** How long requests may take to end when the registry stops; then their connections are cut. */
const CLOSE_MS = 3000;

/** Resolves when the socket listens. Unavailable when the port is taken. */
export async function startRegistry(o: RegistryOptions): Promise<Registry> {
  const content = await FolderContentStore.open(join(o.folder, 'content'), { keepIngests: true });
  const repositories = await Repositories.open(join(o.folder, 'repositories'));
  const { clock, random, log } = o;
  const uploads = new Uploads({ content, clock, random, log });
  const state: RegistryState = { content, repositories, uploads, clock, random, log };
  const listener = (req: IncomingMessage, res: ServerResponse): void => {
    answer(state, req, res).catch((e: unknown) => log.error({ err: e }, 'a request could not be answered'));
  };
  const limits = { requestTimeout: 0, headersTimeout: 60_000, keepAliveTimeout: 75_000, highWaterMark: 256 * 1024 };
  const server = o.tls
    ? (await import('node:https')).createServer({ ...limits, ...o.tls }, listener)
    : createServer(limits, listener);
  server.setTimeout(IDLE_MS); // a client that stalls in the middle of a chunk must not hold its upload for ever
  try {
    await listen(server, o.listen.host, o.listen.port);
  } catch (e) {
    await uploads[Symbol.asyncDispose]();
    const text = `the registry cannot listen on ${o.listen.host}:${o.listen.port}: ${String(e)}`;
    throw new StatusError('Unavailable', text, { cause: e });
  }
  const host = `${o.listen.host.includes(':') ? `[${o.listen.host}]` : o.listen.host}:${portOf(server)}`;
  let closing: Promise<void> | undefined;
  return {
    url: `${o.tls ? 'https' : 'http'}://${host}`,
    host,
    [Symbol.asyncDispose]: () => {
      closing ??= close(server, clock).then(() => uploads[Symbol.asyncDispose]());
      return closing;
    },
  };
}

async function answer(state: RegistryState, req: IncomingMessage, res: ServerResponse): Promise<void> {
  res.setHeader('docker-distribution-api-version', 'registry/2.0');
  try {
    const method = req.method ?? 'GET';
    const url = new URL(req.url ?? '/', 'http://registry');
    const { name, reference, handler } = route(method, url.pathname);
    const repository = state.repositories.get(name);
    await handler({ ...state, req, res, method, query: url.searchParams, repository, reference });
  } catch (e) {
    sendError(req, res, e, state.log);
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
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
