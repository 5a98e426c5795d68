/** What the session says of the node's wishes, brought to those whom it concerns. */
import type { Ctx, Scope } from '#lib/base';
import type { Network } from './network/network.ts';
import type { NodePlugins } from './plugins/open.ts';
import type { PodManager } from './pods/manager.ts';
import type { NodeObjects } from './pods/objects.ts';
import type { CpuManager } from './resources/cpu-manager.ts';
import type { DesiredChange } from './session/session.ts';
import type { StaticPods } from './static-pods/static-pods.ts';
import type { LocalStorage } from './volumes/local-storage.ts';

export interface FollowOptions {
  readonly objects: NodeObjects;
  readonly manager: PodManager;
  readonly statics: StaticPods;
  readonly network: Network;
  readonly storage: LocalStorage;
  readonly plugins: NodePlugins;
  readonly cpus: CpuManager | undefined;
  readonly scope: Scope;
  readonly c: Ctx;
}

/** Brings the session's changes to objects, pods and network, in that order. */
export class Follow {
  readonly #o: FollowOptions;
  #isCleaned = false;
  /** A half-replayed wish would reject services for a moment, so nothing is written before the first `synced`. */
  #isSynced = false;

  constructor(o: FollowOptions) {
    this.#o = o;
  }

  apply(changes: readonly DesiredChange[]): void {
    const { objects, manager, statics, storage, plugins } = this.#o;
    for (const change of changes) objects.apply(change);
    manager.apply(statics.withoutMirrors(changes));
    storage.apply(changes);
    plugins.apply(changes);
    if (changes.some((x) => x.resource === 'services' || x.resource === 'endpointslices' || x.resource === 'nodes'))
      this.#sync();
  }

  synced(from: 'disk' | 'gateway'): void {
    this.#isSynced = true;
    this.#sync();
    this.#o.statics.start();
    if (from !== 'gateway') return;
    this.#o.manager.connected();
    this.#o.storage.connected();
    this.#o.plugins.connected();
    this.#o.statics.connected();
    if (this.#isCleaned) return;
    this.#isCleaned = true;
    const onSwept = (): void => {
      /* Not before: what nobody wants any more runs on until its end, on its CPUs and devices, and has a worker for it by now. */
      const uids = new Set([...this.#o.manager.workers()].map((w) => w.uid));
      this.#o.cpus?.retain(uids);
      this.#o.plugins.retain(uids);
      this.#o.plugins.cleaned();
    };
    this.#o.scope.spawn('remove unwanted', (signal) => this.#o.manager.keepClean({ ...this.#o.c, signal }, onSwept));
  }

  /** There is no control plane any more that would say otherwise. */
  lost(): void {
    this.#o.storage.disconnected();
  }

  #sync(): void {
    if (!this.#isSynced) return;
    const { objects, network, c } = this.#o;
    const table = {
      services: objects.list('services'),
      slices: objects.list('endpointslices'),
      nodes: objects.list('nodes'),
    };
    network.sync(table, c).catch((e: unknown) => c.log.warn({ err: e }, 'the service table could not be written'));
  }
}
