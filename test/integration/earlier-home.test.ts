/** A container outlives its agent's version: when its supervisor dies, today's helper takes over from the files of that version. */
import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { type EarlierHome, earlierCommits, layOut } from '../../agent/earlier-home/lay-out.ts';
import { helperPath } from './runtime-host.ts';

const execute = promisify(execFile);

async function containersOf(home: EarlierHome): Promise<string[]> {
  const folder = join(home.folder, 'containers');
  return (await readdir(folder)).map((id) => join(folder, id));
}

/** Reads all that it would adopt by, and finds that no other supervisor lives. */
const wait = (folder: string): Promise<unknown> => execute(helperPath, ['supervise', folder, 'wait']);

test.each(await earlierCommits())('every container of commit %s can be taken over by a successor', async (commit) => {
  const scratch = await mkdtemp(join(tmpdir(), 'eh-'));
  try {
    await using home = await layOut(commit, join(scratch, 'h'));
    const folders = await containersOf(home);
    expect(folders.length).toBeGreaterThan(10);
    for (const folder of folders) await wait(folder);
    const [first = ''] = folders;
    await appendFile(join(first, 'config'), 'of-no-version=1\0');
    await expect(wait(first)).rejects.toThrow();
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
});
