/** The routes below /images and /distribution. Source: moby daemon/server/router/{image,distribution}; api/docs/v1.51.yaml. */
import type { Clock, Digest } from '#lib/base';
import { asObject, asString, optional, parseJsonObject } from '#lib/oci';
import { badParameter, type EngineReply, type EngineRequest, type EngineRoute } from '../http/contract.ts';
import { importImage } from './archive/import.ts';
import { type ArchiveParts, loadImages } from './archive/load.ts';
import { saveImages } from './archive/save.ts';
import { inspectDistribution } from './distribution.ts';
import { historyOf, inspectImage, LIST_FILTERS, listImages } from './list.ts';
import { familiar, familiarName, isNameOnly, referenceOf, repoTag, withTagOrDigest } from './names.ts';
import type { ImageRemover, ImageUser } from './remove.ts';
import { registryAuth } from './transfer/auth-header.ts';
import { PROGRESS_TYPE, ProgressStream } from './transfer/progress-stream.ts';
import { pullImages } from './transfer/pull.ts';
import { type PushParts, pushImages } from './transfer/push.ts';

export interface RouteParts extends ArchiveParts, PushParts {
  readonly clock: Clock;
  readonly remover: ImageRemover;
  readonly users: () => readonly ImageUser[];
}

type Handler = (p: RouteParts, r: EngineRequest, reply: EngineReply) => Promise<void>;

const PRUNE_FILTERS = ['dangling', 'label', 'label!', 'until'];
const ROUTES: readonly (readonly [EngineRoute['method'], string, Handler])[] = [
  ['GET', '/images/json', list],
  ['GET', '/images/search', search],
  ['GET', '/images/get', save],
  ['GET', '/images/{name*}/get', save],
  ['GET', '/images/{name*}/json', inspect],
  ['GET', '/images/{name*}/history', history],
  ['POST', '/images/create', create],
  ['POST', '/images/load', load],
  ['POST', '/images/prune', prune],
  ['POST', '/images/{name*}/push', push],
  ['POST', '/images/{name*}/tag', tag],
  ['DELETE', '/images/{name*}', remove],
  ['GET', '/distribution/{name*}/json', distribution],
];

export function imageRoutes(p: RouteParts): readonly EngineRoute[] {
  return ROUTES.map(([method, path, handler]) => ({ method, path, handle: (r, reply) => handler(p, r, reply) }));
}

async function list(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  /* Before 1.25 `filter` was the pattern of a reference; clients of today still send it to old engines. */
  const pattern = r.version < 41 ? r.query.get('filter') : undefined;
  const filters = r.filters(LIST_FILTERS);
  const counts = new Map<Digest, number>();
  for (const { imageId } of p.users()) counts.set(imageId, (counts.get(imageId) ?? 0) + 1);
  const answer = await listImages(p.library, {
    filters,
    pattern,
    version: r.version,
    sharedSize: r.version >= 42 && r.query.bool('shared-size'),
    manifests: r.query.bool('manifests'),
    nowMs: p.clock.now(),
    layers: await p.images.catalog.layerBytes(),
    containersOf: (id) => counts.get(id) ?? 0,
  });
  reply.json(200, answer);
}

/** There is no index of images to be searched. */
async function search(_p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  if (r.query.int('limit', 0) < 0) throw badParameter('invalid limit specified');
  reply.json(200, []);
}

async function inspect(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const image = p.library.find(name(r));
  const read = await p.library.document(image);
  const layers = await p.images.catalog.layerBytes();
  reply.json(200, inspectImage(image, read, { version: r.version, layers }));
}

async function history(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const image = p.library.find(name(r));
  const read = await p.library.document(image);
  reply.json(200, historyOf(image, read, { layers: await p.images.catalog.layerBytes() }));
}

/** A pull or an import. */
async function create(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const from = r.query.get('fromImage') ?? '';
  const platform = r.query.get('platform') ?? '';
  await streamed(p, reply, async (output) => {
    if (from === '') {
      const reference = repoTag(r.query.get('repo'), r.query.get('tag'));
      const message = r.query.get('message') ?? '';
      const source = r.query.get('fromSrc') ?? '';
      const changes = r.query.all('changes');
      const id = await importImage(p, { source, body: r.body, reference, message, changes, platform }, r.c);
      output().status(id);
      return;
    }
    const text = from.replace(/:$/, '');
    const said = r.query.get('tag');
    const reference = withTagOrDigest(text, said);
    const allTags = (said === undefined || said === '') && isNameOnly(text);
    const credentials = registryAuth(r.headers['x-registry-auth']);
    await pullImages(p, { reference, allTags, platform, credentials, output }, r.c);
  });
}

async function push(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const said = r.query.get('tag') ?? '';
  const reference = said === '' ? referenceOf(name(r)) : repoTag(name(r), said);
  if (reference === undefined) throw badParameter('invalid reference format');
  if (reference.digest !== undefined) throw badParameter('cannot push a digest reference');
  const allTags = said === '' && isNameOnly(name(r));
  const credentials = registryAuth(r.headers['x-registry-auth']);
  await streamed(p, reply, (output) => pushImages(p, { reference, allTags, credentials, output: output() }, r.c));
}

async function tag(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const reference = repoTag(r.query.get('repo'), r.query.get('tag'));
  if (reference === undefined) throw badParameter('repository name must have at least one component');
  if (familiarName(reference) === 'sha256')
    throw badParameter('refusing to create an ambiguous tag using digest algorithm as name');
  const image = p.library.find(name(r));
  await p.images.catalog.tag(image.record, reference);
  await p.events.emit('tag', image, { name: familiar(reference) });
  reply.empty(201);
}

async function remove(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  if (name(r).trim() === '') throw badParameter('image name cannot be blank');
  reply.json(200, await p.remover.remove(name(r), { force: r.query.bool('force') }, r.c));
}

async function prune(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const { removed, freedBytes } = await p.remover.prune(r.filters(PRUNE_FILTERS), r.c);
  reply.json(200, { ImagesDeleted: removed.length === 0 ? null : removed, SpaceReclaimed: freedBytes });
}

async function save(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const names = r.params['name'] === undefined ? r.query.all('names') : [name(r)];
  await saveImages(p, names, () => reply.stream('application/x-tar'), r.c);
}

async function load(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const quiet = r.query.get('quiet');
  const isQuiet = quiet === undefined || r.query.bool('quiet');
  const platform = platformOf(r.query.get('platform'));
  await streamed(p, reply, (output) => loadImages(p, { body: r.body, isQuiet, platform, output }, r.c));
}

async function distribution(p: RouteParts, r: EngineRequest, reply: EngineReply): Promise<void> {
  const credentials = registryAuth(r.headers['x-registry-auth']);
  reply.json(200, await inspectDistribution(p.images, { name: name(r), credentials }, r.c));
}

/** What fails before the first line is an HTTP status; then a line. */
async function streamed(
  p: RouteParts,
  reply: EngineReply,
  run: (output: () => ProgressStream) => Promise<void>,
): Promise<void> {
  let stream: ProgressStream | undefined;
  const output = (): ProgressStream => {
    stream ??= new ProgressStream(reply.stream(PROGRESS_TYPE), p.clock);
    return stream;
  };
  try {
    await run(output);
    output();
  } catch (e) {
    if (stream === undefined) throw e;
    stream.error(e);
  }
  stream?.end();
}

function name(r: EngineRequest): string {
  return r.params['name'] ?? '';
}

/** JSON of an OCI platform since 1.48; `linux/amd64`. */
function platformOf(text: string | undefined): string {
  if (text === undefined || text === '') return '';
  const o = asObject(parseJsonObject(Buffer.from(text), 'platform'), 'platform');
  const part = (key: string): string => optional(o[key], asString, key) ?? '';
  return `${part('os')}/${part('architecture')}`;
}
