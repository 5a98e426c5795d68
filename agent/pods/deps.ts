/** What the pod workers of a node need: the node's ports and its settings, made once in agent/main.ts. */
import type { Clock, Logger, Random } from '#lib/base';
import type { DeviceManager } from '../devices/manager.ts';
import type { ImageAccess } from '../images/access/access.ts';
import type { Images } from '../images/images.ts';
import type { Kernel } from '../kernel/kernel.ts';
import type { Network } from '../network/network.ts';
import type { SteadyProber } from '../probes/steady-prober.ts';
import type { Allocations } from '../resources/allocations.ts';
import type { CpuManager } from '../resources/cpu-manager.ts';
import type { KnownHandler } from '../runtime/handlers.ts';
import type { IsolationSettings } from '../runtime/isolation/settings.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { Session } from '../session/session.ts';
import type { UserNamespaceRanges } from '../user-namespaces/ledger.ts';
import type { Volumes } from '../volumes/volume.ts';
import type { PodFailure, PodObject } from './model.ts';
import type { NodeObjects } from './objects.ts';
import type { StartTimes } from './start-times.ts';

export interface PodSettings {
  readonly nodeName: string;
  readonly nodeIp: string;
  /** Pod folders: namespaces pinned, /etc files, termination messages. */
  readonly folder: string;
  /** /var/log by default; `pods/…` and `containers/…` are made below. */
  readonly logFolder: string;
  /** Parent of all pod cgroups, e.g. `/berth`. */
  readonly cgroupParent: string;
  /** Its child that says whose it is (agent/resources/cgroup-claim.ts). */
  readonly cgroupClaim: string;
  readonly clusterDomain: () => string;
  readonly allocatable: Readonly<Record<string, string>>;
  readonly memoryBytes: number;
  /** Processes of one pod; undefined = as many as the node has. */
  readonly podPidsLimit: number | undefined;
  /** The longest wait of CrashLoopBackOff. */
  readonly restartDelayMaxMs: number;
  /** v2: beyond a memory limit one process dies, not the whole container. */
  readonly killsOneProcess: boolean;
  readonly logMaxBytes: number;
  readonly logMaxFiles: number;
  /** Containers started at the same time; more would only make each slower. */
  readonly startsMax: number;
  readonly isolation: IsolationSettings;
  readonly runtimeHandlers: readonly KnownHandler[];
}

export interface PodDeps {
  readonly kernel: Kernel;
  readonly images: Images;
  /** Roots in that store which are no pod's, by their ids; absent = none. */
  readonly rootsOfOthers?: (() => Promise<ReadonlySet<string>>) | undefined;
  /** Absent: what is on the node is everybody's. */
  readonly imageAccess?: Pick<ImageAccess, 'isOpenTo' | 'pulled'> | undefined;
  readonly runtime: Runtime;
  readonly network: Network;
  readonly volumes: Volumes;
  readonly objects: NodeObjects;
  /** Absent: each probe is asked from here. */
  readonly steadyProber?: Pick<SteadyProber, 'watch'> | undefined;
  readonly session: Pick<Session, 'reportPodStatus' | 'reportPodRemoved' | 'event'>;
  readonly allocations: Allocations;
  readonly userNamespaces: UserNamespaceRanges;
  /** Present with the static CPU policy. */
  readonly cpus?: CpuManager | undefined;
  /** Of device plugins. */
  readonly devices?: Pick<DeviceManager, 'allocate' | 'release' | 'given'> | undefined;
  /** Why the node does not take a pod that is new to it. */
  readonly admit?: (pod: PodObject) => PodFailure | undefined;
  /** Absent: nobody counts them. */
  readonly startTimes?: StartTimes | undefined;
  readonly settings: PodSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}
