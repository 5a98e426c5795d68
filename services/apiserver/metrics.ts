/** What this server counts, as Prometheus text. Label values come from bounded sets: verbs, known resources, status codes. */
import type { RequestInfo } from './http/request-info.ts';

const BUCKETS_SECONDS = [0.005, 0.025, 0.1, 0.5, 1, 5, 30] as const;

interface Series {
  count: number;
  sumSeconds: number;
  readonly buckets: number[];
}

export interface Gauges {
  readonly objects: () => Iterable<{ readonly resource: string; readonly count: number; readonly watchers: number }>;
}

/** A part of the server that counts for itself: whole lines of Prometheus text. */
export interface MetricSource {
  metricLines(): Iterable<string>;
}

export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #durations = new Map<string, Series>();
  readonly #gauges: Gauges;
  readonly #isKnown: (group: string, resource: string) => boolean;
  readonly #parts: readonly MetricSource[];

  constructor(
    gauges: Gauges,
    isKnown: (group: string, resource: string) => boolean,
    parts: readonly MetricSource[] = [],
  ) {
    this.#gauges = gauges;
    this.#isKnown = isKnown;
    this.#parts = parts;
  }

  observe(info: RequestInfo, code: number, durationMs: number): void {
    const isResource = info.type === 'resource';
    const verb = isResource ? info.verb.toUpperCase() : 'GET';
    const resource = isResource && this.#isKnown(info.group, info.resource) ? info.resource : '';
    const labels = `verb="${verb}",resource="${resource}"`;
    const counted = `${labels},code="${code}"`;
    this.#requests.set(counted, (this.#requests.get(counted) ?? 0) + 1);
    if (verb === 'WATCH') return;
    const seconds = durationMs / 1000;
    let series = this.#durations.get(labels);
    if (series === undefined) {
      series = { count: 0, sumSeconds: 0, buckets: BUCKETS_SECONDS.map(() => 0) };
      this.#durations.set(labels, series);
    }
    series.count++;
    series.sumSeconds += seconds;
    for (const [i, bound] of BUCKETS_SECONDS.entries())
      if (seconds <= bound) series.buckets[i] = (series.buckets[i] ?? 0) + 1;
  }

  text(): string {
    const lines = ['# TYPE apiserver_request_total counter'];
    for (const [labels, n] of this.#requests) lines.push(`apiserver_request_total{${labels}} ${n}`);
    lines.push('# TYPE apiserver_request_duration_seconds histogram');
    for (const [labels, s] of this.#durations) {
      const name = 'apiserver_request_duration_seconds';
      for (const [i, bound] of BUCKETS_SECONDS.entries())
        lines.push(`${name}_bucket{${labels},le="${bound}"} ${s.buckets[i]}`);
      lines.push(`${name}_bucket{${labels},le="+Inf"} ${s.count}`);
      lines.push(`${name}_sum{${labels}} ${s.sumSeconds}`, `${name}_count{${labels}} ${s.count}`);
    }
    lines.push('# TYPE apiserver_storage_objects gauge', '# TYPE apiserver_registered_watchers gauge');
    for (const { resource, count, watchers } of this.#gauges.objects()) {
      lines.push(`apiserver_storage_objects{resource="${resource}"} ${count}`);
      lines.push(`apiserver_registered_watchers{resource="${resource}"} ${watchers}`);
    }
    for (const part of this.#parts) lines.push(...part.metricLines());
    const { rss, heapUsed } = process.memoryUsage();
    lines.push('# TYPE process_resident_memory_bytes gauge', `process_resident_memory_bytes ${rss}`);
    lines.push('# TYPE nodejs_heap_used_bytes gauge', `nodejs_heap_used_bytes ${heapUsed}`);
    return `${lines.join('\n')}\n`;
  }
}
