/** Folders as tar files, by the native helper (agent/native/pack.c). */
import { rm } from 'node:fs/promises';
import { type Ctx, isDigest, StatusError } from '#lib/base';
import type { FolderToPack, PackedFolder } from '../kernel.ts';
import type { Helper } from './helper.ts';

export async function packFolder(helper: Helper, o: FolderToPack, c: Ctx): Promise<PackedFolder> {
  const latest = o.latestMs === undefined ? -1 : Math.floor(o.latestMs / 1000);
  try {
    const answer = await helper.call('pack', [o.root, o.file, o.overlay ? 1 : 0, latest, o.live === true ? 1 : 0], c);
    const [entries, bytes, hex] = answer.trim().split(' ');
    const digest = `sha256:${hex}`;
    if (!isDigest(digest)) throw new StatusError('Internal', `bad answer: ${answer}`);
    return { entries: Number(entries), bytes: Number(bytes), digest };
  } catch (e) {
    await rm(o.file, { force: true });
    throw e;
  }
}
