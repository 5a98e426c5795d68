/**
 * Of which pods anything is on this node, by what is there and not by what anybody remembers: folders, volumes, addresses,
 * cgroups below the node's own parent. Each of these names its pod, and those of another node of this host lie elsewhere.
 */
import { readdir } from 'node:fs/promises';
import type { Ctx } from '#lib/base';
import type { PodDeps } from './deps.ts';

/** Of what becomes part of paths that are removed. */
const UID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
const POD_CGROUP = /^pod(.+)$/;

export async function podsPresent(d: PodDeps, c: Ctx): Promise<Set<string>> {
  const { cgroupParent } = d.settings;
  const parents = [cgroupParent, `${cgroupParent}/burstable`, `${cgroupParent}/besteffort`];
  const [folders, attached, volumes, ...cgroups] = await Promise.all([
    readdir(d.settings.folder).catch(() => [] as string[]),
    d.network.attached(c),
    d.volumes.podsOnDisk(c),
    ...parents.map((path) => d.kernel.cgroups.children(path, c)),
  ]);
  const ofCgroups = cgroups.flat().map((name) => POD_CGROUP.exec(name)?.[1] ?? '');
  const all = [...folders, ...attached.map((a) => a.id as string), ...volumes, ...ofCgroups];
  return new Set(all.filter((uid) => UID.test(uid)));
}
