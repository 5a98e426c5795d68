/** Whom the engine's containers are, told without opening it: the folder of each is made before anything of it, and goes last. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** `folder`: the engine's. */
export async function engineContainerIds(folder: string): Promise<ReadonlySet<string>> {
  return new Set(await readdir(join(folder, 'containers')).catch(() => [])); // no engine was ever opened here
}
