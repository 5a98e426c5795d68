/**
 * Prometheus' text format, and the two kinds of metric that must be kept while they are counted. Gauges are read when
 * somebody asks. Label values come from bounded sets: whoever counts sees to that, and the number of series has a bound.
 * Source: prometheus.io/docs/instrumenting/exposition_formats (0.0.4).
 */
import { readdir } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';

export const PROMETHEUS_TEXT = 'text/plain; version=0.0.4; charset=utf-8';

export type Labels = Readonly<Record<string, string>>;

export interface MetricSample {
  readonly labels: Labels;
  readonly value: number;
  /** When it was true; absent = now. */
  readonly timestampMs?: number;
  /** `_bucket`, `_sum`, `_count` of a histogram. */
  readonly suffix?: string;
}

export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: Iterable<MetricSample>;
}

/** Whatever can tell its metrics. */
export interface MetricSource {
  metrics(): Iterable<MetricFamily>;
}

const SERIES_MAX = 10_000;

/** Families without samples are left out. */
export function expositionText(families: Iterable<MetricFamily>): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of families) {
    let isFirst = true;
    for (const s of samples) {
      if (isFirst) lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
      isFirst = false;
      const at = s.timestampMs === undefined ? '' : ` ${Math.round(s.timestampMs)}`;
      lines.push(`${name}${s.suffix ?? ''}${labelText(s.labels)} ${numberText(s.value)}${at}`);
    }
  }
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

/** One series, kept by whoever counts often: finding it by its labels costs more than the counting. */
export interface CounterSeries {
  readonly labels: Labels;
  value: number;
}

export class Counter {
  readonly #name: string;
  readonly #help: string;
  readonly #series = new Map<string, CounterSeries>();

  constructor(name: string, help: string) {
    this.#name = name;
    this.#help = help;
  }

  /** Dropped once there are too many series: what is counted stays right. */
  add(labels: Labels, by = 1): void {
    this.series(labels).value += by;
  }

  /** To be counted in; nobody is told of it once there are too many. */
  series(labels: Labels): CounterSeries {
    const key = labelText(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const made = { labels, value: 0 };
    if (this.#series.size < SERIES_MAX) this.#series.set(key, made);
    return made;
  }

  family(): MetricFamily {
    return { name: this.#name, help: this.#help, type: 'counter', samples: this.#series.values() };
  }
}

export interface HistogramSeries {
  readonly labels: Labels;
  readonly counts: number[];
  sum: number;
}

export class Histogram {
  readonly #name: string;
  readonly #help: string;
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, HistogramSeries>();

  /** `bounds` rise; the bucket of all is added. */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.#name = name;
    this.#help = help;
    this.#bounds = bounds;
  }

  observe(labels: Labels, value: number): void {
    this.observeIn(this.series(labels), value);
  }

  /** As `Counter.series`. */
  series(labels: Labels): HistogramSeries {
    const key = labelText(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known;
    const made = { labels, counts: new Array<number>(this.#bounds.length + 1).fill(0), sum: 0 };
    if (this.#series.size < SERIES_MAX) this.#series.set(key, made);
    return made;
  }

  observeIn(series: HistogramSeries, value: number): void {
    const found = this.#bounds.findIndex((bound) => value <= bound);
    const at = found < 0 ? this.#bounds.length : found;
    series.counts[at] = (series.counts[at] ?? 0) + 1;
    series.sum += value;
  }

  family(): MetricFamily {
    return { name: this.#name, help: this.#help, type: 'histogram', samples: this.#samples() };
  }

  *#samples(): Iterable<MetricSample> {
    for (const { labels, counts, sum } of this.#series.values()) {
      let count = 0;
      for (const [i, n] of counts.entries()) {
        count += n;
        const bound = this.#bounds[i];
        const le = bound === undefined ? '+Inf' : String(bound);
        yield { labels: { ...labels, le }, value: count, suffix: '_bucket' };
      }
      yield { labels, value: sum, suffix: '_sum' };
      yield { labels, value: count, suffix: '_count' };
    }
  }
}

/** Of this process, as Prometheus' own client libraries name them. */
export async function processMetrics(): Promise<readonly MetricFamily[]> {
  const gauge = (name: string, help: string, value: number): MetricFamily => one(name, help, 'gauge', value);
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  const files = await readdir('/proc/self/fd').catch(() => undefined);
  return [
    one(
      'process_cpu_seconds_total',
      'Total user and system CPU time spent in seconds.',
      'counter',
      (user + system) / 1e6,
    ),
    gauge('process_resident_memory_bytes', 'Resident memory size in bytes.', rss),
    gauge(
      'process_start_time_seconds',
      'Start time of the process since unix epoch in seconds.',
      performance.timeOrigin / 1000,
    ),
    ...(files === undefined ? [] : [gauge('process_open_fds', 'Number of open file descriptors.', files.length)]),
    gauge('nodejs_heap_size_used_bytes', 'Process heap size used from Node.js in bytes.', heapUsed),
    gauge('nodejs_heap_size_total_bytes', 'Process heap size from Node.js in bytes.', heapTotal),
    gauge('nodejs_external_memory_bytes', 'Node.js external memory size in bytes.', external),
  ];
}

function one(name: string, help: string, type: 'counter' | 'gauge', value: number): MetricFamily {
  return { name, help, type, samples: [{ labels: {}, value }] };
}

function labelText(labels: Labels): string {
  const parts: string[] = [];
  for (const [name, value] of Object.entries(labels)) parts.push(`${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? '' : `{${parts.join(',')}}`;
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value) ? value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n') : value;
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n');
}

function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return String(value);
}
