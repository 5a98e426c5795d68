/** An image of four layers for the pull's bench: files of this machine, 25 MB a layer as they are unpacked, gzip as docker makes it. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { type Ctx, sha256 } from '#lib/base';
import { localPlatform, MEDIA_TYPES, type RemoteRepository, tarBytes, tarHeader } from '#lib/oci';

const LAYERS = 4;
const LAYER_BYTES = 25_000_000;
const FILE_BYTES_MAX = 8_000_000;
const FOLDERS = ['/usr/lib/x86_64-linux-gnu', '/usr/bin', '/usr/lib/python3.11', '/usr/share/doc'];

export interface PullImage {
  /** As they travel. */
  readonly bytes: number;
  readonly files: number;
}

/** Programs and libraries in some layers, many small files in others. */
export async function pushPullImage(to: RemoteRepository, tag: string, c: Ctx): Promise<PullImage> {
  const layers: object[] = [];
  const diffIds: string[] = [];
  let bytes = 0;
  let files = 0;
  const push = async (data: Buffer, mediaType: string): Promise<object> => {
    const digest = sha256(data);
    await to.pushBlob({ digest, sizeBytes: data.length }, data, {}, c);
    return { mediaType, digest, size: data.length };
  };
  for (let i = 0; i < LAYERS; i++) {
    const entries = await layerEntries(FOLDERS[i % FOLDERS.length] ?? '/usr/bin', i);
    files += entries.length;
    const tar = await tarBytes(entries);
    const packed = await promisify(gzip)(tar);
    bytes += packed.length;
    diffIds.push(sha256(tar));
    layers.push(await push(packed, MEDIA_TYPES.ociLayerGzip));
  }
  const { os, architecture } = localPlatform();
  const config = { os, architecture, config: { Cmd: ['true'] }, rootfs: { type: 'layers', diff_ids: diffIds } };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: await push(Buffer.from(JSON.stringify(config)), MEDIA_TYPES.ociConfig),
    layers,
  };
  await to.putManifest(tag, MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)), c);
  return { bytes, files };
}

async function layerEntries(folder: string, layer: number) {
  const out: { header: ReturnType<typeof tarHeader>; data: Buffer }[] = [];
  let left = LAYER_BYTES;
  for await (const path of filesBelow(folder)) {
    if (left <= 0) break;
    const { size } = await stat(path);
    if (size > FILE_BYTES_MAX) continue;
    const data = (await readFile(path)).subarray(0, left);
    left -= data.length;
    const header = tarHeader({ type: 'file', path: `l${layer}${path}`, mode: 0o644, sizeBytes: data.length });
    out.push({ header, data });
  }
  return out;
}

async function* filesBelow(folder: string): AsyncGenerator<string> {
  const entries = await readdir(folder, { withFileTypes: true });
  for (const e of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    if (e.isFile()) yield join(folder, e.name);
    else if (e.isDirectory()) yield* filesBelow(join(folder, e.name));
  }
}
