import { chmod, mkdir, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makePrivateFolder } from './files.ts';

test('a private folder is for its owner only, made now or found open', async () => {
  const base = await mkdtemp(join(tmpdir(), 'berth-files-'));
  const [made, found] = [join(base, 'a/b'), join(base, 'c')];
  await mkdir(found);
  await chmod(found, 0o755);
  for (const path of [made, found, found]) {
    await makePrivateFolder(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  }
  await rm(base, { recursive: true });
});
