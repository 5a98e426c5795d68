/**
 * The Docker Engine of one node: its parts, each opened on what the ones before it gave, and the server of their routes. It
 * stands on a kernel and a store of images that its caller has (an agent shares them with its pods), and has a runtime, a
 * cgroup parent and a folder of its own: pods and Docker's containers never mix (ADR 0028).
 *
 * Closing it leaves every container running; the next one finds them by their records.
 */
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { type Clock, type Ctx, type Logger, makePrivateFolder, type Random, Scope } from '#lib/base';
import type { TlsOptions } from '#lib/http';
import type { ImagesOptions, OpenImages } from '../images/open.ts';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import type { NodeContainer } from '../pods/node-containers.ts';
import { cgroupClaim } from '../resources/cgroup-claim.ts';
import type { RuntimeHandler } from '../runtime/handlers.ts';
import type { IsolationSettings } from '../runtime/isolation/settings.ts';
import { openRuntime } from '../runtime/open.ts';
import { openMemoryFolder, runtimeStateFolder } from '../runtime-state.ts';
import { openBuilds } from './build/open.ts';
import { engineCgroups } from './cgroups.ts';
import { openContainers } from './containers/open.ts';
import type { Events } from './events/events.ts';
import { openEvents } from './events/open.ts';
import { openFiles } from './files/open.ts';
import { EngineError } from './http/contract.ts';
import { EngineServer } from './http/server.ts';
import { openEngineImages } from './images/open.ts';
import type { ImageUser } from './images/remove.ts';
import { openNetworks } from './networks/open.ts';
import { teardownEngineNetworks } from './networks/teardown.ts';
import type { EngineContainers, EngineHost, EnginePart } from './parts.ts';
import { openStreams } from './streams/open.ts';
import { openSystem } from './system/open.ts';
import { openVolumes } from './volumes/open.ts';

export interface EngineOptions {
  readonly kernel: LinuxKernel;
  readonly images: OpenImages;
  /** `$BERTH_HOME/engine` */
  readonly folder: string;
  readonly instance: string;
  /** 'auto' | 'crun' | 'runc' | path. */
  readonly runtime: string;
  /** What `--runtime` may name besides. */
  readonly runtimeHandlers: readonly RuntimeHandler[];
  readonly isolation: IsolationSettings;
  readonly registries: Pick<ImagesOptions, 'certsFolder' | 'proxy'>;
  /** Of the node, beside this engine's; absent where there are no pods. */
  readonly pods?: ((c: Ctx) => Promise<readonly NodeContainer[]>) | undefined;
  readonly version: string;
  /** For clients that come by TCP. */
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface Engine extends AsyncDisposable {
  readonly events: Events;
  /** A connection whose listener allows half-open ones; nothing was read of it. */
  accept(socket: Socket, o: { readonly isTls: boolean }): void;
}

export async function openEngine(o: EngineOptions, c: Ctx): Promise<Engine> {
  const scope = new Scope('engine');
  try {
    const { events, server } = await openParts(o, scope, { ...c, signal: scope.signal });
    return {
      events,
      accept: (socket, how) => server.accept(socket, how),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

async function openParts(o: EngineOptions, scope: Scope, c: Ctx): Promise<{ events: Events; server: EngineServer }> {
  const host = await openHost(o, scope, c);
  const parts: EnginePart[] = [];
  const add = <T extends EnginePart>(part: T): T => {
    parts.push(part);
    return part;
  };
  const containers = new Later<EngineContainers>('containers');
  const { events } = add(openEvents(host));
  const shared = { events, containers: () => containers.get() };
  const images = add(await openEngineImages(host, { events, users: () => usersOf(containers) }, c));
  const volumes = add(await openVolumes(host, shared, c));
  const networks = add(scope.own(await openNetworks(host, shared, c)));
  const own = add(scope.own(await openContainers(host, { events, images, volumes, networks }, c)));
  containers.set(own.containers);
  const streams = add(scope.own(openStreams(host, { events, containers: own.containers }, c)));
  add(await openFiles(host, { events, images, containers: own.containers }, c));
  scope.own(add(await openBuilds(host, { events, images }, c)));
  const system = { events, containers: own.containers, parts, pods: o.pods };
  add(scope.own(await openSystem(host, system)));
  await own.resume({ execIds: (id) => streams.execIds(id) });
  const routes = parts.flatMap((p) => p.routes);
  const { tls, clock, log } = o;
  return { events, server: scope.own(new EngineServer({ routes, version: host.version, tls, clock, log })) };
}

function usersOf(containers: Later<EngineContainers>): readonly ImageUser[] {
  return containers
    .get()
    .list()
    .map(({ id, record, status }) => ({
      ...{ id, imageId: record.imageId },
      isRunning: ['running', 'paused', 'restarting'].includes(status),
    }));
}

/** A part that others ask for only when all are open. */
class Later<T> {
  readonly #what: string;
  #part: T | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  set(part: T): void {
    this.#part = part;
  }

  get(): T {
    if (this.#part === undefined)
      throw new EngineError(503, `the engine is being opened: ${this.#what} are not there yet`);
    return this.#part;
  }
}

async function openHost(o: EngineOptions, scope: Scope, c: Ctx): Promise<EngineHost> {
  const { kernel, images, folder, instance, isolation, registries, clock, random, log } = o;
  const version = o.version.replace(/^v/, '');
  await makePrivateFolder(folder);
  const stateFolder = runtimeStateFolder(`${instance}-docker`);
  await openMemoryFolder(stateFolder, kernel.mounts, c);
  const cgroupParent = engineCgroups(instance);
  /* Closed last, when the signal of all else has gone off: its cleaning up is not to be cancelled. */
  const own: Ctx = { ...c, signal: new AbortController().signal };
  let isIdle = false;
  scope.defer(async () => {
    if (isIdle) await removeIdle({ kernel, instance, folder, stateFolder }, own);
  });
  const { runtime: program, runtimeHandlers: handlers } = o;
  const runtime = scope.own(
    await openRuntime({ kernel, folder: join(folder, 'runtime'), runtime: program, handlers, stateFolder }, c),
  );
  scope.defer(async () => {
    isIdle = (await runtime.list(own)).every((r) => r.state.phase !== 'running');
  });
  const claim = await cgroupClaim(join(folder, 'cgroup-claim'), random);
  await kernel.cgroups.ensure(`${cgroupParent}/${claim}`, {}, c);
  const shared = { kernel, images, runtime, isolation, registries };
  return { ...shared, folder, instance, cgroupParent, version, clock, random, log };
}

/** Nothing runs on: what is there for that goes too, and is made again by the next. */
async function removeIdle(
  o: { readonly kernel: LinuxKernel; readonly instance: string; readonly folder: string; readonly stateFolder: string },
  c: Ctx,
): Promise<void> {
  const { kernel, instance, folder, stateFolder } = o;
  const { programs, namespaces } = kernel;
  await kernel.cgroups.remove(engineCgroups(instance), c);
  await teardownEngineNetworks({ programs, namespaces, instance, folder }, c);
  await kernel.mounts.unmount(stateFolder, c);
  await kernel.removeTree(stateFolder, c);
}
