/** The mounts of one RUN: each is made ready on the host, and all that was made for it is gone when the step has ended. */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, Scope } from '#lib/base';
import { isThere } from '../../images/snapshot.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { OciMount } from '../../runtime/oci-spec.ts';
import type { SourceTree } from '../context/tree.ts';
import type { StepMount } from '../solve/worker.ts';
import { forwardAgent } from '../ssh/forward.ts';
import { type CacheMounts, lockOrder } from './cache-mounts.ts';
import { layOut } from './lay-out.ts';

export interface MountHost {
  readonly kernel: Kernel;
  readonly caches: CacheMounts;
  /** Where the tree's files lie, when it is a root of this build; else it is laid out. */
  readonly folderOf: (tree: SourceTree) => string | undefined;
  /** Of a tree that has no folder: laid out once for the build. */
  readonly laidOut: (tree: SourceTree, source: string, c: Ctx) => Promise<string>;
}

type CacheMount = Extract<StepMount, { kind: 'cache' }>;

const BIND_OPTIONS = ['rbind', 'rprivate', 'nosuid', 'nodev'];
const SECRETS_BYTES_MAX = 16 << 20;

/** `scratch`: a folder for this step alone, which the caller removes. */
export async function withMounts<T>(
  host: MountHost,
  o: { readonly scratch: string; readonly mounts: readonly StepMount[] },
  fn: (mounts: readonly OciMount[]) => Promise<T>,
  c: Ctx,
): Promise<T> {
  const caches = o.mounts.filter((m): m is CacheMount => m.kind === 'cache').sort(lockOrder);
  const paths = new Map<StepMount, string>();
  const next = async (n: number): Promise<T> => {
    const mount = caches[n];
    if (mount === undefined) return withOthers(host, o, paths, fn, c);
    return host.caches.use(
      mount,
      (path) => {
        paths.set(mount, path);
        return next(n + 1);
      },
      c,
    );
  };
  return next(0);
}

async function withOthers<T>(
  host: MountHost,
  o: { readonly scratch: string; readonly mounts: readonly StepMount[] },
  caches: ReadonlyMap<StepMount, string>,
  fn: (mounts: readonly OciMount[]) => Promise<T>,
  c: Ctx,
): Promise<T> {
  await using agents = new Scope('SSH agents of a step');
  try {
    const out: OciMount[] = [];
    for (const [n, m] of o.mounts.entries())
      out.push(await ready(host, m, { scratch: o.scratch, n, agents, cache: caches.get(m) ?? '' }, c));
    return await fn(byDepth(out));
  } finally {
    const own = { ...c, signal: new AbortController().signal };
    for (const point of await host.kernel.mounts.below(o.scratch, own)) await host.kernel.mounts.unmount(point, own);
  }
}

interface Place {
  readonly scratch: string;
  readonly n: number;
  readonly cache: string;
  readonly agents: Scope;
}

async function ready(host: MountHost, m: StepMount, at: Place, c: Ctx): Promise<OciMount> {
  switch (m.kind) {
    case 'tmpfs': {
      const size = m.sizeBytes === undefined ? [] : [`size=${m.sizeBytes}`];
      const options = ['nosuid', 'nodev', 'mode=1777', ...size];
      return { destination: m.target, type: 'tmpfs', source: 'tmpfs', options };
    }
    case 'cache':
      return bind(at.cache, m.target, m.readOnly);
    case 'secret':
      return bind(await secretFile(host, m, at, c), m.target, true);
    case 'ssh': {
      const name = `agent-${at.n}`;
      const { mode, uid, gid } = m;
      at.agents.own(await forwardAgent(m.agent, { folder: at.scratch, name, mode, uid, gid }, c));
      return bind(join(at.scratch, name), m.target, false);
    }
    case 'bind': {
      const folder = host.folderOf(m.tree);
      const source = folder === undefined ? await host.laidOut(m.tree, m.source, c) : join(folder, m.source);
      return bind(m.readOnly ? source : await writable(host, m, source, at, c), m.target, m.readOnly);
    }
  }
}

/** In memory, where no layer and no cache ever sees it. */
async function secretFile(
  host: MountHost,
  m: Extract<StepMount, { kind: 'secret' }>,
  at: Place,
  c: Ctx,
): Promise<string> {
  const folder = join(at.scratch, 'secrets');
  if (!(await isThere(folder))) {
    await mkdir(folder, { mode: 0o700 });
    await host.kernel.mounts.tmpfs(folder, { sizeBytes: SECRETS_BYTES_MAX, mode: 0o700 }, c);
  }
  const path = join(folder, String(at.n));
  await writeFile(path, m.data, { mode: 0o600, flag: 'wx' });
  await chown(path, m.uid, m.gid);
  await chmod(path, m.mode);
  return path;
}

/** What is written there is thrown away. */
async function writable(
  host: MountHost,
  m: Extract<StepMount, { kind: 'bind' }>,
  source: string,
  at: Place,
  c: Ctx,
): Promise<string> {
  const own = join(at.scratch, `bind-${at.n}`);
  await mkdir(own);
  if ((await m.tree.stat(m.source, c))?.type !== 'folder') {
    await layOut(m.tree, m.source, join(own, 'file'), c);
    return join(own, 'file');
  }
  const [upper, work, target] = [join(own, 'upper'), join(own, 'work'), join(own, 'merged')];
  for (const path of [upper, work, target]) await mkdir(path);
  await chmod(upper, (await m.tree.stat(m.source, c))?.mode ?? 0o755);
  await host.kernel.mounts.overlay({ lower: [source], upper, work, target }, c);
  return target;
}

function bind(source: string, target: string, readOnly: boolean): OciMount {
  return { destination: target, type: 'bind', source, options: [...BIND_OPTIONS, readOnly ? 'ro' : 'rw'] };
}

/** A mount below another one comes after it; those of one depth stay in their order. */
function byDepth(mounts: readonly OciMount[]): readonly OciMount[] {
  const depth = (m: OciMount): number => m.destination.split('/').filter((p) => p !== '').length;
  return [...mounts].sort((a, b) => depth(a) - depth(b));
}
