/** Ends what a node has below the root that drivers know (root.ts), for its removal. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import { VolumeRecords } from '../csi/records.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { isBelow, OUR_MOUNT, type PluginFolders, pluginFolders, RECORD } from './root.ts';

export interface TeardownOptions {
  readonly kernel: Pick<Kernel, 'mounts' | 'removeTree'>;
  readonly home: string;
}

/** Unmounts what volumes of drivers left there, and the root's own mount. Idempotent. */
export async function teardownPluginRoot({ kernel, home }: TeardownOptions, c: Ctx): Promise<void> {
  const [root = '', mark] = (await readFile(join(home, RECORD), 'utf8').catch(() => '')).split('\n');
  if (root === '') return;
  const places = pluginFolders(root);
  const records = new VolumeRecords(places);
  const uids = await records.pods();
  const folders = await foldersOfNode(places, records, home);
  for (const folder of folders)
    for (const point of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(point, c);
  /* Throws where something is mounted still: what follows may remove the home, and must not remove what is in a volume. */
  for (const folder of folders) await kernel.removeTree(folder, c);
  for (const uid of uids) await records.removePodFolder(uid);
  if (mark === OUR_MOUNT && (await kernel.mounts.below(root, c)).includes(root)) await kernel.mounts.unmount(root, c);
}

/** In the node's own home all is its own. /var/lib/kubelet may be a kubelet's too, whose pods have their data there. */
async function foldersOfNode(
  { root, pods, plugins }: PluginFolders,
  records: VolumeRecords,
  home: string,
): Promise<readonly string[]> {
  return isBelow(root, home) ? [pods, join(plugins, 'kubernetes.io')] : await records.folders();
}
