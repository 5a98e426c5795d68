/** Lists of CPUs as the kernel writes them (`0-3,8`), and which of them to take together. Pure. Source: cpuset(7), list format. */

export interface Cpu {
  readonly id: number;
  /** Names the core among all of the machine. */
  readonly core: string;
  readonly socket: string;
}

const CPUS_MAX = 1 << 16;

/** Ascending; undefined when it is no such list. '' is the empty one. */
export function parseCpuSet(text: string): number[] | undefined {
  const out = new Set<number>();
  for (const part of text.trim() === '' ? [] : text.trim().split(',')) {
    const match = /^(\d{1,6})(?:-(\d{1,6}))?$/.exec(part.trim());
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? first);
    if (last < first || last >= CPUS_MAX) return undefined;
    for (let id = first; id <= last; id++) out.add(id);
  }
  return [...out].sort((a, b) => a - b);
}

export function formatCpuSet(ids: Iterable<number>): string {
  const runs: [number, number][] = [];
  for (const id of [...new Set(ids)].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last !== undefined && last[1] === id - 1) last[1] = id;
    else runs.push([id, id]);
  }
  return runs.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(',');
}

/**
 * `count` of the `free` CPUs: whole sockets, then whole cores, then threads of cores that are in use already, lowest first.
 * Undefined when there are not so many. Source: pkg/kubelet/cm/cpumanager/cpu_assignment.go (takeByTopologyNUMAPacked).
 */
export function takeCpus(all: readonly Cpu[], free: ReadonlySet<number>, count: number): number[] | undefined {
  if (free.size < count) return undefined;
  const taken = new Set<number>();
  const takeWhole = (unitOf: (c: Cpu) => string): void => {
    for (const unit of new Set(all.map(unitOf))) {
      const cpus = all.filter((c) => unitOf(c) === unit);
      const isFree = cpus.every((c) => free.has(c.id) && !taken.has(c.id));
      if (isFree && cpus.length <= count - taken.size) for (const c of cpus) taken.add(c.id);
    }
  };
  takeWhole((c) => c.socket);
  takeWhole((c) => c.core);
  const left = all.filter((c) => free.has(c.id) && !taken.has(c.id));
  const freeOfCore = (core: string): number => left.filter((c) => c.core === core).length;
  left.sort((a, b) => freeOfCore(a.core) - freeOfCore(b.core) || a.id - b.id);
  for (const c of left.slice(0, count - taken.size)) taken.add(c.id);
  return [...taken].sort((a, b) => a - b);
}
