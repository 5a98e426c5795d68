/** Figures of a bench run and how they are printed. */
export interface Figure {
  readonly name: string;
  readonly unit: 'ms' | 'MB';
  readonly samples: readonly number[];
  /** What the issue asks for; absent for peers. */
  readonly reach?: number;
  readonly note?: string;
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
}

export function table(figures: readonly Figure[]): string {
  const number = (n: number): string => (n >= 100 ? n.toFixed(0) : n.toFixed(1));
  return figures
    .map((f) => {
      const m = median(f.samples);
      const span =
        f.samples.length > 1
          ? `  ${number(Math.min(...f.samples))}..${number(Math.max(...f.samples))} n=${f.samples.length}`
          : '';
      const reach =
        f.reach === undefined
          ? ''
          : `  reach ${f.reach} ${f.unit}: ${m <= f.reach ? 'yes' : 'NO'} (x${(m / f.reach).toFixed(2)})`;
      return `${f.name.padEnd(52)} ${number(m).padStart(8)} ${f.unit}${span}${reach}${f.note === undefined ? '' : `  ${f.note}`}`;
    })
    .join('\n');
}
