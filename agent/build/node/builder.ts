/**
 * The builder of one home: its images, its cache and its containers, beside those of pods. One process has it at a time.
 *
 *   HOME/images      layers and images        HOME/cache    steps (../cache/cache.ts)      HOME/containers  of RUNs that go on
 *   HOME/mounts      RUN --mount=type=cache   HOME/steps    what one build needs meanwhile
 *
 * Life: open (what a crash left is removed) → build, several at the same time → dispose.
 */
import { mkdir, readFile, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Ctx, type Logger, makePrivateFolder, type Random, Scope } from '#lib/base';
import { type Platform, type ProxyChoice, Transport } from '#lib/oci';
import type { PullOptions } from '../../images/images.ts';
import { type OpenImages, openImages } from '../../images/open.ts';
import { isPlatform } from '../../images/platform.ts';
import { SingleFlight } from '../../images/single-flight.ts';
import { type LinuxKernel, openKernel } from '../../kernel/linux/open.ts';
import { Slots } from '../../pods/slots.ts';
import { hostSecurity } from '../../runtime/isolation/host.ts';
import { defaultIsolation } from '../../runtime/isolation/settings.ts';
import { type OpenRuntime, openRuntime } from '../../runtime/open.ts';
import { openMemoryFolder, runtimeStateFolder } from '../../runtime-state.ts';
import { BuildCache } from '../cache/cache.ts';
import type { SourceTree } from '../context/tree.ts';
import { DockerfileError } from '../dockerfile/error.ts';
import { parseDockerfile } from '../dockerfile/parse.ts';
import type { BuildHost } from '../solve/options.ts';
import type { OnEvent } from '../solve/progress.ts';
import { solve } from '../solve/solver.ts';
import type { Layer } from '../solve/worker.ts';
import { type PlannedStage, planBuild } from '../stage/plan.ts';
import { type BuildArgs, GlobalScope, platformArgs } from '../stage/scope.ts';
import { CacheMounts } from './cache-mounts.ts';
import { type FinishedImage, finish } from './finish.ts';
import type { StepHost } from './step-container.ts';
import { NodeBuildWorker } from './worker.ts';

export interface BuilderOptions {
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

export interface BuildRequest {
  /** The text of the Dockerfile. */
  readonly dockerfile: string;
  readonly context: SourceTree | undefined;
  /** '' = the last stage. */
  readonly target: string;
  readonly buildArgs: BuildArgs;
  readonly labels: Readonly<Record<string, string>>;
  readonly tags: readonly string[];
  readonly noCache: boolean;
  readonly pull: boolean;
  readonly secrets: ReadonlyMap<string, Uint8Array>;
  readonly network: 'default' | 'none' | 'host';
  /** SOURCE_DATE_EPOCH. */
  readonly latestMs: number | undefined;
  readonly credentials?: PullOptions['credentials'];
  readonly onEvent: OnEvent;
  /** Get the image while all of it is kept. */
  readonly outputs: readonly ((image: FinishedImage, c: Ctx) => Promise<void>)[];
}

/** Of the machine's memory, for all steps together. */
const MEMORY_SHARE = 0.8;
const PIDS_MAX = 32_768;
const CPU_SHARES = 512;
/** Of the disk, for what the cache keeps. */
const CACHE_SHARE = 0.2;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export class Builder implements AsyncDisposable {
  readonly #o: BuilderOptions;
  readonly #scope: Scope;
  readonly #images: OpenImages;
  readonly #host: Omit<BuildHost, 'worker'>;
  readonly #step: StepHost;
  readonly #caches: CacheMounts;
  readonly #transport: Transport;
  readonly #bootId: string;

  private constructor(
    o: BuilderOptions,
    scope: Scope,
    parts: { images: OpenImages; step: StepHost; cache: BuildCache; transport: Transport; bootId: string },
  ) {
    this.#o = o;
    this.#scope = scope;
    this.#images = parts.images;
    this.#step = parts.step;
    this.#transport = parts.transport;
    this.#bootId = parts.bootId;
    const { random } = o;
    this.#caches = new CacheMounts({ folder: join(o.folder, 'mounts'), random, kernel: parts.step.kernel });
    this.#host = {
      cache: parts.cache,
      flights: new SingleFlight<Layer>(),
      slots: new Slots(Math.max(2, availableParallelism())),
      clock: o.clock,
    };
  }

  static async open(o: BuilderOptions, c: Ctx): Promise<Builder> {
    const scope = new Scope('builder');
    try {
      return await openBuilder(o, scope, c, (parts) => new Builder(o, scope, parts));
    } catch (e) {
      await scope[Symbol.asyncDispose]();
      throw e;
    }
  }

  get images(): OpenImages {
    return this.#images;
  }

  get cache(): BuildCache {
    return this.#host.cache;
  }

  /** Throws DockerfileError, or what failed first. A cancelled or failed build leaves its finished steps in the cache. */
  async build(r: BuildRequest, c: Ctx): Promise<FinishedImage> {
    const { platform, folder, random } = this.#o;
    const file = parseDockerfile(r.dockerfile);
    for (const w of file.warnings) r.onEvent({ kind: 'warning', message: w.message, line: w.line });
    const args = platformArgs(platform, platform, r.target);
    const globals = new GlobalScope({ buildArgs: r.buildArgs, platform: args, escape: file.escapeToken });
    for (const g of file.globalArgs) for (const { key, value } of g.args) globals.declare(key, value);
    const plan = planBuild(file, r.target, (text) => globals.expand(text));
    refuseOtherPlatforms(plan.needed, platform);
    const session = this.#images.builds.session();
    const scratch = join(folder, 'steps', random.hex(8));
    const shared = { step: this.#step, session, caches: this.#caches, transport: this.#transport };
    const { buildArgs, context, pull, secrets, network, latestMs, onEvent } = r;
    await using worker = await NodeBuildWorker.open({ ...shared, scratch, credentials: r.credentials }, c);
    const solved = await solve(
      {
        ...this.#host,
        ...{ worker, file, plan, globals, buildArgs, platform, context, pull, secrets, network, latestMs, onEvent },
        isUncached: () => r.noCache,
      },
      c,
    );
    const { image, syncedMs } = await finish(session, solved, r, c);
    await this.#host.cache.synced(this.#bootId, syncedMs);
    for (const output of r.outputs) await output(image, c);
    return image;
  }

  /** Forgets steps above the cache's share of the disk, least recently used first, and removes what nobody needs. */
  async tidy(c: Ctx): Promise<void> {
    const { blocks, bsize } = await statfs(this.#o.folder);
    await this.#host.cache.prune({ keepBytes: blocks * bsize * CACHE_SHARE });
    await this.#images.builds.sweep(c);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}

async function openBuilder(
  o: BuilderOptions,
  scope: Scope,
  c: Ctx,
  make: (parts: {
    images: OpenImages;
    step: StepHost;
    cache: BuildCache;
    transport: Transport;
    bootId: string;
  }) => Builder,
): Promise<Builder> {
  const { clock, random, log } = o;
  const at = (name: string): string => join(o.folder, name);
  await makePrivateFolder(o.folder);
  const kernel = scope.own(await openKernel({ helperPath: o.helperPath, environment: process.env, random }));
  const bootId = (await readFile(BOOT_ID, 'utf8')).trim();
  const cache = await BuildCache.open({ folder: at('cache'), bootId, clock, log });
  const held = (): ReturnType<BuildCache['held']> => cache.held();
  const images = scope.own(
    await openImages({ kernel, folder: at('images'), clock, random, log, held, keepsBuilt: false, ...o.registries }, c),
  );
  const name = `${o.instance}-build`;
  const stateFolder = runtimeStateFolder(name);
  await openMemoryFolder(stateFolder, kernel.mounts, c);
  scope.own({ [Symbol.asyncDispose]: () => closeMemoryFolder(kernel, stateFolder, c) });
  const runtime = scope.own(
    await openRuntime({ kernel, folder: at('containers'), runtime: o.runtime, stateFolder }, c),
  );
  const cgroupParent = `/${name}`;
  await removeLeftovers({ kernel, runtime, images, folder: o.folder, cgroupParent }, c);
  await kernel.cgroups.ensure(
    cgroupParent,
    { memoryBytes: Math.floor(totalmem() * MEMORY_SHARE), pids: PIDS_MAX, cpuShares: CPU_SHARES },
    c,
  );
  scope.own({
    [Symbol.asyncDispose]: () => kernel.cgroups.remove(cgroupParent, { ...c, signal: new AbortController().signal }),
  });
  const isolation = defaultIsolation({ seccompFolder: at('seccomp'), host: await hostSecurity() });
  const transport = scope.own(new Transport({ proxy: o.registries.proxy }));
  return make({ images, cache, transport, bootId, step: { kernel, runtime, isolation, cgroupParent, random } });
}

/** Nothing of a build runs on: what its containers had in memory goes with it. */
async function closeMemoryFolder(kernel: LinuxKernel, folder: string, c: Ctx): Promise<void> {
  const own = { ...c, signal: new AbortController().signal };
  for (const point of await kernel.mounts.below(folder, own)) await kernel.mounts.unmount(point, own);
  await kernel.removeTree(folder, own);
}

/** What runs here is what is built here: there is no emulation. */
function refuseOtherPlatforms(stages: readonly PlannedStage[], own: Platform): void {
  for (const { platform, stage } of stages) {
    if (platform === undefined || isPlatform(platform, own)) continue;
    const text = `--platform=${platform}: this node builds for ${own.os}/${own.architecture} alone`;
    throw new DockerfileError(stage.from.lines, text);
  }
}

/** Of a builder that was killed. */
async function removeLeftovers(
  o: { kernel: LinuxKernel; runtime: OpenRuntime; images: OpenImages; folder: string; cgroupParent: string },
  c: Ctx,
): Promise<void> {
  const { kernel, runtime, images } = o;
  for (const { id } of await runtime.list(c)) await runtime.remove(id, c);
  await images.builds.removeLeftovers(c);
  const steps = join(o.folder, 'steps');
  for (const point of await kernel.mounts.below(steps, c)) await kernel.mounts.unmount(point, c);
  await kernel.removeTree(steps, c);
  await mkdir(steps, { mode: 0o700 });
  await kernel.cgroups.remove(o.cgroupParent, c);
}
