/**
 * Figures that are read when a page asks for them: of each container's cgroup, each pod's network, the node. One round at a
 * time, a few files at a time, and kept for some seconds, so that however many ask a full node pays for one.
 */
import { readFile } from 'node:fs/promises';
import type { Clock } from '#lib/base';
import { type CgroupDetails, type PressureOf, parsePressure } from '../kernel/linux/cgroup-details.ts';
import { type InterfaceUsage, interfacesOf } from './network.ts';
import type { MeasuredContainer } from './usage.ts';

export interface DetailsOptions {
  readonly containers: () => readonly MeasuredContainer[];
  readonly cgroup: (path: string) => Promise<CgroupDetails | undefined>;
  readonly interfaces?: (pid: number | 'self') => Promise<readonly InterfaceUsage[] | undefined>;
  readonly clock: Clock;
}

export interface DetailSet {
  readonly wallMs: number;
  /** By id. */
  readonly containers: ReadonlyMap<string, CgroupDetails>;
  /** By pod's uid; pods of the node's network have none of their own. */
  readonly networks: ReadonlyMap<string, readonly InterfaceUsage[]>;
  readonly node: NodeDetails;
}

export interface NodeDetails {
  readonly interfaces: readonly InterfaceUsage[];
  readonly processes: number;
  readonly processesMax: number;
  readonly pressure: Readonly<Partial<Record<'cpu' | 'memory' | 'io', PressureOf>>>;
}

const KEEP_MS = 5_000;
const AT_A_TIME = 8;

export class Details {
  readonly #o: DetailsOptions;
  #kept: { readonly atMs: number; readonly set: Promise<DetailSet> } | undefined;

  constructor(o: DetailsOptions) {
    this.#o = o;
  }

  read(): Promise<DetailSet> {
    const now = this.#o.clock.monotonic();
    if (this.#kept === undefined || now - this.#kept.atMs >= KEEP_MS) this.#kept = { atMs: now, set: this.#round() };
    return this.#kept.set;
  }

  async #round(): Promise<DetailSet> {
    const interfaces = this.#o.interfaces ?? interfacesOf;
    const containers = new Map<string, CgroupDetails>();
    const networks = new Map<string, readonly InterfaceUsage[]>();
    const asked = new Set<string>();
    const left = [...this.#o.containers()];
    const work = async (): Promise<void> => {
      for (let of = left.pop(); of !== undefined; of = left.pop()) {
        const details = await this.#o.cgroup(of.cgroup).catch(() => undefined); // it ended meanwhile
        if (details !== undefined) containers.set(of.id, details);
        if (of.isHostNetwork || asked.has(of.uid)) continue;
        asked.add(of.uid);
        const found = await interfaces(of.pid);
        if (found !== undefined) networks.set(of.uid, found);
      }
    };
    const [node] = await Promise.all([nodeDetails(interfaces), ...Array.from({ length: AT_A_TIME }, work)]);
    return { wallMs: this.#o.clock.now(), containers, networks, node };
  }
}

async function nodeDetails(interfaces: typeof interfacesOf): Promise<NodeDetails> {
  const text = async (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '');
  const [own, load, max, cpu, memory, io] = await Promise.all([
    interfaces('self'),
    text('/proc/loadavg'),
    text('/proc/sys/kernel/pid_max'),
    text('/proc/pressure/cpu'),
    text('/proc/pressure/memory'),
    text('/proc/pressure/io'),
  ]);
  const pressure: Partial<Record<'cpu' | 'memory' | 'io', PressureOf>> = {};
  for (const [kind, found] of [
    ['cpu', parsePressure(cpu)],
    ['memory', parsePressure(memory)],
    ['io', parsePressure(io)],
  ] as const)
    if (found !== undefined) pressure[kind] = found;
  /* proc(5): the fourth field is runnable/existing tasks. */
  const processes = Number(/^\S+ \S+ \S+ \d+\/(\d+)/.exec(load)?.[1] ?? 0);
  return { interfaces: own ?? [], processes, processesMax: Number(max), pressure };
}
