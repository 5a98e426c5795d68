/**
 * This machine as a core/v1 Node: addresses, capacity, nodeInfo, and the conditions an agent vouches for.
 * Source: kubernetes pkg/kubelet/nodestatus/setters.go.
 */
import { readFile } from 'node:fs/promises';
import { arch, networkInterfaces, release } from 'node:os';
import {
  type Node,
  type NodeCondition,
  type NodeRuntimeHandler,
  type NodeStatus,
  STORAGE_PATH_ANNOTATION,
} from '#lib/api';
import { type Clock, timeText } from '#lib/base';
import type { NodePressure } from './eviction/node-pressure.ts';
import { aggregated, type NodeHealth } from './health/node-health.ts';
import type { Image } from './images/images.ts';
import { allocationOf, type NodeAllocation, refuseTooMuchReserved } from './resources/allocatable.ts';
import { machineFigures } from './resources/machine.ts';
import type { NodeSettings } from './resources/node-settings.ts';
import type { Session } from './session/session.ts';
import type { NodeShutdown } from './shutdown/node-shutdown.ts';

export interface NodeOptions {
  readonly name: string;
  readonly ip: string;
  readonly version: string;
  readonly podsMax: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly { key: string; value?: string; effect: string }[];
  /** A folder on the disk that pods use. */
  readonly folder: string;
  /** Of local volumes. */
  readonly storageFolder: string;
  readonly runtimeVersion: string;
  readonly settings: NodeSettings;
  readonly runtimeHandlers: readonly NodeRuntimeHandler[];
  readonly pressure: NodePressure;
  readonly shutdown: Pick<NodeShutdown, 'isUnderWay'>;
  readonly health: Pick<NodeHealth, 'problems'>;
  /** What plugins add to the node. */
  readonly plugins: {
    /** By drivers, attached or about to be. */
    volumesInUse(): readonly string[];
    /** Devices, by resource; those that may be used. */
    devices(): {
      readonly capacity: Readonly<Record<string, string>>;
      readonly allocatable: Readonly<Record<string, string>>;
    };
  };
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', arm: 'arm' };
const NODE_IMAGES_MAX = 50;

export async function nodeAllocation(o: NodeOptions): Promise<NodeAllocation> {
  return allocationOf(await machineFigures(o.folder, o.podsMax), o.settings);
}

/** At the agent's start: throws Invalid when its settings keep back more than this machine has. */
export async function refuseNodeSettings(o: NodeOptions): Promise<void> {
  refuseTooMuchReserved(await machineFigures(o.folder, o.podsMax), o.settings);
}

export async function describeNode(o: NodeOptions, images: readonly Image[], clock: Clock): Promise<Node> {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name: o.name,
      labels: {
        'kubernetes.io/hostname': o.name,
        'kubernetes.io/os': 'linux',
        'kubernetes.io/arch': ARCHITECTURES[arch()] ?? arch(),
        'beta.kubernetes.io/os': 'linux',
        'beta.kubernetes.io/arch': ARCHITECTURES[arch()] ?? arch(),
        ...o.labels,
      },
      annotations: { [STORAGE_PATH_ANNOTATION]: o.storageFolder },
    },
    spec: o.taints.length > 0 ? { taints: o.taints.map((t) => ({ ...t })) } : {},
    status: await nodeStatus(o, images, clock),
  };
}

export async function nodeStatus(o: NodeOptions, images: readonly Image[], clock: Clock): Promise<NodeStatus> {
  const { capacity, allocatable } = await nodeAllocation(o);
  const devices = o.plugins.devices();
  return {
    addresses: [
      { type: 'InternalIP', address: o.ip },
      { type: 'Hostname', address: o.name },
    ],
    capacity: { ...capacity, ...devices.capacity },
    allocatable: { ...allocatable, ...devices.allocatable },
    conditions: conditions(o, clock),
    nodeInfo: await nodeInfo(o),
    images: images
      .slice(0, NODE_IMAGES_MAX)
      .map((i) => ({ names: [i.repoDigest, i.reference], sizeBytes: i.sizeBytes })),
    daemonEndpoints: { kubeletEndpoint: { Port: 0 } },
    features: { supplementalGroupsPolicy: true },
    runtimeHandlers: [...o.runtimeHandlers],
    volumesInUse: [...o.plugins.volumesInUse()],
  };
}

/** What happened to this node, as `kubectl describe node` shows it. */
export function nodeEvent(
  name: string,
  what: { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string },
  clock: Clock,
): Parameters<Session['event']>[0] {
  const now = timeText(clock.now());
  return {
    metadata: { namespace: 'default' },
    involvedObject: { kind: 'Node', name, uid: name },
    ...what,
    source: { component: 'berth-agent', host: name },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}

function conditions(o: NodeOptions, clock: Clock): NodeCondition[] {
  const now = timeText(clock.now());
  const times = { lastHeartbeatTime: now, lastTransitionTime: now };
  const problems = [...o.health.problems, ...(o.shutdown.isUnderWay ? ['node is shutting down'] : [])];
  const ready =
    problems.length > 0
      ? { status: 'False', reason: 'KubeletNotReady', message: aggregated(problems) }
      : { status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' };
  return [...o.pressure.conditions(now), { type: 'Ready', ...ready, ...times }];
}

async function nodeInfo(o: NodeOptions): Promise<NonNullable<NodeStatus['nodeInfo']>> {
  const text = async (path: string): Promise<string> => (await readFile(path, 'utf8').catch(() => '')).trim();
  const osRelease = await text('/etc/os-release');
  return {
    machineID: await text('/etc/machine-id'),
    systemUUID: await text('/sys/class/dmi/id/product_uuid'),
    bootID: await text('/proc/sys/kernel/random/boot_id'),
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)"?/m.exec(osRelease)?.[1] ?? 'Linux',
    containerRuntimeVersion: o.runtimeVersion,
    kubeletVersion: o.version,
    kubeProxyVersion: o.version,
    operatingSystem: 'linux',
    architecture: ARCHITECTURES[arch()] ?? arch(),
  };
}

/** The address other machines reach this one at: of the interface with the default route, else the first that is not loopback. */
export async function primaryIp(): Promise<string> {
  const routes = await readFile('/proc/net/route', 'utf8').catch(() => '');
  const line = routes.split('\n').find((l) => l.split('\t')[1] === '00000000');
  const all = networkInterfaces();
  const preferred = line === undefined ? [] : (all[line.split('\t')[0] ?? ''] ?? []);
  const candidates = [...preferred, ...Object.values(all).flatMap((x) => x ?? [])];
  return candidates.find((a) => a.family === 'IPv4' && !a.internal)?.address ?? '127.0.0.1';
}
