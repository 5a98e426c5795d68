/**
 * `docker commit`: what a container has written becomes a layer over its image's. It is packed while the container's processes are
 * stopped, unless the client says otherwise. Source: moby daemon/commit.go, daemon/server/router/container/container_routes.go.
 */
import { createReadStream } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, timeText } from '#lib/base';
import { formatReference, parseConfig, parseJsonObject, readTar, type TarEntry, writeTar } from '#lib/oci';
import { configDocument, readHistory } from '../../build/stage/config.ts';
import type { BuiltLayer } from '../../images/build-store.ts';
import { configOf } from '../containers/create/decode.ts';
import { pausedMark } from '../containers/paused-mark.ts';
import { type EngineReply, type EngineRequest, type EngineRoute, notFound } from '../http/contract.ts';
import { familiar, repoTag } from '../images/names.ts';
import type { EngineContainer } from '../parts.ts';
import { hiddenPaths } from './changes.ts';
import { commitConfig } from './commit-config.ts';
import { containerEvent } from './events.ts';
import { upperOf, writtenBy } from './export.ts';
import type { FilesParts } from './open.ts';
import { mountTargets } from './root-view.ts';

export function commitRoute(parts: FilesParts): EngineRoute {
  return { method: 'POST', path: '/commit', handle: (r, reply) => serveCommit(parts, r, reply) };
}

async function serveCommit(parts: FilesParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const { events, host } = parts;
  const { query, c } = r;
  const body = await r.json();
  const container = parts.containers.find(query.get('container') ?? '');
  const reference = repoTag(query.get('repo'), query.get('tag'));
  const base = await parts.images.byId(container.record.imageId, c);
  if (base === undefined) throw notFound(`No such image: ${container.record.imageId}`);
  using session = host.images.builds.session();
  const below = await session.image(base.image.reference, { pull: false }, c);
  const image = parseJsonObject(below.config, 'image config');
  const author = query.get('author') ?? '';
  const config = commitConfig({
    ...{ image, container: container.record.config, author },
    given: body === undefined ? undefined : configOf(body, 'config'),
    changes: query.all('changes').flatMap((text) => text.split('\n').filter((line) => line.trim() !== '')),
  });
  const isStopped = query.get('pause') === undefined || query.bool('pause');
  const tar = await packed(parts, container, { isStopped }, c);
  let layer: BuiltLayer;
  try {
    layer = await session.addLayer(below.layers, tar.open(), c);
  } finally {
    await rm(tar.path, { force: true });
  }
  const layers = [...below.layers, layer];
  const createdMs = c.clock.now();
  const { path, args } = container.record;
  const createdBy = [path, ...args].join(' ');
  const entry = { created: timeText(createdMs), createdBy, comment: query.get('comment') ?? '', emptyLayer: false };
  const { platform } = parseConfig(below.config);
  const document = configDocument({
    ...{ config, platform, createdMs },
    diffIds: layers.map((l) => l.diffId),
    history: [...readHistory(image), entry],
  });
  const references = reference === undefined ? [] : [formatReference(reference)];
  const bytes = Buffer.from(JSON.stringify(document));
  const { id } = await session.putImage({ references, config: bytes, layers }, c);
  const imageRef = reference === undefined ? {} : { imageRef: familiar(reference) };
  events.emit(containerEvent(container, 'commit', { comment: entry.comment, imageID: id, ...imageRef }));
  reply.json(201, { Id: id });
}

interface PackedUpper {
  readonly path: string;
  /** Without the places of mounts. */
  open(): AsyncIterable<Uint8Array>;
}

async function packed(
  parts: FilesParts,
  container: EngineContainer,
  o: { readonly isStopped: boolean },
  c: Ctx,
): Promise<PackedUpper> {
  const { host } = parts;
  await container.mountRoot(c);
  const path = join(parts.scratch, `commit-${host.random.hex(16)}`);
  const hidden = await whileStopped(parts, container, o, c, async () => {
    const entries = await writtenBy(parts, container, c);
    await host.kernel.packFolder({ root: upperOf(parts, container), file: path, overlay: true, live: true }, c);
    return hiddenPaths(entries, mountTargets(container));
  });
  return { path, open: () => writeTar(shown(path, hidden)) };
}

/** Its processes go on whatever happens to `fn`; one that users have paused stays so. */
async function whileStopped<T>(
  parts: FilesParts,
  container: EngineContainer,
  o: { readonly isStopped: boolean },
  c: Ctx,
  fn: () => Promise<T>,
): Promise<T> {
  const { kernel, cgroupParent } = parts.host;
  if (!o.isStopped || container.status !== 'running') return await fn();
  const parent = container.record.hostConfig.CgroupParent || cgroupParent;
  const cgroup = `/${parent
    .split('/')
    .filter((p) => p !== '')
    .join('/')}/${container.id}`;
  const mark = pausedMark(join(parts.containersFolder, container.id));
  await writeFile(mark, '', { mode: 0o600 });
  try {
    await kernel.freezer.freeze(cgroup, c);
    return await fn();
  } finally {
    await kernel.freezer.thaw(cgroup, { ...c, signal: new AbortController().signal });
    await rm(mark, { force: true });
  }
}

async function* shown(path: string, hidden: ReadonlySet<string>): AsyncGenerator<TarEntry, void, void> {
  for await (const entry of readTar(createReadStream(path))) if (!hidden.has(`/${entry.header.path}`)) yield entry;
}
