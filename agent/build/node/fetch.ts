/**
 * What ADD takes from the network: a file of mode 0600 with the server's time, bounded by the disk, compared with its checksum.
 * Source: Dockerfile reference, "Adding files from URLs".
 */
import { createHash } from 'node:crypto';
import { chmod, mkdir, open, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, isDigest, StatusError } from '#lib/base';
import { discard, type Transport } from '#lib/oci';
import { FolderTree } from '../context/folder-tree.ts';
import type { FetchedFile } from '../solve/worker.ts';

const RESERVE_BYTES = 64 << 20;

/** `folder`: new, and removed by the caller. */
export async function fetchFile(
  url: string,
  o: { readonly transport: Transport; readonly folder: string; readonly checksum: string | undefined },
  c: Ctx,
): Promise<FetchedFile> {
  if (o.checksum !== undefined && !isDigest(o.checksum))
    throw new StatusError('Invalid', `invalid checksum ${o.checksum}: it should be sha256: and 64 hex digits`);
  const answer = await o.transport.send({ method: 'GET', url, headers: {} }, c);
  if (answer.status !== 200) {
    await discard(answer);
    throw new StatusError(
      answer.status === 404 ? 'NotFound' : 'Unavailable',
      `${url}: the server says ${answer.status}`,
    );
  }
  await mkdir(o.folder, { mode: 0o700 });
  const path = join(o.folder, 'file');
  const { bavail, bsize } = await statfs(o.folder);
  const bytesMax = Math.max(0, bavail * bsize - RESERVE_BYTES);
  const hash = createHash('sha256');
  let bytes = 0;
  await using file = await open(path, 'wx', 0o600);
  for await (const piece of answer.body) {
    if (!(piece instanceof Uint8Array)) continue;
    bytes += piece.length;
    if (bytes > bytesMax)
      throw new StatusError('TooLarge', `${url} has more than the ${bytesMax} bytes there is room for`);
    hash.update(piece);
    for (let done = 0; done < piece.length; ) done += (await file.write(piece, done, piece.length - done)).bytesWritten;
  }
  const digest = `sha256:${hash.digest('hex')}`;
  if (o.checksum !== undefined && digest !== o.checksum)
    throw new StatusError('Invalid', `digest mismatch for ${url}: expected ${o.checksum}, got ${digest}`);
  await chmod(path, 0o600);
  const modifiedMs = Date.parse(answer.header('last-modified') ?? '') || 0;
  await utimes(path, modifiedMs / 1000, modifiedMs / 1000);
  return { tree: new FolderTree(o.folder), path: 'file' };
}
