/**
 * `docker cp`: HEAD, GET, PUT /containers/{id}/archive. Source: moby daemon/archive_unix.go,
 * daemon/server/router/container/copy.go; docs.docker.com/reference/cli/docker/container/cp.
 */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { isKind, messageOf } from '#lib/base';
import { clipped } from '../../build/context/tree.ts';
import { plainTar } from '../../build/node/archive.ts';
import { readTree, statInRoot, writeTree } from '../../kernel/linux/container-files.ts';
import { resolveUser } from '../../pods/user.ts';
import {
  badParameter,
  EngineError,
  type EngineReply,
  type EngineRequest,
  type EngineRoute,
  notFound,
} from '../http/contract.ts';
import { gathered } from '../http/gathered.ts';
import type { EngineContainer } from '../parts.ts';
import { containerEvent } from './events.ts';
import type { FilesParts } from './open.ts';
import { pathStatHeader } from './path-stat.ts';
import { rootViewOf } from './root-view.ts';

const STAT_HEADER = 'X-Docker-Container-Path-Stat';

export function archiveRoutes(parts: FilesParts): readonly EngineRoute[] {
  const path = '/containers/{id}/archive';
  return [
    { method: 'HEAD', path, handle: (r, reply) => head(parts, r, reply) },
    { method: 'GET', path, handle: (r, reply) => get(parts, r, reply) },
    { method: 'PUT', path, handle: (r, reply) => put(parts, r, reply) },
  ];
}

async function head(parts: FilesParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const { container, path } = asked(parts, r);
  const view = await rootViewOf(container, parts.containersFolder, r.c);
  const stat = await named(r, path, () => statInRoot(parts.host.kernel.helper, view, path, r.c));
  reply.empty(200, { [STAT_HEADER]: pathStatHeader(stat, path) });
}

async function get(parts: FilesParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const { container, path } = asked(parts, r);
  const view = await rootViewOf(container, parts.containersFolder, r.c);
  const { stat, tar } = await named(r, path, () => readTree(parts.host.kernel.helper, view, path, r.c));
  parts.events.emit(containerEvent(container, 'archive-path'));
  const isPacked = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\b)/.test(String(r.headers['accept-encoding'] ?? ''));
  const headers = { [STAT_HEADER]: pathStatHeader(stat, path), ...(isPacked ? { 'Content-Encoding': 'gzip' } : {}) };
  const out = reply.stream('application/x-tar', { headers });
  if (isPacked) await pipeline(tar, createGzip(), out, { signal: r.c.signal });
  else await pipeline(tar, out, { signal: r.c.signal });
}

async function put(parts: FilesParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const { host, containersFolder, events } = parts;
  const { container, path } = asked(parts, r);
  const view = await rootViewOf(container, containersFolder, r.c);
  const owner = r.query.bool('copyUIDGID') ? await ownerOf(container, view.rootfs) : undefined;
  const scratch = join(parts.scratch, host.random.hex(16));
  try {
    const open = (): Promise<Readable> => received(parts, r, scratch);
    const keepsKinds = r.query.bool('noOverwriteDirNonDir');
    await named(r, path, () => writeTree(host.kernel.helper, view, { path, open, keepsKinds, owner }, r.c));
  } finally {
    for (const name of [`${scratch}.packed`, `${scratch}.tar`])
      await host.kernel.removeTree(name, { ...r.c, signal: new AbortController().signal });
  }
  events.emit(containerEvent(container, 'extract-to-dir'));
  reply.empty(200);
}

/** Exported for its test. The rest of a body that is left is dropped as it comes: the connection goes on. */
export async function received(
  parts: { readonly host: Pick<FilesParts['host'], 'kernel'> },
  r: Pick<EngineRequest, 'body' | 'c'>,
  scratch: string,
): Promise<Readable> {
  const tar = await plainTar(
    gathered(r.body, r.c),
    { kernel: parts.host.kernel, path: scratch, what: 'the archive' },
    r.c,
  );
  if (tar === undefined) throw badParameter('the body is no tar archive');
  return Readable.from(tar, { objectMode: false });
}

/** Of the container's own user. */
async function ownerOf(container: EngineContainer, rootfs: string): Promise<{ uid: number; gid: number }> {
  const { uid, gid } = await resolveUser(rootfs, container.record.config.User, undefined, undefined);
  return { uid, gid };
}

function asked(parts: FilesParts, r: EngineRequest): { container: EngineContainer; path: string } {
  const path = r.query.get('path') ?? '';
  if (path === '') throw badParameter('bad parameter: path cannot be empty');
  if (path.includes('\0')) throw badParameter('bad parameter: path holds a NUL');
  return { container: parts.containers.find(r.params['id'] ?? ''), path: absolute(path) };
}

/** A slash or `/.` at the end stays: it asks for what a link leads to, or for what is in a folder. */
export function absolute(path: string): string {
  const clean = `/${clipped(path)}`;
  const end = /(^|\/)\.$/.test(path) ? '/.' : path.endsWith('/') ? '/' : '';
  return clean === '/' ? (end === '/.' ? '/.' : '/') : `${clean}${end}`;
}

async function named<T>(r: EngineRequest, path: string, fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (e) {
    if (isKind(e, 'NotFound')) throw notFound(`Could not find the file ${path} in container ${r.params['id'] ?? ''}`);
    if (isKind(e, 'Forbidden')) throw new EngineError(403, messageOf(e), { cause: e });
    throw e;
  }
}
