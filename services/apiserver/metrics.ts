/**
 * What this server counts, under the names that Kubernetes' dashboards and alerts ask for. Label values come from bounded
 * sets: verbs, known resources, status codes.
 * Source: k8s.io/apiserver/pkg/endpoints/metrics/metrics.go; kubernetes-monitoring/kubernetes-mixin.
 */
import type { KindInfo } from '#lib/api';
import {
  type Clock,
  Counter,
  type CounterSeries,
  expositionText,
  type MetricSource as FamilySource,
  Histogram,
  type HistogramSeries,
  type Labels,
  type MetricFamily,
  processMetrics,
} from '#lib/base';
import type { RequestInfo } from './http/request-info.ts';

const BUCKETS_SECONDS = [
  0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
] as const;

/** Beyond these series are found by their labels each time. */
const COUNTED_MAX = 10_000;

export interface CachedResource {
  readonly kind: Pick<KindInfo, 'group' | 'version' | 'kind' | 'resource'>;
  readonly count: number;
  readonly watchers: number;
}

/** A part of the server that counts for itself: whole lines of Prometheus text. */
export interface MetricSource {
  metricLines(): Iterable<string>;
}

/** A type, so that it is one of `Labels`. */
type RequestLabels = Readonly<
  Record<'verb' | 'group' | 'version' | 'resource' | 'subresource' | 'scope' | 'component', string>
>;

interface Counted {
  readonly labels: RequestLabels;
  /** Made when first asked for: watches have none. */
  readonly durations: () => HistogramSeries;
  /** By dry run and code. */
  readonly requests: Map<string, CounterSeries>;
}

export interface MetricsOptions {
  readonly objects: () => Iterable<CachedResource>;
  /** What is served. Anybody may ask for anything, but nothing else has series of its own. */
  readonly kindOf: (group: string, version: string, resource: string) => Pick<KindInfo, 'subresources'> | undefined;
  readonly lines: readonly MetricSource[];
  readonly families: readonly FamilySource[];
  readonly version: string;
  readonly clock: Clock;
}

export class Metrics {
  readonly #o: MetricsOptions;
  readonly #requests = new Counter(
    'apiserver_request_total',
    'Counter of apiserver requests broken out for each verb, dry run value, group, version, resource, scope, component, and HTTP response code.',
  );
  readonly #durations = new Histogram(
    'apiserver_request_duration_seconds',
    'Response latency distribution in seconds for each verb, dry run value, group, version, resource, subresource, scope and component.',
    BUCKETS_SECONDS,
  );
  readonly #inflight = { mutating: 0, readOnly: 0 };
  /** What is counted of requests of the same labels, by these as one text. */
  readonly #counted = new Map<string, Counted>();
  /** By labels as JSON: long-running requests that are under way. */
  readonly #longRunning = new Map<string, { readonly labels: Labels; count: number }>();

  constructor(o: MetricsOptions) {
    this.#o = o;
  }

  /** The request counts as being served until what it gives is called with the code of the answer. */
  begin(info: RequestInfo, o: { isLong: boolean; isUpgrade?: boolean; isDryRun?: boolean }): (code: number) => void {
    const startedMs = this.#o.clock.monotonic();
    const counted = this.#countedOf(this.#labels(info, o.isUpgrade === true));
    const leave = o.isLong ? this.#enterLong(counted.labels) : this.#enter(counted.labels.verb);
    return (code) => {
      leave();
      this.#requestsOf(counted, o.isDryRun === true ? 'All' : '', code).value++;
      /* How long a watch lasts says nothing of how fast the server is. */
      if (!o.isLong) this.#durations.observeIn(counted.durations(), (this.#o.clock.monotonic() - startedMs) / 1000);
    };
  }

  async text(): Promise<string> {
    const own = [this.#requests.family(), this.#durations.family(), ...this.#gauges()];
    const parts = this.#o.families.flatMap((f) => [...f.metrics()]);
    const lines = this.#o.lines.flatMap((l) => [...l.metricLines()]);
    const text = expositionText([...own, ...parts, ...(await processMetrics())]);
    return lines.length === 0 ? text : `${text}${lines.join('\n')}\n`;
  }

  #countedOf(labels: RequestLabels): Counted {
    const { verb, group, version, resource, subresource, scope } = labels;
    const key = `${verb} ${group} ${version} ${resource} ${subresource} ${scope}`;
    let counted = this.#counted.get(key);
    if (counted === undefined) {
      let durations: HistogramSeries | undefined;
      const series = (): HistogramSeries => {
        durations ??= this.#durations.series(labels);
        return durations;
      };
      counted = { labels, durations: series, requests: new Map() };
      // Kinds that users make come and go, and what was counted of them stays.
      if (this.#counted.size < COUNTED_MAX) this.#counted.set(key, counted);
    }
    return counted;
  }

  #requestsOf({ labels, requests }: Counted, dryRun: '' | 'All', code: number): CounterSeries {
    const key = `${dryRun}${code}`;
    let series = requests.get(key);
    if (series === undefined) {
      series = this.#requests.series({ ...labels, dry_run: dryRun, code: String(code) });
      requests.set(key, series);
    }
    return series;
  }

  #labels(info: RequestInfo, isUpgrade: boolean): RequestLabels {
    const component = 'apiserver';
    if (info.type === 'path') {
      const base = { group: '', version: '', resource: '', subresource: '', scope: '', component };
      return { verb: METHODS[info.verb] ?? 'other', ...base };
    }
    const kind = this.#o.kindOf(info.group, info.version, info.resource);
    const { group, version, resource } = kind === undefined ? { group: '', version: '', resource: '' } : info;
    return {
      verb: isUpgrade ? 'CONNECT' : VERBS[info.verb],
      group,
      version,
      resource,
      subresource: kind?.subresources.find((s) => s.name === info.subresource)?.name ?? '',
      scope: info.name !== undefined ? 'resource' : info.namespace !== '' ? 'namespace' : 'cluster',
      component,
    };
  }

  #enter(verb: string): () => void {
    const kind = READ_ONLY.has(verb) ? 'readOnly' : 'mutating';
    this.#inflight[kind]++;
    return () => {
      this.#inflight[kind]--;
    };
  }

  #enterLong(labels: Labels): () => void {
    const key = JSON.stringify(labels);
    const known = this.#longRunning.get(key) ?? { labels, count: 0 };
    this.#longRunning.set(key, known);
    known.count++;
    return () => {
      known.count--;
      if (known.count === 0) this.#longRunning.delete(key);
    };
  }

  #gauges(): readonly MetricFamily[] {
    const gauge = (name: string, help: string, samples: MetricFamily['samples']): MetricFamily => ({
      name,
      help,
      type: 'gauge',
      samples,
    });
    const resources = [...this.#o.objects()];
    const { mutating, readOnly } = this.#inflight;
    return [
      gauge(
        'apiserver_current_inflight_requests',
        'Number of currently used inflight request limit of this apiserver per request kind.',
        [
          { labels: { request_kind: 'mutating' }, value: mutating },
          { labels: { request_kind: 'readOnly' }, value: readOnly },
        ],
      ),
      gauge(
        'apiserver_longrunning_requests',
        'Gauge of all active long-running apiserver requests broken out by verb, group, version, resource, scope and component.',
        [...this.#longRunning.values()].map(({ labels, count }) => ({ labels, value: count })),
      ),
      gauge(
        'apiserver_storage_objects',
        'Number of stored objects split by kind.',
        resources.map(({ kind, count }) => ({ labels: { resource: qualified(kind) }, value: count })),
      ),
      gauge(
        'apiserver_resource_objects',
        'Number of stored objects split by kind.',
        resources.map(({ kind, count }) => ({ labels: { group: kind.group, resource: kind.resource }, value: count })),
      ),
      gauge(
        'apiserver_registered_watchers',
        'Number of currently registered watchers for a given resource.',
        resources.map(({ kind, watchers }) => ({
          labels: { group: kind.group, version: kind.version, kind: kind.kind },
          value: watchers,
        })),
      ),
      gauge('kubernetes_build_info', 'A metric with a constant 1 value labeled by the version that is served.', [
        { labels: { git_version: this.#o.version, platform: `linux/${process.arch}` }, value: 1 },
      ]),
    ];
  }
}

const METHODS: Readonly<Record<string, string>> = {
  get: 'GET',
  head: 'HEAD',
  post: 'POST',
  put: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  options: 'OPTIONS',
};
const VERBS = {
  get: 'GET',
  list: 'LIST',
  watch: 'WATCH',
  create: 'POST',
  update: 'PUT',
  patch: 'PATCH',
  delete: 'DELETE',
  deletecollection: 'DELETECOLLECTION',
} as const;
const READ_ONLY = new Set(['GET', 'HEAD', 'LIST', 'WATCH', 'OPTIONS']);

function qualified(kind: { readonly group: string; readonly resource: string }): string {
  return kind.group === '' ? kind.resource : `${kind.resource}.${kind.group}`;
}
