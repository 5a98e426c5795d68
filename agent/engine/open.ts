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
import { cgroupClaim } from '../resources/cgroup-claim.ts';
import type { RuntimeHandler } from '../runtime/handlers.ts';
import type { IsolationSettings } from '../runtime/isolation/settings.ts';
import { openRuntime } from '../runtime/open.ts';
import { openMemoryFolder, runtimeStateFolder } from '../runtime-state.ts';
import { openBuilds } from './build/open.ts';
import { openContainers } from './containers/open.ts';
import { openEvents } from './events/open.ts';
import { openFiles } from './files/open.ts';
import { EngineError } from './http/contract.ts';
import { EngineServer } from './http/server.ts';
import { openEngineImages } from './images/open.ts';
import type { ImageUser } from './images/remove.ts';
import { openNetworks } from './networks/open.ts';
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
  readonly version: string;
  /** For clients that come by TCP. */
  readonly tls?: TlsOptions | undefined;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface Engine extends AsyncDisposable {
  /** A connection whose listener allows half-open ones; nothing was read of it. */
  accept(socket: Socket, o: { readonly isTls: boolean }): void;
}

export async function openEngine(o: EngineOptions, c: Ctx): Promise<Engine> {
  const scope = new Scope('engine');
  try {
    const server = await openParts(o, scope, { ...c, signal: scope.signal });
    return {
      accept: (socket, how) => server.accept(socket, how),
      [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose](),
    };
  } catch (e) {
    await scope[Symbol.asyncDispose]();
    throw e;
  }
}

export function engineCgroups(instance: string): string {
  return `/${instance}-docker`;
}

async function openParts(o: EngineOptions, scope: Scope, c: Ctx): Promise<EngineServer> {
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
  add(await openSystem(host));
  await own.resume({ execIds: (id) => streams.execIds(id) });
  const routes = parts.flatMap((p) => p.routes);
  return scope.own(new EngineServer({ routes, version: o.version, tls: o.tls, clock: o.clock, log: o.log }));
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
  const { kernel, images, folder, instance, isolation, registries, version, clock, random, log } = o;
  await makePrivateFolder(folder);
  const stateFolder = runtimeStateFolder(`${instance}-docker`);
  await openMemoryFolder(stateFolder, kernel.mounts, c);
  const { runtime: program, runtimeHandlers: handlers } = o;
  const runtime = scope.own(
    await openRuntime({ kernel, folder: join(folder, 'runtime'), runtime: program, handlers, stateFolder }, c),
  );
  const cgroupParent = engineCgroups(instance);
  const claim = await cgroupClaim(join(folder, 'cgroup-claim'), random);
  await kernel.cgroups.ensure(`${cgroupParent}/${claim}`, {}, c);
  const shared = { kernel, images, runtime, isolation, registries };
  return { ...shared, folder, instance, cgroupParent, version, clock, random, log };
}
