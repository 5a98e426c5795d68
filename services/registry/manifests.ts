/**
 * Manifests and indexes: stored byte for byte, read by tag or digest, never converted (spec.md "Pulling manifests", "Pushing
 * Manifests", "Deleting Manifests"). A manifest's config and layers must be here; a subject and an index's children need not.
 */
import { isKind } from '#lib/base';
import {
  type AnyDigest,
  algorithmOf,
  type Descriptor,
  digestBytes,
  isNonDistributable,
  isTag,
  MANIFEST_BYTES_MAX,
  type Manifest,
  parseManifest,
} from '#lib/oci';
import { requireRight } from './access/require.ts';
import { invalidAs, registryError } from './errors.ts';
import { digestParameter, type Exchange, readBody, reply, replyBytes } from './exchange.ts';
import { type NewManifest, storeManifest } from './manifest-store.ts';
import { removeManifest } from './removal.ts';

export async function getManifest(x: Exchange): Promise<void> {
  const digest = await resolve(x);
  const link = digest && (await x.repository.manifest(digest));
  if (!digest || !link)
    throw registryError('MANIFEST_UNKNOWN', `manifest unknown: ${x.repository.name} ${x.reference}`);
  const bytes = await x.recentManifests
    .read(digest, () => x.content.readAll(digest, MANIFEST_BYTES_MAX))
    .catch((e: unknown) => {
      throw isKind(e, 'NotFound') ? registryError('MANIFEST_UNKNOWN') : e;
    });
  if (bytes === undefined) throw registryError('MANIFEST_UNKNOWN');
  replyBytes(x, bytes, {
    'content-type': link.mediaType,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
  });
}

export async function putManifest(x: Exchange): Promise<void> {
  const wanted = x.reference.includes(':') ? digestParameter(x.reference) : undefined;
  const tags = wanted === undefined ? [x.reference] : x.query.getAll('tag');
  for (const tag of tags)
    if (!isTag(tag)) throw registryError('MANIFEST_INVALID', `"${tag.slice(0, 200)}" is not a tag`);
  const bytes = await readBody(x.req, MANIFEST_BYTES_MAX);
  const digest = digestBytes(wanted === undefined ? 'sha256' : algorithmOf(wanted), bytes);
  if (wanted !== undefined && digest !== wanted)
    throw registryError('DIGEST_INVALID', `the manifest's digest is ${digest}, not ${wanted}`);
  const manifest = await invalidAs('MANIFEST_INVALID', () => parseManifest(bytes, x.req.headers['content-type']));
  const named = manifest.type === 'manifest' ? [manifest.config, ...manifest.layers].map((d) => d.digest) : [];
  const change = (): Promise<void> => keepManifest(x, { manifest, digest, bytes, tags });
  await x.repositories.lock(x.repository.name, () => x.leases.hold([digest, ...named], change));
  reply(x, 201, {
    location: `/v2/${x.repository.name}/manifests/${wanted ?? x.reference}`,
    'docker-content-digest': digest,
    ...(manifest.subject && { 'oci-subject': manifest.subject.digest }),
    ...(wanted !== undefined && tags.length > 0 && { 'oci-tag': tags.join(', ') }),
  });
}

async function keepManifest(x: Exchange, { manifest, digest, bytes, tags }: NewManifest): Promise<void> {
  if (manifest.type === 'manifest') await requireBlobs(x, manifest);
  for (const tag of tags) await requireMove(x, tag, digest);
  await x.quotas.take(x.repository.name, digest, bytes.length);
  await storeManifest(x, { manifest, digest, bytes, tags });
}

/** A tag alone, or a digest with every tag that stands for it. */
export async function deleteManifest(x: Exchange): Promise<void> {
  const removed = await x.repositories.lock(x.repository.name, async () => {
    if (!x.reference.includes(':')) return isTag(x.reference) && x.repository.removeTag(x.reference);
    return removeManifest(x.repository, digestParameter(x.reference));
  });
  if (!removed) throw registryError('MANIFEST_UNKNOWN');
  reply(x, 202, {});
}

async function resolve(x: Exchange): Promise<AnyDigest | undefined> {
  if (x.reference.includes(':')) return digestParameter(x.reference);
  return isTag(x.reference) ? x.repository.tag(x.reference) : undefined;
}

/** To give an existing tag another meaning needs a right of its own: who may only create cannot replace what runs. */
async function requireMove(x: Exchange, tag: string, digest: AnyDigest): Promise<void> {
  const now = await x.repository.tag(tag);
  if (now !== undefined && now !== digest) await requireRight(x, 'update');
}

async function requireBlobs(x: Exchange, manifest: Manifest): Promise<void> {
  for (const d of [manifest.config, ...manifest.layers]) {
    if (isNonDistributable(d.mediaType) || (await isHeld(x, d))) continue;
    throw registryError(
      'MANIFEST_BLOB_UNKNOWN',
      `the manifest names ${d.digest}, which is not in ${x.repository.name}`,
    );
  }
}

async function isHeld(x: Exchange, d: Descriptor): Promise<boolean> {
  return (await x.repository.hasBlob(d.digest)) && (await x.content.stat(d.digest)) !== undefined;
}
