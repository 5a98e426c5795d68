/**
 * What of a node pods may have: its capacity less what is reserved for the agent and the system, less the eviction thresholds;
 * and the limit of all pods together, which keeps a hog from starving the agent. Pure.
 * Source: pkg/kubelet/cm/node_container_manager_linux.go, pkg/kubelet/nodestatus/setters.go (MachineInfo),
 * kubernetes.io/docs/tasks/administer-cluster/reserve-compute-resources.
 */
import { milliValue, parseQuantity, quantityValue } from '#lib/api';
import { StatusError } from '#lib/base';
import type { CgroupLimits } from '../kernel/kernel.ts';
import { hugePagesResource } from '../kernel/page-size.ts';
import { cpuShares } from '../pods/resources.ts';
import type { Signal } from './eviction-settings.ts';
import type { NodeSettings, Reserved, ReservedResource } from './node-settings.ts';

export interface MachineFigures {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly diskBytes: number;
  /** Processes that the kernel can number. */
  readonly pids: number;
  /** Bytes of preallocated huge pages, by bytes of one page. */
  readonly hugePages: ReadonlyMap<number, number>;
  readonly podsMax: number;
}

export interface NodeAllocation {
  readonly capacity: Readonly<Record<string, string>>;
  readonly allocatable: Readonly<Record<string, string>>;
  /** Reserved, in thousandths. */
  readonly reservedMilliCpu: number;
  /** Of the cgroup above all pods. */
  readonly podsLimits: CgroupLimits;
}

type Figures = Record<ReservedResource, number>;

const DEFAULT_MEMORY_RESERVED = 200 << 20;
const DEFAULT_PIDS_RESERVED = 1000;
const SIGNAL_OF: Readonly<Record<ReservedResource, Signal | undefined>> = {
  cpu: undefined,
  memory: 'memory.available',
  'ephemeral-storage': 'nodefs.available',
  pid: 'pid.available',
};

/** Nothing is below zero, however much is reserved: disks may shrink while the agent runs. */
export function allocationOf(machine: MachineFigures, settings: NodeSettings): NodeAllocation {
  const { capacity, reserved, held } = accountsOf(machine, settings);
  const free = mapFigures((name) => Math.max(capacity[name] - held[name], 0));
  const hugeBytes = [...machine.hugePages.values()].reduce((a, b) => a + b, 0);
  const pages = Object.fromEntries(
    [...machine.hugePages].map(([size, bytes]) => [hugePagesResource(size), `${bytes}`]),
  );
  const own = { pods: String(machine.podsMax), ...pages };
  const memory = Math.max(free.memory - hugeBytes, 0);
  return {
    capacity: {
      cpu: cpuText(capacity.cpu),
      memory: bytesText(capacity.memory),
      'ephemeral-storage': bytesText(capacity['ephemeral-storage']),
      ...own,
    },
    allocatable: {
      cpu: cpuText(free.cpu),
      memory: bytesText(memory),
      'ephemeral-storage': String(Math.floor(free['ephemeral-storage'])),
      ...own,
    },
    reservedMilliCpu: reserved.cpu,
    podsLimits: podsLimits(capacity, reserved, settings.enforcesPods),
  };
}

/** Throws Invalid when more is reserved than there is. */
export function refuseTooMuchReserved(machine: MachineFigures, settings: NodeSettings): void {
  const { capacity, held } = accountsOf(machine, settings);
  refuseTooMuch(capacity, held);
}

/** `held`: what is reserved, and the eviction thresholds. */
function accountsOf(
  machine: MachineFigures,
  settings: NodeSettings,
): { readonly capacity: Figures; readonly reserved: Figures; readonly held: Figures } {
  const capacity = capacityOf(machine);
  const kube = settings.kubeReserved === undefined ? defaultReserved(capacity) : figuresOf(settings.kubeReserved);
  const system = figuresOf(settings.systemReserved);
  const cpu = settings.reservedSystemCPUs === undefined ? undefined : settings.reservedSystemCPUs.length * 1000;
  const reserved = mapFigures((name) => (name === 'cpu' ? cpu : undefined) ?? kube[name] + system[name]);
  const held = mapFigures((name) => reserved[name] + thresholdOf(settings, SIGNAL_OF[name], capacity[name]));
  return { capacity, reserved, held };
}

/** Shares always: by default a cgroup weighs as much as one process. */
function podsLimits(capacity: Figures, reserved: Figures, isEnforced: boolean): CgroupLimits {
  if (!isEnforced) return { cpuShares: cpuShares(capacity.cpu), memoryBytes: 'max', pids: 'max' };
  return {
    cpuShares: cpuShares(capacity.cpu - reserved.cpu),
    memoryBytes: Math.max(capacity.memory - reserved.memory, 0),
    pids: Math.max(capacity.pid - reserved.pid, 0),
  };
}

/** CPU in thousandths, the rest in bytes or numbers. */
function capacityOf(m: MachineFigures): Figures {
  return { cpu: m.cpus * 1000, memory: m.memoryBytes, 'ephemeral-storage': m.diskBytes, pid: m.pids };
}

/** The agent, its helper and a supervisor for each container; a small machine gives a tenth of what it has. */
function defaultReserved(capacity: Figures): Figures {
  return {
    cpu: 0,
    memory: Math.min(DEFAULT_MEMORY_RESERVED, Math.floor(capacity.memory / 10)),
    'ephemeral-storage': 0,
    pid: Math.min(DEFAULT_PIDS_RESERVED, Math.floor(capacity.pid / 10)),
  };
}

function figuresOf(reserved: Reserved): Figures {
  return mapFigures((name) => amountOf(name, reserved[name] ?? '0'));
}

function mapFigures(of: (name: ReservedResource) => number): Figures {
  return { cpu: of('cpu'), memory: of('memory'), 'ephemeral-storage': of('ephemeral-storage'), pid: of('pid') };
}

function amountOf(name: ReservedResource, text: string): number {
  const quantity = parseQuantity(text);
  return Number(name === 'cpu' ? milliValue(quantity) : quantityValue(quantity));
}

function thresholdOf(settings: NodeSettings, signal: Signal | undefined, capacity: number): number {
  const text = signal === undefined ? undefined : settings.evictionHard[signal];
  return text === undefined ? 0 : thresholdAmount(text, capacity);
}

/** A quantity, or a share of what there is. */
export function thresholdAmount(text: string, capacity: number): number {
  if (text.endsWith('%')) return Math.floor((capacity * Number(text.slice(0, -1))) / 100);
  return Number(quantityValue(parseQuantity(text)));
}

function refuseTooMuch(capacity: Figures, held: Figures): void {
  const names: readonly ReservedResource[] = ['cpu', 'memory', 'ephemeral-storage', 'pid'];
  const text = (name: ReservedResource, n: number): string => (name === 'cpu' ? cpuText(n) : String(n));
  const errors = names
    .filter((name) => held[name] > capacity[name])
    .map(
      (name) =>
        `Resource "${name}" has a reservation of ${text(name, held[name])} but capacity of ${text(name, capacity[name])}. Expected capacity >= reservation.`,
    );
  if (errors.length > 0)
    throw new StatusError(
      'Invalid',
      `invalid Node Allocatable configuration (kubeReserved, systemReserved, evictionHard). ${errors.join(' ')}`,
    );
}

function cpuText(milli: number): string {
  return milli % 1000 === 0 ? String(milli / 1000) : `${milli}m`;
}

function bytesText(bytes: number): string {
  return `${Math.floor(bytes / 1024)}Ki`;
}
