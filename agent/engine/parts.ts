/**
 * What the parts of the engine know of each other. `open.ts` makes them in this order: events, volumes, images, networks,
 * containers; each gives its routes. A record is on disk before what it names is made, and gone after it.
 */
import type { Clock, Ctx, Digest, Logger, Random } from '#lib/base';
import type { Image } from '../images/images.ts';
import type { ImagesOptions, OpenImages } from '../images/open.ts';
import type { LinuxKernel } from '../kernel/linux/open.ts';
import type { IsolationSettings } from '../runtime/isolation/settings.ts';
import type { OpenRuntime } from '../runtime/open.ts';
import type { Attach, ContainerId, ContainerState } from '../runtime/runtime.ts';
import type { EngineRoute } from './http/contract.ts';
import type { ContainerConfig, EndpointSettings, HostConfig, ImageDocument, MountPoint, PortMap } from './types.ts';

/** What all parts stand on; each opens as `openX(host, ports, c)` and is disposed of in the opposite order. */
export interface EngineHost {
  readonly kernel: LinuxKernel;
  /** The node's store; pods use it too. */
  readonly images: OpenImages;
  /** Of the engine's containers alone: pods have another. */
  readonly runtime: OpenRuntime;
  readonly isolation: IsolationSettings;
  /** `$BERTH_HOME/engine`; each part has a folder of its own below it. */
  readonly folder: string;
  /** Begins the names of what is global: links, nft tables. */
  readonly instance: string;
  /** `/INSTANCE-docker`; each container has `PARENT/ID`. */
  readonly cgroupParent: string;
  readonly registries: Pick<ImagesOptions, 'certsFolder' | 'proxy'>;
  /** Berth's. */
  readonly version: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface EnginePart {
  readonly routes: readonly EngineRoute[];
  /** What it keeps on disk, for `/system/df`: of volumes and of builds. Images and containers are told by their lists. */
  readonly diskUsage?: ((version: number, c: Ctx) => Promise<DiskUsage>) | undefined;
}

/** Of `/system/df` up to API 1.51. */
export interface DiskUsage {
  /** Of all layers, each once. */
  readonly LayersSize?: number;
  readonly Images?: readonly object[];
  /** With SizeRw and SizeRootFs. */
  readonly Containers?: readonly object[];
  /** With UsageData. */
  readonly Volumes?: readonly object[];
  readonly BuildCache?: readonly object[];
}

/* ---- events (events/) ---- */

export interface EngineEvent {
  readonly type: 'container' | 'image' | 'network' | 'volume' | 'daemon' | 'builder';
  /** `start`, `exec_create: sh -c x`, `health_status: healthy`. */
  readonly action: string;
  readonly id: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface EngineEvents {
  /** Time is added; who follows sees it in this order. */
  emit(e: EngineEvent): void;
}

/* ---- images (images/) ---- */

export interface EngineImage {
  readonly document: ImageDocument;
  /** For `Images.mountRoot`. */
  readonly image: Image;
  /** Familiar names: alpine:latest. */
  readonly repoTags: readonly string[];
}

export interface EngineImages {
  /** By id, prefix of an id, or name. EngineError 404 "No such image: X", 400 for a prefix of several. */
  find(text: string, c: Ctx): Promise<EngineImage>;
  /** Of a container that was made of it, by digest of the config: also when no name is left. */
  byId(id: Digest, c: Ctx): Promise<EngineImage | undefined>;
}

/* ---- volumes (volumes/) ---- */

export interface EngineVolume {
  readonly name: string;
  readonly driver: string;
  /** On the host; absolute. */
  readonly mountpoint: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
  readonly createdAtMs: number;
  readonly isAnonymous: boolean;
}

export interface EngineVolumes {
  /** Idempotent by name; '' or absent = an anonymous one. EngineError 409 for another driver. */
  create(
    o: {
      readonly name?: string | undefined;
      readonly driver?: string | undefined;
      readonly labels?: Readonly<Record<string, string>> | undefined;
      readonly options?: Readonly<Record<string, string>> | undefined;
    },
    c: Ctx,
  ): Promise<EngineVolume>;
  get(name: string): EngineVolume | undefined;
  /** Makes its mountpoint usable (drivers with options mount); at each start of a container. */
  mount(name: string, containerId: string, c: Ctx): Promise<string>;
  unmount(name: string, containerId: string, c: Ctx): Promise<void>;
  /** Fills an empty volume with what the root has at `path`, with owners and modes: at create. */
  copyUp(name: string, o: { readonly rootfs: string; readonly path: string }, c: Ctx): Promise<void>;
  /** Of a container that is removed with its anonymous volumes; those that another uses stay. */
  removeAnonymous(names: readonly string[], c: Ctx): Promise<void>;
}

/* ---- networks (networks/) ---- */

export interface SandboxRequest {
  readonly containerId: string;
  /** Without the slash. */
  readonly name: string;
  readonly hostname: string;
  readonly domainname: string;
  /** Not `container:`, which the containers resolve themselves. */
  readonly networkMode: string;
  /** By the network's name. */
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  readonly exposedPorts: readonly string[];
  readonly portBindings: PortMap;
  readonly publishAllPorts: boolean;
  readonly extraHosts: readonly string[];
  readonly links: readonly string[];
  readonly dns: readonly string[];
  readonly dnsOptions: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** Of the container, for hosts, hostname and resolv.conf. */
  readonly folder: string;
}

export interface Sandbox {
  /** Path of the pinned namespace; undefined = the host's. */
  readonly netns: string | undefined;
  readonly hostsPath: string;
  readonly hostnamePath: string;
  readonly resolvConfPath: string;
}

export interface EngineNetworks {
  /** The name that a record keeps for a mode or an endpoint: EngineError 404 "network X not found". */
  resolve(text: string): { readonly id: string; readonly name: string; readonly driver: string };
  /** At each start. EngineError for an address or a port that is taken; then nothing is left. Again (after a restart of the agent) gives the same. */
  open(r: SandboxRequest, c: Ctx): Promise<Sandbox>;
  /** At each end; gone is fine. Addresses that were asked for stay the container's. */
  close(containerId: string, c: Ctx): Promise<void>;
  /** The container is removed: nothing names it any more. */
  forget(containerId: string, c: Ctx): Promise<void>;
  /** What a container has now, for inspect and ps: `ports` has the host's real ports. */
  view(containerId: string):
    | {
        readonly endpoints: Readonly<Record<string, EndpointSettings>>;
        readonly ports: PortMap;
        readonly sandboxId: string;
      }
    | undefined;
  /** After a rename: DNS names follow. */
  renamed(containerId: string, name: string, c: Ctx): Promise<void>;
}

/* ---- containers (containers/) ---- */

/** One container as other parts see it; `record` is replaced by each change, never changed. */
export interface EngineContainer {
  readonly id: ContainerId;
  readonly record: ContainerRecord;
  /** Of the last or present run, from the runtime; undefined = never started. */
  readonly run: ContainerState | undefined;
  readonly status: 'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead';
  /** Host path of its root; mounted also while it does not run. */
  mountRoot(c: Ctx): Promise<string>;
  /** The log of all its runs, in the CRI's form (agent/pods/log-file.ts reads it). */
  readonly logPath: string;
}

export interface ContainerRecord {
  readonly id: ContainerId;
  /** Without the slash. */
  readonly name: string;
  readonly createdAtMs: number;
  readonly imageId: Digest;
  readonly path: string;
  readonly args: readonly string[];
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** What it asks of each network, by the network's name. */
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  readonly mounts: readonly MountPoint[];
  readonly restartCount: number;
  /** stop or kill by a user: `unless-stopped` does not start it again. */
  readonly isStoppedByUser: boolean;
  /** Why the last start failed. */
  readonly error: string;
  /** Of a start that failed: 125 to 128. */
  readonly startExitCode?: number | undefined;
  /** Of the run before the last one. */
  readonly finishedAtMs?: number | undefined;
}

export interface EngineContainers {
  /** By id, name, or a prefix that is one's alone. EngineError 404 "No such container: X". */
  find(text: string): EngineContainer;
  list(): readonly EngineContainer[];
  /** Changes and saves what a container asks of networks (connect and disconnect). */
  setEndpoints(id: ContainerId, endpoints: Readonly<Record<string, EndpointSettings>>, c: Ctx): Promise<void>;
  /** When its present run has ended, or at once; and for `removed` when it is gone. */
  whenExited(id: ContainerId, c: Ctx): Promise<number>;
  /**
   * Asked at each start: who wants to see the first byte gets the streams before the program runs (streams/attach.ts; the
   * runtime's `beforeRun`). The start waits for it.
   */
  onStart(fn: (container: EngineContainer) => ((attach: Attach) => Promise<void>) | undefined): Disposable;
}
