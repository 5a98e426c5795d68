/** What `--output` asks for, and where an archive may be put. */
import { lstat, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isMissing, StatusError } from '#lib/base';

export interface ArchiveOptions {
  readonly type: 'oci' | 'docker';
  /** A file, or with `tar: false` a folder that is made. */
  readonly dest: string;
  readonly tar: boolean;
}

/** `type=oci,dest=app.tar`, `type=docker,dest=app.tar`, `type=oci,tar=false,dest=folder`. Throws Invalid. */
export function parseOutput(text: string): ArchiveOptions {
  const fields = new Map<string, string>();
  for (const field of text.split(',')) {
    const at = field.indexOf('=');
    if (at < 0) throw refused(text, `"${field}" is no key=value`);
    fields.set(field.slice(0, at).trim().toLowerCase(), field.slice(at + 1));
  }
  const { type, dest, tar = 'true', ...others } = Object.fromEntries(fields);
  if (type !== 'oci' && type !== 'docker')
    throw refused(text, `type ${type ?? '(none)'} is not supported: use oci or docker, or --push for a registry`);
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw refused(text, `${unknown} is not supported`);
  if (dest === undefined || dest === '') throw refused(text, 'dest is missing');
  if (dest === '-') throw refused(text, 'dest=- is not supported: name a file');
  if (tar !== 'true' && tar !== 'false') throw refused(text, 'tar is true or false');
  if (tar === 'false' && type === 'docker') throw refused(text, "Docker's archive is a tar");
  return { type, dest, tar: tar === 'true' };
}

function refused(text: string, why: string): StatusError {
  return new StatusError('Invalid', `--output ${text}: ${why}`);
}

/** Folders whose entries are no files of anybody's. */
const NO_PLACES = /^\/(?:dev|proc|sys)(?:\/|$)/;

/**
 * A file, a link to one, or nothing stands where a tar is to be; a folder or nothing where a layout is to be, without links below it
 * that lead out of it. Throws Invalid.
 */
export async function checkDest({ dest, tar }: Pick<ArchiveOptions, 'dest' | 'tar'>): Promise<void> {
  const refuse = (why: string): never => {
    throw new StatusError('Invalid', `--output dest=${dest}: ${why}`);
  };
  if (!tar) {
    const kind = await kindOf(dest);
    if (kind !== 'folder' && kind !== 'nothing') refuse('is no folder');
    for (const path of ['blobs', 'blobs/sha256'])
      if (!['folder', 'nothing'].includes(await kindOf(join(dest, path), lstat))) refuse(`${path} there is no folder`);
    return;
  }
  const parent = dirname(dest);
  if ((await kindOf(parent)) !== 'folder') refuse(`there is no folder ${parent}`);
  if (NO_PLACES.test(await realpath(parent))) refuse('name a file elsewhere');
  if (dest.endsWith('/') || ['.', '..'].includes(basename(dest))) refuse('name a file');
  const kind = await kindOf(dest);
  if (kind === 'folder') refuse('is a folder: name a file, or add tar=false');
  if (kind === 'other') refuse('is no regular file');
}

async function kindOf(path: string, look = stat): Promise<'nothing' | 'folder' | 'file' | 'other'> {
  try {
    const found = await look(path);
    return found.isDirectory() ? 'folder' : found.isFile() ? 'file' : 'other';
  } catch (e) {
    if (isMissing(e)) return 'nothing';
    throw e;
  }
}
