/**
 * `GET /images/get?names=`, `GET /images/{name}/get`: Docker's archive, which is an OCI layout as well. A repository without a tag
 * stands for all of its tags; an id for the image without names. Source: moby daemon/internal/image/tarexport/save.go.
 */
import { stat } from 'node:fs/promises';
import { Readable, type Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Ctx, type Digest, StatusError } from '#lib/base';
import { parseReference } from '#lib/oci';
import type { FinishedImage } from '../../../build/node/finish.ts';
import { archiveOf } from '../../../build/output/archive.ts';
import { badParameter } from '../../http/contract.ts';
import { isNameOnly, referenceOf } from '../names.ts';
import type { ArchiveParts } from './load.ts';

const NAMES_MAX = 1_000;

/** Errors before the first byte are the caller's to answer: `begin` is called when all is there. */
export async function saveImages(
  parts: ArchiveParts,
  names: readonly string[],
  begin: () => Writable,
  c: Ctx,
): Promise<void> {
  if (names.length === 0) throw badParameter('no image was named');
  if (names.length > NAMES_MAX) throw badParameter(`more than ${NAMES_MAX} images were named`);
  const wanted = wantedImages(parts, names);
  using session = parts.images.builds.session();
  const images: FinishedImage[] = [];
  for (const [id, references] of wanted) {
    const { config, layers, manifest } = await session.stored(id);
    for (const { path, blob } of layers)
      if ((await stat(path).catch(() => undefined))?.size !== blob.sizeBytes)
        throw new StatusError('Internal', `layer ${blob.digest} of image ${id} is not on this node any more`);
    images.push({ id, references: [...references].sort(), config, layers, manifest });
  }
  for (const { id } of images) {
    const found = parts.library.byId(id);
    if (found) await parts.events.emit('save', found);
  }
  await pipeline(Readable.from(archiveOf(images, 'docker'), { objectMode: false }), begin(), { signal: c.signal });
}

/** Images with the names that are to stand in the archive. */
function wantedImages(parts: ArchiveParts, names: readonly string[]): ReadonlyMap<Digest, ReadonlySet<string>> {
  const out = new Map<Digest, Set<string>>();
  const add = (id: Digest, reference: string | undefined): void => {
    const known = out.get(id) ?? new Set();
    out.set(id, known);
    if (reference !== undefined) known.add(reference);
  };
  for (const text of names) {
    const ofRepository = isNameOnly(text) ? tagsOf(parts, text) : [];
    for (const r of ofRepository) add(r.id, r.reference);
    if (ofRepository.length > 0) continue;
    const { id, isById, record } = parts.library.find(text);
    add(id, isById || record.reference.includes('@') ? undefined : record.reference);
  }
  return out;
}

function tagsOf(parts: ArchiveParts, text: string): readonly { id: Digest; reference: string }[] {
  if (/^(sha256:)?[0-9a-f]{64}$/.test(text)) return [];
  const { host, repository } = referenceOf(text);
  return parts.images.catalog.records().filter((r) => {
    if (r.reference.includes('@') || r.reference.startsWith('sha256:')) return false;
    const own = parseReference(r.reference);
    return own.host === host && own.repository === repository;
  });
}
