/**
 * The builder of `berth build`: images, cache, runtime and helper of one home, which one process has at a time.
 *
 *   HOME/images      layers and images        HOME/cache    steps (../cache/cache.ts)      HOME/containers  of RUNs that go on
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Clock, type Ctx, type Logger, makePrivateFolder, type Random, Scope } from '#lib/base';
import type { Platform, ProxyChoice } from '#lib/oci';
import { openImages } from '../../images/open.ts';
import { type LinuxKernel, openKernel } from '../../kernel/linux/open.ts';
import { hostSecurity } from '../../runtime/isolation/host.ts';
import { defaultIsolation } from '../../runtime/isolation/settings.ts';
import { openRuntime } from '../../runtime/open.ts';
import { openMemoryFolder, runtimeStateFolder } from '../../runtime-state.ts';
import { BuildCache } from '../cache/cache.ts';
import { BOOT_ID, Builder } from './builder.ts';

export interface OwnBuilderOptions {
  readonly folder: string;
  /** Names the cgroup and the folder in memory. */
  readonly instance: string;
  readonly helperPath: string;
  /** 'auto' | 'crun' | 'runc' | path. */
  readonly runtime: string;
  readonly registries: { readonly certsFolder: string; readonly proxy?: ProxyChoice | undefined };
  /** Of the machine's. */
  readonly platform: Platform;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface OwnBuilder extends AsyncDisposable {
  readonly builder: Builder;
}

export async function openOwnBuilder(o: OwnBuilderOptions, c: Ctx): Promise<OwnBuilder> {
  const scope = new Scope('builder of its own');
  try {
    return { builder: await openParts(o, scope, c), [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

async function openParts(o: OwnBuilderOptions, scope: Scope, c: Ctx): Promise<Builder> {
  const { clock, random, log, platform, registries } = o;
  const at = (name: string): string => join(o.folder, name);
  await makePrivateFolder(o.folder);
  const kernel = scope.own(await openKernel({ helperPath: o.helperPath, environment: process.env, random }));
  const bootId = (await readFile(BOOT_ID, 'utf8')).trim();
  const cache = await BuildCache.open({ folder: at('cache'), bootId, clock, log });
  const held = (): ReturnType<BuildCache['held']> => cache.held();
  const images = scope.own(
    await openImages({ kernel, folder: at('images'), clock, random, log, held, keepsBuilt: false, ...registries }, c),
  );
  const name = `${o.instance}-build`;
  const stateFolder = runtimeStateFolder(name);
  await openMemoryFolder(stateFolder, kernel.mounts, c);
  scope.own({ [Symbol.asyncDispose]: () => closeMemoryFolder(kernel, stateFolder, c) });
  const runtime = scope.own(
    await openRuntime({ kernel, folder: at('containers'), runtime: o.runtime, stateFolder }, c),
  );
  const isolation = defaultIsolation({ seccompFolder: at('seccomp'), host: await hostSecurity() });
  const parts = { kernel, images, cache, runtime, isolation, platform, clock, random };
  const { proxy } = registries;
  return scope.own(await Builder.open({ folder: o.folder, cgroupParent: `/${name}`, proxy, ...parts }, c));
}

/** Nothing of a build runs on: what its containers had in memory goes with it. */
export async function closeMemoryFolder(kernel: LinuxKernel, folder: string, c: Ctx): Promise<void> {
  const own = { ...c, signal: new AbortController().signal };
  for (const point of await kernel.mounts.below(folder, own)) await kernel.mounts.unmount(point, own);
  await kernel.removeTree(folder, own);
}
