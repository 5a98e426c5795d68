/**
 * The folder that drivers know, the kubelet's root: see docs/adr/0023-plugins-of-a-node.md. It lies on a shared mount, so that
 * what a driver mounts in its container appears here; where the host's is private, the folder is made a mount of its own.
 */
import { mkdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, writeFileAtomic } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';

export interface PluginFolders {
  readonly root: string;
  /** Sockets that announce plugins. */
  readonly registry: string;
  /** Drivers' sockets, and what is staged. */
  readonly plugins: string;
  readonly pods: string;
  readonly devicePlugins: string;
  readonly podResources: string;
}

/** In a node's home: where its root is, for `berth down` and `berth leave`; a second line where its mount is ours. */
export const RECORD = 'plugin-root';
export const OUR_MOUNT = 'mounted';
const MOUNT_MS = 10_000;

export function pluginFolders(root: string): PluginFolders {
  return {
    root,
    registry: join(root, 'plugins_registry'),
    plugins: join(root, 'plugins'),
    pods: join(root, 'pods'),
    devicePlugins: join(root, 'device-plugins'),
    podResources: join(root, 'pod-resources'),
  };
}

export async function openPluginRoot(
  o: { readonly kernel: Pick<Kernel, 'programs'>; readonly home: string; readonly root: string },
  c: Ctx,
): Promise<PluginFolders> {
  const folders = pluginFolders(o.root);
  await mkdir(o.root, { recursive: true, mode: 0o755 });
  for (const folder of [folders.registry, folders.plugins, folders.pods, folders.devicePlugins, folders.podResources])
    await mkdir(folder, { recursive: true, mode: 0o750 });
  const record = join(o.home, RECORD);
  const known = await readFile(record, 'utf8').catch(() => '');
  const ours = `${o.root}\n${OUR_MOUNT}`;
  const real = await realpath(o.root);
  if (isOnSharedMount(await readFile('/proc/self/mountinfo', 'utf8'), real)) {
    if (known !== ours) await writeFileAtomic(record, o.root, { mode: 0o600 });
    return folders;
  }
  await writeFileAtomic(record, ours, { mode: 0o600 });
  for (const argv of [
    ['mount', '--bind', real, real],
    ['mount', '--make-shared', real],
  ]) {
    const done = await o.kernel.programs.run(argv, { timeoutMs: MOUNT_MS }, c);
    if (done.code === 0) continue;
    const err = `${argv.join(' ')}: ${done.stderr.toString('utf8').trim() || done.code}`;
    c.log.warn({ err }, 'what drivers mount in their containers will not be seen on this node');
    break;
  }
  return folders;
}

/** Of the mount that the path lies on; the last of one place is the upper one. Source: proc_pid_mountinfo(5). */
export function isOnSharedMount(mountinfo: string, path: string): boolean {
  let best = { length: -1, isShared: false };
  for (const line of mountinfo.split('\n')) {
    const [before = ''] = line.split(' - ');
    const [, , , , point, , ...tags] = before.split(' ');
    if (point === undefined || !isBelow(path, point) || point.length < best.length) continue;
    best = { length: point.length, isShared: tags.some((t) => t.startsWith('shared:')) };
  }
  return best.isShared;
}

/** `path` is `folder` or something in it. */
export function isBelow(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
