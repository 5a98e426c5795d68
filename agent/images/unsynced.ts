/**
 * Layers and blobs are synced once, when a pull is complete and before its record is written. Those that no record and no root
 * names when the machine was switched off in between may be torn: after another boot they go.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, writeFileAtomic } from '#lib/base';
import type { FolderContentStore } from '#lib/oci';
import { blobsInUse, type Held, layersInUse } from './gc.ts';
import type { Records } from './records.ts';
import type { Snapshotter } from './snapshot.ts';

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export interface Unsynced {
  readonly folder: string;
  readonly content: FolderContentStore;
  readonly records: Records;
  readonly snapshots: Snapshotter;
  readonly held?: (() => Held) | undefined;
}

/** Before anything is pulled. */
export async function removeUnsynced(o: Unsynced, c: Ctx): Promise<void> {
  const path = join(o.folder, 'boot-id');
  const now = (await readFile(BOOT_ID, 'utf8')).trim();
  const before = await readFile(path, 'utf8').catch(() => ''); // the first start
  if (before === now) return;
  const sources = (await o.snapshots.roots()).flatMap((r) => (r.source ? [r.source] : []));
  const layers = layersInUse(o.records.all(), sources, o.held?.());
  for (const { chainId } of await o.snapshots.layers())
    if (!layers.has(chainId)) await o.snapshots.removeLayer(chainId, c);
  const blobs = blobsInUse(o.records.all(), o.held?.());
  for await (const { digest } of o.content.list()) if (!blobs.has(digest)) await o.content.remove(digest);
  await writeFileAtomic(path, now);
}
