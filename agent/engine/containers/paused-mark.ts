/**
 * A file in a container's folder while a commit holds its processes. Who dies meanwhile leaves it, and the next engine lets them
 * go on; one that users have paused has none and stays so.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import { isThere } from '../../images/snapshot.ts';
import type { Freezer } from '../../kernel/kernel.ts';

export function pausedMark(folder: string): string {
  return join(folder, 'paused-by-commit');
}

export async function thawMarked(
  freezer: Freezer,
  o: { readonly folder: string; readonly cgroup: string },
  c: Ctx,
): Promise<void> {
  const mark = pausedMark(o.folder);
  if (!(await isThere(mark))) return;
  await freezer.thaw(o.cgroup, c);
  await rm(mark, { force: true });
}
