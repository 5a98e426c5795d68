/**
 * What became of the layers of this node when they were compressed: a file for each diff id, in a folder that also has the drafts of
 * what is being compressed. What is forgotten is compressed again, to the same bytes.
 */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf, parseDigest, removeDrafts, writeFileAtomic } from '#lib/base';
import { asSize, asString, type Descriptor, MEDIA_TYPES, parseJsonObject } from '#lib/oci';

/** Files of 130 bytes. */
export const PUSHED_LAYERS_MAX = 10_000;
const REMEMBERED = /^[0-9a-f]{64}\.json$/;

/** Before anything is pushed by this process: removes drafts of processes that were killed, and the oldest above `layersMax`. */
export async function tidyPushedLayers(folder: string, layersMax = PUSHED_LAYERS_MAX): Promise<void> {
  await removeDrafts(folder);
  const names = (await readdir(folder).catch(() => [])).filter((name) => REMEMBERED.test(name));
  if (names.length <= layersMax) return;
  const aged: { path: string; mtimeMs: number }[] = [];
  for (const path of names.map((name) => join(folder, name))) aged.push({ path, mtimeMs: (await stat(path)).mtimeMs });
  aged.sort((a, b) => a.mtimeMs - b.mtimeMs);
  for (const { path } of aged.slice(0, names.length - layersMax)) await rm(path, { force: true });
}

export async function makePushedFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
}

export async function rememberLayer(folder: string, diffId: Digest, { digest, sizeBytes }: Descriptor): Promise<void> {
  const text = JSON.stringify({ version: 1, digest, sizeBytes });
  await writeFileAtomic(pathOf(folder, diffId), text, { durable: false });
}

/** undefined: never pushed, or torn by a power loss. */
export async function rememberedLayer(folder: string, diffId: Digest): Promise<Descriptor | undefined> {
  try {
    const doc = parseJsonObject(await readFile(pathOf(folder, diffId)), 'a pushed layer');
    const digest = parseDigest(asString(doc['digest'], 'digest'));
    return { mediaType: MEDIA_TYPES.ociLayerGzip, digest, sizeBytes: asSize(doc['sizeBytes'], 'sizeBytes') };
  } catch {
    return undefined; // compressed anew
  }
}

function pathOf(folder: string, diffId: Digest): string {
  return join(folder, `${hexOf(diffId)}.json`);
}
