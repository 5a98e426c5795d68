/**
 * `POST /images/create?fromSrc=`: a root file system in a tar, maybe compressed, becomes an image of one layer. From the body (`-`)
 * alone: what is at a URL the client fetches better itself. Source: moby daemon/images/image_import.go.
 */
import type { Readable } from 'node:stream';
import { type Ctx, type Digest, isKind, messageOf, timeText } from '#lib/base';
import { formatReference, localPlatform, type Reference } from '#lib/oci';
import { applyChanges } from '../../../build/stage/changes.ts';
import { configDocument, EMPTY_CONFIG } from '../../../build/stage/config.ts';
import { isPlatform } from '../../../images/platform.ts';
import { badParameter } from '../../http/contract.ts';
import type { ArchiveParts } from './load.ts';
import { openArchive } from './open-archive.ts';

export interface ImportRequest {
  readonly source: string;
  readonly body: Readable;
  readonly reference: Reference | undefined;
  readonly message: string;
  readonly changes: readonly string[];
  /** '' = this machine's. */
  readonly platform: string;
}

export async function importImage(parts: ArchiveParts, r: ImportRequest, c: Ctx): Promise<Digest> {
  if (r.source !== '-')
    throw badParameter(`cannot import from ${r.source}: fetch it and send it instead (curl URL | docker import -)`);
  const platform = localPlatform();
  if (r.platform !== '' && !isPlatform(r.platform, platform))
    throw badParameter(
      `platform ${r.platform} cannot run here: this engine runs ${platform.os}/${platform.architecture}`,
    );
  const config = changed(r.changes);
  using session = parts.images.builds.session();
  await using archive = await openArchive(r.body, { kernel: parts.kernel, draft: () => session.draft() }, c);
  const layer = await session.addLayer([], archive.bytes, c);
  const createdMs = c.clock.now();
  const comment = r.message === '' ? 'Imported from -' : r.message;
  const document = configDocument({
    ...{ config, platform, createdMs, diffIds: [layer.diffId] },
    history: [{ created: timeText(createdMs), createdBy: '', comment, emptyLayer: false }],
  });
  const references = r.reference === undefined ? [] : [formatReference(r.reference)];
  const bytes = Buffer.from(JSON.stringify(document));
  const { id } = await session.putImage({ references, config: bytes, layers: [layer] }, c);
  const found = parts.library.byId(id);
  if (found) await parts.events.emit('import', found);
  return id;
}

function changed(changes: readonly string[]): typeof EMPTY_CONFIG {
  try {
    return applyChanges(EMPTY_CONFIG, changes);
  } catch (e) {
    if (isKind(e, 'Internal')) throw e;
    throw badParameter(messageOf(e));
  }
}
