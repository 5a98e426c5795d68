/** Figures of a bench run and how they are printed. */

/** What is compared with what: figures of one task are of the same work, done by different programs. */
export type Task =
  | ('start one' | 'pull' | 'start fifty' | 'ten to fifty' | 'memory at rest' | 'memory a container')
  | `docker ${string}`;

export interface Figure {
  readonly name: string;
  readonly unit: 'ms' | 'MB' | '/s' | '% of a core';
  readonly samples: readonly number[];
  /** What the issue asks of us, at most (of a rate: at least); absent for peers. */
  readonly reach?: number;
  /** The same load against a server that answers as many constant bytes, in this run. */
  readonly constant?: readonly number[];
  /** At most so many times `constant`. */
  readonly reachOfConstant?: number;
  /** Program -> its figure, of the same kind of machine, not of this run. */
  readonly recorded?: Readonly<Record<string, number>>;
  readonly note?: string;
  readonly task?: Task;
  readonly isOurs?: true;
}

/**
 * Kubernetes is not installed by any bench: these were measured once, on this kind of machine (2 cores), with Kubernetes 1.26
 * (API server, controller manager, scheduler, kubelet, containerd, etcd).
 */
export const RECORDED: readonly Figure[] = [
  { name: 'Kubernetes 1.26: pod create -> Running', unit: 'ms', samples: [992], task: 'start one' },
  { name: 'Kubernetes 1.26: Deployment of 50 rolled out', unit: 'ms', samples: [38_200], task: 'start fifty' },
  { name: 'Kubernetes 1.26: everything, 50 pods at rest', unit: 'MB', samples: [731], task: 'memory at rest' },
  { name: 'Kubernetes 1.26: shim of a running pod', unit: 'MB', samples: [13.6], task: 'memory a container' },
].map((f) => ({ ...f, note: 'recorded earlier, not in this run' }) as Figure);

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

/** One line a figure: median, span and count of the samples, what was to be reached. */
export function table(figures: readonly Figure[]): string {
  return figures
    .map((f) => {
      const m = median(f.samples);
      const span =
        f.samples.length > 1
          ? `  ${number(Math.min(...f.samples))}..${number(Math.max(...f.samples))} n=${f.samples.length}`
          : '';
      const note = f.note === undefined ? '' : `  ${f.note}`;
      return `${f.name.padEnd(58)} ${number(m).padStart(8)} ${f.unit}${span}${reachOf(f, m)}${besides(f, m)}${note}`;
    })
    .join('\n');
}

function reachOf(f: Figure, m: number): string {
  if (f.reach === undefined) return '';
  const isReached = f.unit === '/s' ? m >= f.reach : m <= f.reach;
  return `  reach ${f.reach} ${f.unit}: ${isReached ? 'yes' : 'NO'} (x${(m / f.reach).toFixed(2)})`;
}

/** What the figure is to be seen beside: a constant answer, others' recorded figures. */
function besides(f: Figure, m: number): string {
  const out: string[] = [];
  if (f.constant !== undefined) {
    const times = m / median(f.constant);
    const { reachOfConstant: most } = f;
    const reached = most === undefined ? '' : `, reach x${most}: ${times <= most ? 'yes' : 'NO'}`;
    out.push(`constant answer ${number(median(f.constant))} ${f.unit} (x${times.toFixed(2)}${reached})`);
  }
  for (const [who, n] of Object.entries(f.recorded ?? {})) out.push(`${who} (recorded) ${number(n)} ${f.unit}`);
  return out.map((t) => `  ${t}`).join('');
}

/** For each of our figures with a task, how many times as much each peer's is. */
export function ratios(figures: readonly Figure[]): string {
  const lines: string[] = [];
  for (const ours of figures.filter((f) => f.isOurs && f.task !== undefined)) {
    for (const peer of figures.filter((f) => !f.isOurs && f.task === ours.task))
      lines.push(
        `${peer.name.padEnd(58)} x${(median(peer.samples) / median(ours.samples)).toFixed(1)} of ours (${ours.name})`,
      );
  }
  return lines.join('\n');
}

function number(n: number): string {
  return n >= 100 ? n.toFixed(0) : n.toFixed(1);
}
