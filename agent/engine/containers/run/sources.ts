/**
 * Where a container's mounts come from on this host: made ready at each start, taken away after each end. What lies inside a
 * volume or an image is reached by descriptors, so that a link in it leads nowhere else.
 */
import { mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, messageOf, StatusError } from '#lib/base';
import { ENGINE_ROOT } from '../../../images/images.ts';
import type { OciMount } from '../../../runtime/oci-spec.ts';
import { openInside } from '../../../volumes/subpath.ts';
import { badParameter, EngineError } from '../../http/contract.ts';
import type { ContainerRecord, EngineHost, EngineImages, EngineVolumes } from '../../parts.ts';
import type { Mount, MountPoint } from '../../types.ts';
import { mountSpecOf, wantedMounts } from '../create/mounts.ts';
import { bindMount, plainTmpfs, tmpfsMount } from './mount-options.ts';

export interface SourcePorts {
  readonly host: Pick<EngineHost, 'kernel' | 'images' | 'runtime'>;
  readonly images: EngineImages;
  readonly volumes: EngineVolumes;
}

/** `folder`: of the container. */
export async function mountSources(p: SourcePorts, r: ContainerRecord, folder: string, c: Ctx): Promise<OciMount[]> {
  const canRecursive = p.host.runtime.handlers.some((h) => h.name === '' && h.recursiveReadOnlyMounts);
  const out: OciMount[] = [];
  for (const [n, m] of r.mounts.entries()) {
    const spec = mountSpecOf(r.hostConfig, m.Destination);
    if (m.Type === 'tmpfs') {
      out.push(tmpfsMount(m, spec));
      continue;
    }
    const path = await sourceOf(p, r, { m, n, spec, folder }, c);
    const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? true; // gone: the runtime says so
    out.push(bindMount(m, { path, isFolder }, spec, canRecursive));
  }
  for (const [target, options] of Object.entries(r.hostConfig.Tmpfs ?? {}))
    out.push(plainTmpfs(target.replace(/(?<=.)\/+$/, ''), options));
  return out;
}

/** Gone is fine. */
export async function releaseSources(p: SourcePorts, r: ContainerRecord, folder: string, c: Ctx): Promise<void> {
  const { hostConfig: h } = r;
  const hasOwn = h.IpcMode === 'shareable' || (h.Mounts ?? []).some((m) => subpathOf(m) !== '');
  if (hasOwn)
    for (const point of await p.host.kernel.mounts.below(folder, c)) await p.host.kernel.mounts.unmount(point, c);
  for (const [n, m] of r.mounts.entries()) {
    if (m.Type === 'volume' && m.Name !== undefined) await p.volumes.unmount(m.Name, r.id, c);
    if (m.Type === 'image') await p.host.images.removeRoot(imageRoot(r, n), c);
  }
}

/** The volumes of one that an earlier agent started. */
export async function adoptSources(p: SourcePorts, r: ContainerRecord, c: Ctx): Promise<void> {
  for (const m of r.mounts) if (m.Type === 'volume' && m.Name !== undefined) await p.volumes.mount(m.Name, r.id, c);
}

interface Wanted {
  readonly m: MountPoint;
  readonly n: number;
  readonly spec: Mount | undefined;
  readonly folder: string;
}

async function sourceOf(p: SourcePorts, r: ContainerRecord, w: Wanted, c: Ctx): Promise<string> {
  const { m } = w;
  switch (m.Type) {
    case 'bind':
      return bindSource(r, m);
    case 'volume':
      return inside(p, await p.volumes.mount(m.Name ?? '', r.id, c), w, c);
    case 'image': {
      const { image } = await p.images.find(m.Source, c);
      return inside(p, await p.host.images.mountRoot(imageRoot(r, w.n), image, c), w, c);
    }
    case 'tmpfs':
      return '';
  }
}

async function bindSource(r: ContainerRecord, m: MountPoint): Promise<string> {
  if ((await stat(m.Source).catch(() => undefined)) !== undefined) return m.Source;
  const wanted = wantedMounts(r.hostConfig).find((w) => w.target === m.Destination);
  if (wanted !== undefined && !wanted.makesSource)
    throw badParameter(`invalid mount config for type "bind": bind source path does not exist: ${m.Source}`);
  try {
    await mkdir(m.Source, { recursive: true, mode: 0o755 });
  } catch (e) {
    throw new EngineError(500, `error while creating mount source path '${m.Source}': ${messageOf(e)}`, { cause: e });
  }
  return m.Source;
}

function imageRoot(r: ContainerRecord, n: number): string {
  return `${ENGINE_ROOT}${r.id}-image-${n}`;
}

function subpathOf(m: Mount | undefined): string {
  return m?.VolumeOptions?.Subpath ?? m?.ImageOptions?.Subpath ?? '';
}

async function inside(p: SourcePorts, path: string, w: Wanted, c: Ctx): Promise<string> {
  const subpath = subpathOf(w.spec);
  if (subpath === '') return path;
  try {
    await using handle = await openInside(path, subpath, { canCreate: false });
    const target = join(w.folder, `subpath-${w.n}`);
    const isFolder = (await handle.stat()).isDirectory();
    if (isFolder) await mkdir(target, { recursive: true });
    else await writeFile(target, '', { flag: 'a' });
    await p.host.kernel.mounts.bind(`/proc/${process.pid}/fd/${handle.fd}`, target, { recursive: true }, c);
    return target;
  } catch (e) {
    if (!(e instanceof StatusError) || e.kind !== 'Invalid') throw e;
    throw new EngineError(500, `cannot access path ${join(path, subpath)}: ${e.message}`, { cause: e });
  }
}
