/**
 * A node's metrics as the kubelet and cAdvisor name them, for Prometheus by way of nodes/proxy.
 * Source: kubernetes pkg/kubelet/metrics/collectors/resource_metrics.go; cadvisor metrics/prometheus.go.
 */
import type { MetricFamily, MetricSample } from '#lib/base';
import type { MeasuredContainer, Reading, Readings } from './usage.ts';

export interface Measured {
  readonly of: MeasuredContainer;
  readonly readings: Readings | undefined;
}

export interface MachineFacts {
  readonly cpus: number;
  readonly memoryBytes: number;
}

type Value = (r: Reading) => number;

const cpuSeconds: Value = (r) => r.cpuNs / 1e9;
const workingSet: Value = (r) => r.workingSetBytes;

/** /metrics/resource: with the time of each reading, as the kubelet's. */
export function resourceMetrics(
  machine: Readings | undefined,
  containers: readonly Measured[],
): readonly MetricFamily[] {
  const ofContainers = (value: Value): Iterable<MetricSample> =>
    containers.flatMap(({ of, readings }) => {
      const labels = { container: of.container, namespace: of.namespace, pod: of.pod };
      return readings === undefined ? [] : [timed(labels, readings.latest, value)];
    });
  const ofNode = (value: Value): Iterable<MetricSample> =>
    machine === undefined ? [] : [timed({}, machine.latest, value)];
  const pods = podReadings(containers);
  const ofPods = (value: Value): Iterable<MetricSample> =>
    pods.map(({ namespace, pod, reading }) => timed({ namespace, pod }, reading, value));
  const starts = containers.map(({ of }) => ({
    labels: { container: of.container, namespace: of.namespace, pod: of.pod },
    value: of.startedAtMs / 1000,
  }));
  const cpu = 'Cumulative cpu time consumed by the';
  const memory = 'Current working set of the';
  return [
    counter('container_cpu_usage_seconds_total', `${cpu} container in core-seconds`, ofContainers(cpuSeconds)),
    gauge('container_memory_working_set_bytes', `${memory} container in bytes`, ofContainers(workingSet)),
    gauge('container_start_time_seconds', 'Start time of the container since unix epoch in seconds', starts),
    counter('node_cpu_usage_seconds_total', `${cpu} node in core-seconds`, ofNode(cpuSeconds)),
    gauge('node_memory_working_set_bytes', `${memory} node in bytes`, ofNode(workingSet)),
    counter('pod_cpu_usage_seconds_total', `${cpu} pod in core-seconds`, ofPods(cpuSeconds)),
    gauge('pod_memory_working_set_bytes', `${memory} pod in bytes`, ofPods(workingSet)),
    gauge('resource_scrape_error', '1 if there was an error while getting container metrics, 0 otherwise', [
      { labels: {}, value: machine === undefined ? 1 : 0 },
    ]),
  ];
}

/** /metrics/cadvisor: what dashboards use of it and we measure. */
export function cadvisorMetrics(
  machine: Readings | undefined,
  containers: readonly Measured[],
  facts: MachineFacts,
): readonly MetricFamily[] {
  const each = (value: Value, extra: Readonly<Record<string, string>> = {}): Iterable<MetricSample> => [
    ...(machine === undefined ? [] : [timed({ ...ROOT_LABELS, ...extra }, machine.latest, value)]),
    ...containers.flatMap(({ of, readings }) =>
      readings === undefined ? [] : [timed({ ...labelsOf(of), ...extra }, readings.latest, value)],
    ),
  ];
  const starts = containers.map(({ of }) => ({ labels: labelsOf(of), value: of.startedAtMs / 1000 }));
  const oom = containers.flatMap(({ of, readings }) =>
    readings === undefined ? [] : [timed(labelsOf(of), readings.latest, (r) => r.oomKills)],
  );
  return [
    counter(
      'container_cpu_usage_seconds_total',
      'Cumulative cpu time consumed in seconds.',
      each(cpuSeconds, { cpu: 'total' }),
    ),
    gauge(
      'container_memory_usage_bytes',
      'Current memory usage in bytes.',
      each((r) => r.memoryBytes),
    ),
    gauge('container_memory_working_set_bytes', 'Current working set in bytes.', each(workingSet)),
    gauge('container_start_time_seconds', 'Start time of the container since unix epoch in seconds.', starts),
    counter('container_oom_events_total', 'Count of out of memory events observed for the container', oom),
    gauge('machine_cpu_cores', 'Number of logical CPU cores.', [{ labels: {}, value: facts.cpus }]),
    gauge('machine_memory_bytes', 'Amount of memory installed on the machine.', [
      { labels: {}, value: facts.memoryBytes },
    ]),
  ];
}

export const ROOT_LABELS = { container: '', id: '/', image: '', name: '', namespace: '', pod: '' };

export function labelsOf(of: MeasuredContainer): Record<string, string> {
  return {
    container: of.container,
    id: of.cgroup,
    image: of.image,
    name: of.id,
    namespace: of.namespace,
    pod: of.pod,
  };
}

/** Sums of pods of which all that runs has been read. */
function podReadings(containers: readonly Measured[]): { namespace: string; pod: string; reading: Reading }[] {
  const pods = new Map<string, { namespace: string; pod: string; readings: (Reading | undefined)[] }>();
  for (const { of, readings } of containers) {
    const pod = pods.get(of.uid) ?? { namespace: of.namespace, pod: of.pod, readings: [] };
    pods.set(of.uid, pod);
    pod.readings.push(readings?.latest);
  }
  return [...pods.values()].flatMap(({ namespace, pod, readings }) => {
    const known = readings.filter((r) => r !== undefined);
    const [first] = known;
    if (first === undefined || known.length < readings.length) return [];
    let cpuNs = 0;
    let workingSetBytes = 0;
    for (const r of known) {
      cpuNs += r.cpuNs;
      workingSetBytes += r.workingSetBytes;
    }
    const reading = { ...first, cpuNs, workingSetBytes };
    return [{ namespace, pod, reading }];
  });
}

function timed(labels: Readonly<Record<string, string>>, r: Reading, value: Value): MetricSample {
  return { labels, value: value(r), timestampMs: r.wallMs };
}

function counter(name: string, help: string, samples: Iterable<MetricSample>): MetricFamily {
  return { name, help, type: 'counter', samples };
}

function gauge(name: string, help: string, samples: Iterable<MetricSample>): MetricFamily {
  return { name, help, type: 'gauge', samples };
}
