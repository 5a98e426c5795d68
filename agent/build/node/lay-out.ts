/**
 * A part of a source tree as real files, for a mount of a RUN. `target` is new and nobody else's, and nothing is written
 * below a link, so that no name leads out of it.
 */
import { chmod, lchown, lutimes, mkdir, open, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, StatusError } from '#lib/base';
import { type Entry, joined, type SourceTree } from '../context/tree.ts';

export async function layOut(tree: SourceTree, source: string, target: string, c: Ctx): Promise<void> {
  c.signal.throwIfAborted();
  const entry = await tree.stat(source, c);
  if (entry === undefined) throw new StatusError('NotFound', `"/${source}": not found`);
  switch (entry.type) {
    case 'folder':
      await mkdir(target, { mode: 0o700 });
      for (const name of await tree.list(source, c)) await layOut(tree, joined(source, name), join(target, name), c);
      break;
    case 'file':
      await copyFile(tree, source, target, c);
      break;
    case 'symlink':
      await symlink(entry.linkPath, target);
      await lchown(target, entry.uid, entry.gid);
      await lutimes(target, seconds(entry), seconds(entry));
      return;
    default:
      throw new StatusError('Invalid', `"/${source}" is a device or a pipe and cannot be mounted`);
  }
  await lchown(target, entry.uid, entry.gid);
  await chmod(target, entry.mode);
  await utimes(target, seconds(entry), seconds(entry));
}

async function copyFile(tree: SourceTree, source: string, target: string, c: Ctx): Promise<void> {
  await using file = await open(target, 'wx', 0o600);
  for await (const piece of tree.read(source, c)) {
    c.signal.throwIfAborted();
    for (let done = 0; done < piece.length; ) done += (await file.write(piece, done, piece.length - done)).bytesWritten;
  }
}

function seconds(e: Entry): number {
  return Number(e.mtimeNs / 1_000_000n) / 1000;
}
