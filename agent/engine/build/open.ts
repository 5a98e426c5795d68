/**
 * Builds by the Docker Engine API, on the node's builder (agent/build) over the node's images: POST /build as the classic builder
 * answers it, /build/cancel, /build/prune. Its steps run in a runtime of their own, below `$BERTH_HOME/engine/build`.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Ctx, makePrivateFolder, Scope, timeText } from '#lib/base';
import { localPlatform, Transport } from '#lib/oci';
import { BuildCache } from '../../build/cache/cache.ts';
import { BOOT_ID, Builder } from '../../build/node/builder.ts';
import { closeMemoryFolder } from '../../build/node/own-builder.ts';
import { openRuntime } from '../../runtime/open.ts';
import { openMemoryFolder, runtimeStateFolder } from '../../runtime-state.ts';
import type { EngineEvents, EngineHost, EngineImages, EnginePart } from '../parts.ts';
import { pruneRoute } from './prune.ts';
import { Builds } from './run.ts';

/** API version. */
const PARENTS_SINCE = 42;

export interface OpenBuilds extends EnginePart, AsyncDisposable {
  /** For /system/df: the steps of the cache, most recently used first. */
  readonly diskUsage: (version: number, c: Ctx) => Promise<{ readonly BuildCache: readonly object[] }>;
}

/** What a crash left of builds is removed before it resolves. */
export async function openBuilds(
  host: EngineHost,
  ports: { readonly events: EngineEvents; readonly images: Pick<EngineImages, 'find'> },
  c: Ctx,
): Promise<OpenBuilds> {
  const scope = new Scope('builds of the engine');
  try {
    const builder = await openBuilder(host, scope, c);
    const transport = scope.own(new Transport({ proxy: host.registries.proxy }));
    const folder = join(host.folder, 'build', 'contexts');
    await host.kernel.removeTree(folder, c);
    await makePrivateFolder(folder);
    const builds = new Builds({ builder, transport, folder, ...ports, host });
    scope.own(builds);
    return {
      routes: [...builds.routes, pruneRoute(builder, ports.events)],
      diskUsage: (version, own) => diskUsageOf(builder, version, own),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

async function openBuilder(host: EngineHost, scope: Scope, c: Ctx): Promise<Builder> {
  const { kernel, images, isolation, clock, random, log } = host;
  const folder = join(host.folder, 'build');
  await makePrivateFolder(folder);
  const bootId = (await readFile(BOOT_ID, 'utf8')).trim();
  const cache = await BuildCache.open({ folder: join(folder, 'cache'), bootId, clock, log });
  const held = images.hold(() => cache.held());
  scope.defer(() => held[Symbol.dispose]());
  const stateFolder = runtimeStateFolder(`${host.instance}-docker-build`);
  await openMemoryFolder(stateFolder, kernel.mounts, c);
  scope.own({ [Symbol.asyncDispose]: () => closeMemoryFolder(kernel, stateFolder, c) });
  const runtime = scope.own(
    await openRuntime(
      { kernel, folder: join(folder, 'containers'), runtime: host.runtime.defaultRuntime, stateFolder },
      c,
    ),
  );
  const cgroupParent = `${host.cgroupParent}-build`;
  const { proxy } = host.registries;
  const parts = { kernel, images, cache, runtime, isolation, clock, random, proxy };
  return scope.own(await Builder.open({ ...parts, folder, cgroupParent, platform: localPlatform() }, c));
}

/** Source: moby api/docs/v1.51.yaml (BuildCache). One that an image or a container has too is shared: its going frees nothing. */
async function diskUsageOf(
  { cache, images, mounts }: Builder,
  version: number,
  c: Ctx,
): Promise<{ readonly BuildCache: readonly object[] }> {
  const used = await images.builds.layersInUse();
  const parents = version < PARENTS_SINCE ? { Parent: '' } : { Parents: [] };
  const steps = cache.all().map(({ key, chainId, title, bytes, createdMs, usedMs, uses }) => ({
    ...{ ID: key.replace(/^sha256:/, ''), ...parents, Type: 'regular', Description: title, InUse: false },
    ...{ Shared: used.has(chainId), Size: bytes, CreatedAt: timeText(createdMs) },
    ...{ LastUsedAt: timeText(usedMs), UsageCount: uses },
  }));
  const folders = (await mounts.all(c)).map(({ name, id, bytes, usedMs, isInUse }) => ({
    ...{ ID: name, ...parents, Type: 'exec.cachemount', Description: `cached mount ${id}`, InUse: isInUse },
    ...{ Shared: false, Size: bytes, CreatedAt: timeText(usedMs), LastUsedAt: timeText(usedMs) },
  }));
  return { BuildCache: [...steps, ...folders] };
}
