/**
 * Of which pods anything is on this node, by what is there and not by what anybody remembers: folders, volumes, addresses, ranges
 * of ids, cgroups below the node's own parent. Each of these names its pod, and those of another node of this host lie elsewhere; where
 * one shares the parent all the same, no cgroup is taken for anything.
 */
import { readdir } from 'node:fs/promises';
import type { Ctx } from '#lib/base';
import { isClaimedByOther } from '../resources/cgroup-claim.ts';
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
  const isShared = isClaimedByOther(cgroups[0] ?? [], d.settings.cgroupClaim);
  if (isShared)
    c.log.warn({ cgroup: cgroupParent }, 'another node has the same parent cgroup: give each an instance of its own');
  const ofCgroups = (isShared ? [] : cgroups.flat()).map((name) => POD_CGROUP.exec(name)?.[1] ?? '');
  const ranges = d.userNamespaces.pods();
  const all = [...folders, ...attached.map((a) => a.id as string), ...volumes, ...ranges, ...ofCgroups];
  return new Set(all.filter((uid) => UID.test(uid)));
}
