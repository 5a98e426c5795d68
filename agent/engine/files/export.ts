/** `docker export` and `docker diff`. Source: moby daemon/{export,changes}.go. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type Ctx, StatusError } from '#lib/base';
import { BUILD_ROOT, ENGINE_ROOT } from '../../images/images.ts';
import { exportRoot, listUpper } from '../../kernel/linux/container-files.ts';
import { type EngineReply, type EngineRequest, type EngineRoute, notFound } from '../http/contract.ts';
import type { EngineContainer } from '../parts.ts';
import { changesOf, hiddenPaths, type LowerKind, type PlacedEntry } from './changes.ts';
import { containerEvent } from './events.ts';
import type { FilesParts } from './open.ts';
import { mountTargets } from './root-view.ts';

/** A container that has written more is told so. */
const ENTRIES_MAX = 2_000_000;
/** Of all their paths together. */
const PATHS_CHARS_MAX = 128 << 20;

export function exportRoutes(parts: FilesParts): readonly EngineRoute[] {
  return [
    { method: 'GET', path: '/containers/{id}/export', handle: (r, reply) => serveExport(parts, r, reply) },
    { method: 'GET', path: '/containers/{id}/changes', handle: (r, reply) => serveChanges(parts, r, reply) },
  ];
}

async function serveExport(parts: FilesParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const container = parts.containers.find(r.params['id'] ?? '');
  const tar = await exportRoot(parts.host.kernel.helper, await container.mountRoot(r.c), r.c);
  parts.events.emit(containerEvent(container, 'export'));
  await pipeline(tar, reply.stream('application/octet-stream'), { signal: r.c.signal });
}

async function serveChanges(parts: FilesParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const container = parts.containers.find(r.params['id'] ?? '');
  const entries = await writtenBy(parts, container, r.c);
  reply.json(200, changesOf(entries, hiddenPaths(entries, mountTargets(container))));
}

/** Where on the host lies what the container has written. */
export function upperOf(parts: FilesParts, container: EngineContainer): string {
  const upper = parts.host.images.writableLayer(`${ENGINE_ROOT}${container.id}`);
  if (upper !== undefined) return upper;
  throw new StatusError('Unavailable', 'overlayfs does not work here: what a container has written is not known');
}

/** All of it, with what the image has in the same places. */
export async function writtenBy(
  parts: FilesParts,
  container: EngineContainer,
  c: Ctx,
): Promise<readonly PlacedEntry[]> {
  const { host, images } = parts;
  await container.mountRoot(c);
  const base = await images.byId(container.record.imageId, c);
  if (base === undefined) throw notFound(`No such image: ${container.record.imageId}`);
  const id = `${BUILD_ROOT}${host.random.hex(16)}`;
  const lower = await host.images.mountRoot(id, base.image, c);
  try {
    return await placed(lower, listUpper(host.kernel.helper, upperOf(parts, container), c));
  } finally {
    await host.images.removeRoot(id, { ...c, signal: new AbortController().signal });
  }
}

async function placed(
  lower: string,
  written: AsyncIterable<{ readonly kind: PlacedEntry['kind']; readonly path: string }>,
): Promise<readonly PlacedEntry[]> {
  const out: PlacedEntry[] = [];
  /** Those of the image too: only below them its names are looked at, so that no link of it is followed. */
  const folders = new Set(['']);
  let chars = 0;
  for await (const { kind, path } of written) {
    if (out.length === ENTRIES_MAX)
      throw new StatusError('TooLarge', `the container has written more than ${ENTRIES_MAX} files`);
    chars += path.length;
    if (chars > PATHS_CHARS_MAX)
      throw new StatusError(
        'TooLarge',
        `the container has written files whose paths have more than ${PATHS_CHARS_MAX} characters`,
      );
    const isBelow = folders.has(path.slice(0, path.lastIndexOf('/')));
    const found: LowerKind = isBelow ? await kindOf(join(lower, path)) : undefined;
    if (found === 'folder' && kind === 'folder') folders.add(path);
    out.push({ kind, path, lower: found });
  }
  return out;
}

async function kindOf(path: string): Promise<LowerKind> {
  const s = await lstat(path).catch((e: unknown) => {
    if (e instanceof Error && 'code' in e && (e.code === 'ENOENT' || e.code === 'ENOTDIR')) return undefined;
    throw e;
  });
  return s === undefined ? undefined : s.isDirectory() ? 'folder' : 'other';
}
