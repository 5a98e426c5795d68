/** What may go: pure decisions over records, roots, layers and blobs. The collector does what they say (node-images.ts). */
import type { Digest } from '#lib/base';
import type { ImageRecord } from './records.ts';
import type { RootSource } from './snapshot.ts';

/** References to remove, least recently used first: images that nobody keeps, no root uses and nobody used for `minAgeMs`. */
export function planCollect(
  records: readonly ImageRecord[],
  roots: readonly RootSource[],
  o: { readonly nowMs: number; readonly minAgeMs: number },
): readonly ImageRecord[] {
  const used = new Set(roots.map((r) => r.imageId));
  return records
    .filter((r) => r.isKept !== true && !used.has(r.id) && o.nowMs - r.lastUsedMs >= o.minAgeMs)
    .sort((a, b) => a.lastUsedMs - b.lastUsedMs || (a.reference < b.reference ? -1 : 1));
}

/** What others than images need of layers and blobs: the cache of builds. */
export interface Held {
  readonly layers: Iterable<Digest>;
  readonly blobs: Iterable<Digest>;
}

export function heldBy(all: readonly Held[]): Held {
  return { layers: all.flatMap((h) => [...h.layers]), blobs: all.flatMap((h) => [...h.blobs]) };
}

export const NOTHING_HELD: Held = { layers: [], blobs: [] };

/** Chain ids that some record or root needs. */
export function layersInUse(
  records: readonly ImageRecord[],
  roots: readonly RootSource[],
  held: Held = NOTHING_HELD,
): ReadonlySet<Digest> {
  const ofRecords = records.flatMap((r) => r.layers.map((l) => l.chainId));
  return new Set([...ofRecords, ...roots.flatMap((r) => r.layers), ...held.layers]);
}

/** Blobs that some record needs: documents and stored layers. */
export function blobsInUse(records: readonly ImageRecord[], held: Held = NOTHING_HELD): ReadonlySet<string> {
  return new Set([...records.flatMap((r) => [...r.documents, ...r.layers.map((l) => l.digest)]), ...held.blobs]);
}
