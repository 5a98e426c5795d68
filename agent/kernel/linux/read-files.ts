/** Many small files of the kernel's at once, read by the helper: see agent/native/read-files.c. */
import { readFile, stat } from 'node:fs/promises';
import { type Ctx, StatusError } from '#lib/base';
import type { Helper } from './helper.ts';

/** The text of each, undefined where there is none; of a folder (it ends with a slash) the number of its links. */
export type ReadFiles = (paths: readonly string[], c: Ctx) => Promise<readonly (string | undefined)[]>;

/** The helper keeps 1 MiB of an answer, and 16 KiB of a file. */
const FILES_AT_A_TIME = 60;
const GONE = 0xffffffff;

export function helperFiles(helper: Pick<Helper, 'request'>): ReadFiles {
  return async (paths, c) => {
    const out: (string | undefined)[] = [];
    for (let at = 0; at < paths.length; at += FILES_AT_A_TIME) {
      const answer = await helper.request('readFiles', paths.slice(at, at + FILES_AT_A_TIME), c.signal);
      if (answer.code !== 0) throw new StatusError('Internal', answer.stderr.toString().trim());
      out.push(...decodeFiles(answer.stdout));
    }
    return out;
  };
}

export function decodeFiles(answer: Buffer): (string | undefined)[] {
  const out: (string | undefined)[] = [];
  for (let at = 0; at < answer.length; ) {
    const size = answer.readUInt32LE(at);
    at += 4;
    if (size === GONE) out.push(undefined);
    else {
      out.push(answer.toString('latin1', at, at + size));
      at += size;
    }
  }
  return out;
}

/** Without a helper. */
export const ownFiles: ReadFiles = (paths) =>
  Promise.all(
    paths.map(async (path) => {
      try {
        return path.endsWith('/') ? String((await stat(path)).nlink) : await readFile(path, 'latin1');
      } catch {
        /* Gone, or going: cgroups answer ENODEV then. */
        return undefined;
      }
    }),
  );
