/**
 * VOLUMEs of an image's config, as containerd's CRI plugin has them: each that no volumeMount covers is a folder of the container
 * alone, beside its root, with what the image has at that path; writable though the root may be read-only, gone with the container.
 * Source: containerd internal/cri/server/container_create.go (volumeMounts), WithVolumes.
 */
import { lstat, mkdir, readlink } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { type Ctx, StatusError } from '#lib/base';
import type { Image } from '../../images/images.ts';
import type { BindMount } from '../../runtime/spec.ts';
import type { UserNamespace } from '../../user-namespaces/ranges.ts';
import type { PodDeps } from '../deps.ts';
import { giveToPod } from './user-namespace.ts';

const LINKS_MAX = 40;
const VOLUMES_MAX = 64;
const COPY_TIMEOUT_MS = 10 * 60_000;

/** `rootfs`: mounted, nothing runs in it yet. `taken`: where volumeMounts and our own files go. */
export async function imageConfigVolumes(
  d: Pick<PodDeps, 'kernel'>,
  o: {
    readonly rootfs: string;
    readonly image: Image;
    readonly taken: readonly BindMount[];
    readonly userNamespace?: UserNamespace | undefined;
  },
  c: Ctx,
): Promise<BindMount[]> {
  const taken = new Set(o.taken.map((b) => posix.normalize(b.target)));
  const wanted = new Set(o.image.config.volumes.map((v) => posix.resolve('/', v)));
  wanted.delete('/');
  if (wanted.size > VOLUMES_MAX)
    throw new StatusError('Invalid', `image ${o.image.reference} has ${wanted.size} volumes, more than ${VOLUMES_MAX}`);
  const out: BindMount[] = [];
  for (const target of [...wanted].sort()) {
    if (taken.has(target)) continue;
    const source = join(dirname(o.rootfs), 'volumes', String(out.length));
    await mkdir(source, { recursive: true, mode: 0o755 });
    await giveToPod(o.userNamespace, source);
    const inside = await folderInRoot(o.rootfs, target);
    if (inside !== undefined) await copyTree(d, inside, source, c);
    out.push({ source, target, readOnly: false, propagation: 'rprivate', hasPodIds: true });
  }
  return out;
}

/** With owners, modes and times, of the folder too; links are copied as links. */
async function copyTree(d: Pick<PodDeps, 'kernel'>, source: string, target: string, c: Ctx): Promise<void> {
  const argv = ['cp', '-a', '--reflink=auto', '-T', source, target];
  const result = await d.kernel.programs.run(argv, { timeoutMs: COPY_TIMEOUT_MS }, c);
  if (result.code !== 0)
    throw new StatusError('Internal', `copy of an image's volume failed: ${result.stderr.toString().trim()}`);
}

/** The folder that `path` means inside the root, whose links lead nowhere out of it; undefined when there is none. */
async function folderInRoot(rootfs: string, path: string): Promise<string | undefined> {
  const left = partsOf(path);
  let at: string[] = [];
  let links = 0;
  for (let part = left.shift(); part !== undefined; part = left.shift()) {
    if (part === '..') {
      at.pop();
      continue;
    }
    const seen = await lstat(join(rootfs, ...at, part)).catch(() => undefined);
    if (seen?.isSymbolicLink() === true) {
      if (++links > LINKS_MAX) return undefined;
      const text = await readlink(join(rootfs, ...at, part));
      if (text.startsWith('/')) at = [];
      left.unshift(...partsOf(text));
    } else if (seen?.isDirectory() === true) at.push(part);
    else return undefined;
  }
  return join(rootfs, ...at);
}

function partsOf(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}
