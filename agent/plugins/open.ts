/**
 * What plugins add to a node, put together: the folder they know, their registration, volumes of CSI drivers, devices.
 * See docs/adr/0023-plugins-of-a-node.md.
 */
import { join } from 'node:path';
import type { DeepReadonly, Event, Pod } from '#lib/api';
import { type Ctx, type MetricFamily, messageOf, type Random, type Scope, timeText, Wake } from '#lib/base';
import { CsiDrivers } from '../csi/drivers.ts';
import { CsiExpansion } from '../csi/expansion.ts';
import { CsiStats } from '../csi/stats.ts';
import { CsiVolumes } from '../csi/volumes.ts';
import { DeviceManager } from '../devices/manager.ts';
import { podResourcesAnswers, podResourcesService } from '../devices/pod-resources.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { NodeOptions } from '../node.ts';
import type { PodObject } from '../pods/model.ts';
import type { NodeObjects } from '../pods/objects.ts';
import type { CpuManager } from '../resources/cpu-manager.ts';
import type { SessionReports } from '../session/reports.ts';
import type { DesiredChange, DesiredResource } from '../session/session.ts';
import type { VolumeSources } from '../volumes/volume.ts';
import { PluginRegistry } from './registry.ts';
import { openPluginRoot, type PluginFolders } from './root.ts';
import { servePlugins } from './server.ts';

export interface NodePluginsOptions {
  readonly kernel: Pick<Kernel, 'programs' | 'ownTree'>;
  readonly home: string;
  readonly root: string;
  readonly nodeName: string;
  readonly bootId: string;
  readonly objects: NodeObjects;
  readonly sources: Pick<VolumeSources, 'claim' | 'persistentVolume' | 'secret' | 'serviceAccountToken'>;
  readonly session: SessionReports;
  readonly random: Random;
}

const CLEAN_RETRY_MS = 10_000;
/** Of which a volume may be waiting for a change. */
const WAITED_FOR: ReadonlySet<DesiredResource> = new Set([
  'nodes',
  'secrets',
  'persistentvolumes',
  'persistentvolumeclaims',
  'csidrivers',
  'volumeattachments',
]);

export class NodePlugins {
  readonly csi: CsiVolumes;
  readonly devices: DeviceManager;
  /** What the node says of itself has changed. */
  readonly statusDue: Wake;
  readonly #drivers: CsiDrivers;
  readonly #expansion: CsiExpansion;
  readonly #registry: PluginRegistry;
  readonly #unused = new Wake();
  #stats: CsiStats | undefined;

  readonly #clock: Ctx['clock'];
  readonly #objects: NodeObjects;
  readonly #folders: PluginFolders;

  private constructor(
    o: NodePluginsOptions,
    parts: { readonly folders: PluginFolders; readonly devices: DeviceManager; readonly statusDue: Wake },
    c: Ctx,
  ) {
    const { objects, nodeName, session } = o;
    this.#clock = c.clock;
    const { folders } = parts;
    this.devices = parts.devices;
    this.#objects = objects;
    this.#folders = folders;
    this.statusDue = parts.statusDue;
    this.#drivers = new CsiDrivers({
      report: (driver, ctx) => session.putCsiDriver(driver, ctx),
      onChange: () => this.csi.changes.tell(),
    });
    const sources = {
      ...o.sources,
      csiDriver: (name: string) => objects.get('csidrivers', '', name),
      attachment: (name: string) => objects.get('volumeattachments', '', name),
      volumesInUse: () => objects.get('nodes', '', nodeName)?.status?.volumesInUse ?? [],
    };
    this.csi = new CsiVolumes({
      ...{ kernel: o.kernel, folders, drivers: this.#drivers, sources, nodeName, bootId: o.bootId },
      onUse: () => this.statusDue.kick(),
    });
    this.#expansion = new CsiExpansion({
      volumes: this.csi,
      sources,
      claimResized: (claim, storage, ctx) => session.claimResized(claim, storage, ctx),
      event: (pod, type, reason, message) =>
        session.event(podEvent(pod, { type, reason, message }, { nodeName, now: timeText(c.clock.now()) })),
      random: o.random,
    });
    this.#registry = new PluginRegistry({
      ...folders,
      folder: folders.registry,
      handlers: { CSIPlugin: this.#drivers },
    });
  }

  static async open(o: NodePluginsOptions, c: Ctx): Promise<NodePlugins> {
    const folders = await openPluginRoot(o, c);
    const statusDue = new Wake();
    const deviceOptions = { folder: folders.devicePlugins, path: join(o.home, 'devices.json') };
    const devices = await DeviceManager.open({ ...deviceOptions, onChange: () => statusDue.kick() }, c);
    const plugins = new NodePlugins(o, { folders, devices, statusDue }, c);
    await plugins.csi.open(c);
    return plugins;
  }

  /** For agent/node.ts. */
  get node(): NodeOptions['plugins'] {
    return { volumesInUse: () => this.csi.volumesInUse(), devices: () => this.devices.status(this.#clock.now()) };
  }

  async start(scope: Scope, cpus: CpuManager | undefined, c: Ctx): Promise<void> {
    const answers = podResourcesAnswers({
      pods: () => this.#objects.list('pods').filter((p) => !hasEnded(p)),
      devicesOf: (uid, container) => this.devices.devicesOf(uid, container),
      allocatableDevices: () => this.devices.allocatableDevices(),
      cpusOf: (uid, container) => cpus?.exclusiveCpusOf(uid, container) ?? [],
      allocatableCpus: () => cpus?.allocatable ?? [],
    });
    const socket = join(this.#folders.podResources, 'kubelet.sock');
    await this.#orWithout('pod-resources', c, async () => {
      scope.own(await servePlugins({ socket, service: podResourcesService(), answers }, c));
    });
    scope.spawn('plugins', (signal) => this.#registry.run({ ...c, signal }));
    scope.spawn('CSI drivers', (signal) => this.#drivers.run({ ...c, signal }));
    scope.spawn('CSI expansion', (signal) => this.#expansion.run({ ...c, signal }));
    scope.spawn('CSI volumes', (signal) => this.#removeUnused({ ...c, signal }));
    scope.spawn('device plugins', (signal) => {
      const own = { ...c, signal };
      return this.#orWithout('device plugins', own, () => this.devices.run(own));
    });
    this.#stats = new CsiStats(this.csi, scope, c);
    scope.own(this.#drivers);
  }

  /** How full volumes are. */
  metrics(): readonly MetricFamily[] {
    return this.#stats?.metrics() ?? [];
  }

  apply(changes: readonly DesiredChange[]): void {
    if (changes.some((x) => WAITED_FOR.has(x.resource))) this.csi.changes.tell();
  }

  connected(): void {
    this.#drivers.connected();
  }

  /** These pods there are; others have nothing any more. */
  retain(uids: ReadonlySet<string>): void {
    this.devices.retain(uids);
  }

  /** Pods that nobody wants have gone: what is left belongs to none. */
  cleaned(): void {
    this.#unused.kick();
  }

  /** A socket that cannot be made, as where the home's path is too long for one, must not stop the node. */
  async #orWithout(what: string, c: Ctx, fn: () => Promise<void>): Promise<void> {
    try {
      await fn();
    } catch (e) {
      c.signal.throwIfAborted();
      c.log.error({ err: messageOf(e) }, `this node is without ${what}`);
    }
  }

  async #removeUnused(c: Ctx): Promise<void> {
    this.#unused.clear();
    for (let isDone = true; ; ) {
      await this.#unused.sleepUntil(isDone ? undefined : c.clock.now() + CLEAN_RETRY_MS, c);
      this.#unused.clear();
      isDone = await this.csi.removeUnused(c).then(
        () => true,
        (e: unknown) => {
          c.signal.throwIfAborted();
          c.log.warn({ err: messageOf(e) }, 'a volume that no pod uses could not be unstaged');
          return false;
        },
      );
    }
  }
}

function hasEnded({ status }: PodObject): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

function podEvent(
  pod: DeepReadonly<Pod>,
  what: { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string },
  o: { readonly nodeName: string; readonly now: string },
): Parameters<SessionReports['event']>[0] {
  const { namespace = '', name, uid = '' } = pod.metadata;
  const about: Event['involvedObject'] = { apiVersion: 'v1', kind: 'Pod', namespace, name, uid };
  return {
    metadata: { namespace },
    involvedObject: about,
    ...what,
    source: { component: 'berth-agent', host: o.nodeName },
    firstTimestamp: o.now,
    lastTimestamp: o.now,
    count: 1,
  };
}
