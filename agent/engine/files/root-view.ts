/** A container's root as its files are read and written: its volumes where they belong, also while it does not run. */
import { join } from 'node:path';
import type { Ctx } from '#lib/base';
import { isThere } from '../../images/snapshot.ts';
import type { RootView } from '../../kernel/linux/container-files.ts';
import type { EngineContainer } from '../parts.ts';

/** What every container has of its own, from its folder, once it was started. */
const OWN_FILES = ['hosts', 'hostname', 'resolv.conf'] as const;

export async function rootViewOf(container: EngineContainer, containersFolder: string, c: Ctx): Promise<RootView> {
  const { record } = container;
  const folder = join(containersFolder, container.id);
  const own: { source: string; target: string; readOnly: boolean }[] = [];
  for (const name of OWN_FILES) {
    const source = join(folder, name);
    if (await isThere(source)) own.push({ source, target: `/etc/${name}`, readOnly: false });
  }
  const mounts = record.mounts
    .filter((m) => m.Type !== 'tmpfs')
    .map((m) => ({ source: m.Source, target: m.Destination, readOnly: !m.RW }))
    .sort((a, b) => depthOf(a.target) - depthOf(b.target));
  return {
    rootfs: await container.mountRoot(c),
    readOnly: record.hostConfig.ReadonlyRootfs === true,
    mounts: [...own, ...mounts],
  };
}

/** Where its mounts have, or had, a place in the root. */
export function mountTargets(container: EngineContainer): readonly string[] {
  const { config, hostConfig, mounts } = container.record;
  return [
    ...STANDARD,
    ...mounts.map((m) => m.Destination),
    ...Object.keys(hostConfig.Tmpfs ?? {}),
    ...(hostConfig.Mounts ?? []).map((m) => m.Target),
    ...Object.keys(config.Volumes ?? {}),
  ];
}

const STANDARD = [
  ...['/proc', '/sys', '/dev', '/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/console', '/sys/fs/cgroup'],
  ...OWN_FILES.map((name) => `/etc/${name}`),
];

function depthOf(path: string): number {
  return path.split('/').filter((p) => p !== '').length;
}
