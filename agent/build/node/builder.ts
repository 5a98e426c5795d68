/**
 * Builds over the images of a node: its cache and its containers are its own, beside those of pods and of the Docker API.
 *
 *   FOLDER/mounts    RUN --mount=type=cache      FOLDER/steps    what one build needs meanwhile
 *
 * Life: open (what a crash left is removed) → build, several at the same time → dispose. Whoever opens it keeps the layers of
 * `cache` from the collector of `images`.
 */
import { mkdir, readFile, statfs } from 'node:fs/promises';
import { availableParallelism, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Clock, type Ctx, makePrivateFolder, type Random, Scope } from '#lib/base';
import { type Platform, type ProxyChoice, Transport } from '#lib/oci';
import type { PullOptions } from '../../images/images.ts';
import type { OpenImages } from '../../images/open.ts';
import { SingleFlight } from '../../images/single-flight.ts';
import type { LinuxKernel } from '../../kernel/linux/open.ts';
import { Slots } from '../../pods/slots.ts';
import type { IsolationSettings } from '../../runtime/isolation/settings.ts';
import type { OpenRuntime } from '../../runtime/open.ts';
import type { BuildCache } from '../cache/cache.ts';
import { type BuiltStep, CacheExports } from '../cache/exported.ts';
import { ImportedCaches } from '../cache/imported.ts';
import type { CacheExport } from '../cache/travelling.ts';
import type { SourceTree } from '../context/tree.ts';
import { type Dockerfile, parseDockerfile } from '../dockerfile/parse.ts';
import { tidyPushedLayers } from '../output/pushed-layers.ts';
import type { BuildHost } from '../solve/options.ts';
import type { BuildEvent, OnEvent } from '../solve/progress.ts';
import { solve } from '../solve/solver.ts';
import { platformOf } from '../solve/stage.ts';
import type { Layer } from '../solve/worker.ts';
import type { SshAgent } from '../ssh/agent.ts';
import { type BuildPlan, planBuild } from '../stage/plan.ts';
import { type BuildArgs, GlobalScope, platformArgs } from '../stage/scope.ts';
import { CacheMounts } from './cache-mounts.ts';
import { type FinishedImage, finish } from './finish.ts';
import type { StepHost } from './step-container.ts';
import { DEFAULT_STEP, type StepSettings } from './step-settings.ts';
import { NodeBuildWorker } from './worker.ts';

export interface BuilderOptions {
  /** Its own. */
  readonly folder: string;
  readonly kernel: LinuxKernel;
  readonly images: OpenImages;
  readonly cache: BuildCache;
  /** For steps alone: what runs in it when the builder is opened is what a crash left, and is ended. */
  readonly runtime: OpenRuntime;
  readonly isolation: IsolationSettings;
  /** Of all steps; made and removed here. */
  readonly cgroupParent: string;
  readonly proxy?: ProxyChoice | undefined;
  /** Of the machine's. */
  readonly platform: Platform;
  readonly clock: Clock;
  readonly random: Random;
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
  /** SSH agents by id, for RUN --mount=type=ssh. */
  readonly agents?: ReadonlyMap<string, SshAgent> | undefined;
  readonly network: 'default' | 'none' | 'host';
  /** Of all RUNs; absent: nothing beyond the builder's own. */
  readonly step?: StepSettings | undefined;
  /** Default: the machine's. */
  readonly platform?: Platform | undefined;
  /** SOURCE_DATE_EPOCH. */
  readonly latestMs: number | undefined;
  /** Of bases. */
  readonly pulls?: PullOptions | undefined;
  /** References, as `--cache-from` has them. */
  readonly cacheFrom?: readonly string[] | undefined;
  readonly cacheTo?: readonly CacheExport[] | undefined;
  readonly localName?: ((name: string, c: Ctx) => Promise<string | undefined>) | undefined;
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
/** And for folders of RUN --mount=type=cache. */
const MOUNTS_SHARE = 0.1;
export const BOOT_ID = '/proc/sys/kernel/random/boot_id';

export class Builder implements AsyncDisposable {
  readonly #o: BuilderOptions;
  readonly #scope: Scope;
  readonly #host: Omit<BuildHost, 'worker'>;
  readonly #step: StepHost;
  readonly #caches: CacheMounts;
  readonly #transport: Transport;
  readonly #bootId: string;

  private constructor(o: BuilderOptions, scope: Scope, bootId: string) {
    const { cache, cgroupParent, clock, folder, isolation, kernel, random, runtime } = o;
    this.#o = o;
    this.#scope = scope;
    this.#step = { kernel, runtime, isolation, cgroupParent, random };
    this.#transport = scope.own(new Transport({ proxy: o.proxy }));
    this.#bootId = bootId;
    this.#caches = new CacheMounts({ folder: join(folder, 'mounts'), random, kernel });
    const slots = new Slots(Math.max(2, availableParallelism()));
    this.#host = { cache, flights: new SingleFlight<Layer>(), slots, clock };
  }

  static async open(o: BuilderOptions, c: Ctx): Promise<Builder> {
    const { cgroupParent, folder, kernel } = o;
    await makePrivateFolder(folder);
    await removeLeftovers(o, c);
    await tidyPushedLayers(join(folder, 'pushed'));
    const memoryBytes = Math.floor(totalmem() * MEMORY_SHARE);
    await kernel.cgroups.ensure(cgroupParent, { memoryBytes, pids: PIDS_MAX, cpuShares: CPU_SHARES }, c);
    const scope = new Scope('builder');
    scope.own({
      [Symbol.asyncDispose]: () => kernel.cgroups.remove(cgroupParent, { ...c, signal: new AbortController().signal }),
    });
    const builder = new Builder(o, scope, (await readFile(BOOT_ID, 'utf8')).trim());
    await builder.mounts.removeLeftovers(c);
    return builder;
  }

  get images(): OpenImages {
    return this.#o.images;
  }

  get mounts(): CacheMounts {
    return this.#caches;
  }

  get cache(): BuildCache {
    return this.#host.cache;
  }

  /** Throws DockerfileError, or what failed first. A cancelled or failed build leaves its finished steps in the cache. */
  async build(r: BuildRequest, c: Ctx): Promise<FinishedImage> {
    const { folder, random } = this.#o;
    const buildPlatform = this.#o.platform;
    const platform = r.platform ?? buildPlatform;
    const file = parseDockerfile(r.dockerfile);
    for (const w of file.warnings) void r.onEvent({ kind: 'warning', message: w.message, line: w.line });
    const args = platformArgs(buildPlatform, platform, r.target);
    const globals = new GlobalScope({ buildArgs: r.buildArgs, platform: args, escape: file.escapeToken });
    for (const g of file.globalArgs) for (const { key, value } of g.args) globals.declare(key, value);
    const plan = planBuild(file, r.target, (text) => globals.expand(text));
    for (const stage of plan.needed) platformOf(stage, platform);
    void r.onEvent(planned(file, plan));
    const session = this.#o.images.builds.session();
    const scratch = join(folder, 'steps', random.hex(8));
    const step = { ...this.#step, settings: r.step ?? DEFAULT_STEP };
    const shared = { step, session, caches: this.#caches, transport: this.#transport };
    const { buildArgs, context, pull, secrets, network, latestMs, onEvent } = r;
    const { registries } = this.#o.images;
    const pulls = r.pulls ?? {};
    const warn = (message: string): void => void r.onEvent({ kind: 'warning', message, line: undefined });
    const references = r.noCache ? [] : (r.cacheFrom ?? []);
    const imports = await ImportedCaches.open({ references, registries, session, pulls, warn }, c);
    await using worker = await NodeBuildWorker.open({ ...shared, scratch, pulls, localName: r.localName, imports }, c);
    const steps: BuiltStep[] = [];
    const solved = await solve(
      {
        ...this.#host,
        ...{
          worker,
          file,
          plan,
          globals,
          buildArgs,
          platform,
          buildPlatform,
          context,
          pull,
          secrets,
          network,
          latestMs,
          onEvent,
        },
        agents: r.agents,
        isUncached: () => r.noCache,
        onLayer: (step) => void steps.push(step),
      },
      c,
    );
    const exports = new CacheExports(r.cacheTo ?? [], steps, solved);
    const { image, syncedMs } = await finish(session, solved, { ...r, inline: exports.inline }, c);
    await this.#host.cache.synced(this.#bootId, syncedMs);
    for (const output of r.outputs) await output(image, c);
    await exports.push({ registries, session, pulls, platform, folder: join(folder, 'pushed'), warn }, c);
    return image;
  }

  /** Forgets steps above the cache's share of the disk, least recently used first, and removes what nobody needs then. */
  async tidy(c: Ctx): Promise<void> {
    const { blocks, bsize } = await statfs(this.#o.folder);
    const gone = await this.#host.cache.prune({ keepBytes: blocks * bsize * CACHE_SHARE });
    if (gone.length > 0) await this.#o.images.builds.sweep(c);
    await this.#caches.prune({ keepBytes: blocks * bsize * MOUNTS_SHARE }, c);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
  }
}

function planned(file: Dockerfile, plan: BuildPlan): BuildEvent {
  const args = [...file.globalArgs, ...plan.needed.flatMap(({ stage }) => stage.instructions)];
  return {
    kind: 'planned',
    globalArgs: file.globalArgs.map((g) => g.original.trim()),
    stages: plan.needed.map(({ index, stage: { from, instructions } }) => ({
      ...{ index, from: from.original.trim(), steps: instructions.length },
    })),
    args: args.flatMap((i) => (i.kind === 'ARG' ? i.args.map((a) => a.key) : [])),
  };
}

/** Of a builder that was killed. */
async function removeLeftovers(o: BuilderOptions, c: Ctx): Promise<void> {
  const { kernel, runtime, images } = o;
  for (const { id } of await runtime.list(c)) await runtime.remove(id, c);
  await images.builds.removeLeftovers(c);
  const steps = join(o.folder, 'steps');
  for (const point of await kernel.mounts.below(steps, c)) await kernel.mounts.unmount(point, c);
  await kernel.removeTree(steps, c);
  await mkdir(steps, { mode: 0o700 });
  await kernel.cgroups.remove(o.cgroupParent, c);
}
