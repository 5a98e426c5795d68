/**
 * A manifest into a repository. Order of writing: content, referrer entry, link, tags; a crash between any two leaves nothing
 * visible that is not whole. The caller holds the repository's lock and the digest's lease.
 */
import type { Random } from '#lib/base';
import { type AnyDigest, algorithmOf, type ContentStore, descriptorJson, type Index, type Manifest } from '#lib/oci';
import type { Repository } from './repository.ts';

export interface NewManifest {
  readonly manifest: Manifest | Index;
  readonly digest: AnyDigest;
  readonly bytes: Buffer;
  readonly tags: readonly string[];
}

export async function storeManifest(
  to: { readonly content: ContentStore; readonly random: Random; readonly repository: Repository },
  { manifest, digest, bytes, tags }: NewManifest,
): Promise<void> {
  const { content, random, repository } = to;
  const ingest = await content.begin(`manifest-${random.uuid()}`, { algorithm: algorithmOf(digest) });
  await ingest.write(bytes);
  await ingest.commit({ digest, sizeBytes: bytes.length });
  const subject = manifest.subject?.digest;
  if (subject !== undefined)
    await repository.addReferrer(subject, digest, JSON.stringify(referrerOf(manifest, digest, bytes.length)));
  await repository.linkManifest(digest, { mediaType: manifest.mediaType, subject });
  for (const tag of tags) await repository.setTag(tag, digest);
}

/** The descriptor listed by the referrers API (spec.md "Listing Referrers"). */
function referrerOf(m: Manifest | Index, digest: AnyDigest, sizeBytes: number): object {
  const artifactType = m.artifactType || (m.type === 'manifest' ? m.config.mediaType : undefined);
  return descriptorJson({ mediaType: m.mediaType, digest, sizeBytes, artifactType, annotations: m.annotations });
}
