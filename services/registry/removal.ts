/** A manifest out of a repository, with every tag that stands for it (spec.md "Deleting Manifests"). The caller holds the repository's lock. */
import type { AnyDigest } from '#lib/oci';
import type { Repository } from './repository.ts';

/** False when it was not there. Tags go first: a crash in between leaves none that stands for nothing. */
export async function removeManifest(repository: Repository, digest: AnyDigest): Promise<boolean> {
  const link = await repository.manifest(digest);
  if (!link) return false;
  for (const tag of await repository.tags())
    if ((await repository.tag(tag)) === digest) await repository.removeTag(tag);
  if (link.subject !== undefined) await repository.removeReferrer(link.subject, digest);
  return repository.unlinkManifest(digest);
}
