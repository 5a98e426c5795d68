/**
 * The part of /metrics/cadvisor that is read when it is asked for: network, disk, tasks, throttling, kinds of memory, pressure.
 * Source: cadvisor metrics/prometheus.go; network is the pod's, as of its sandbox.
 */
import type { MetricFamily, MetricSample } from '#lib/base';
import type { CgroupDetails, PressureOf } from '../kernel/linux/cgroup-details.ts';
import type { DetailSet } from './details.ts';
import { labelsOf, ROOT_LABELS } from './exposition.ts';
import type { InterfaceUsage } from './network.ts';
import type { MeasuredContainer } from './usage.ts';

type Labels = Readonly<Record<string, string>>;

export function cadvisorDetails(running: readonly MeasuredContainer[], set: DetailSet): readonly MetricFamily[] {
  const known = running.flatMap((of) => {
    const details = set.containers.get(of.id);
    return details === undefined ? [] : [{ labels: labelsOf(of), details }];
  });
  const of = (value: (d: CgroupDetails) => number | undefined): MetricSample[] =>
    known.flatMap(({ labels, details }) => {
      const found = value(details);
      return found === undefined ? [] : [{ labels, value: found }];
    });
  const counter = (name: string, help: string, value: (d: CgroupDetails) => number | undefined): MetricFamily => ({
    name,
    help,
    type: 'counter',
    samples: of(value),
  });
  const gauge = (name: string, help: string, value: (d: CgroupDetails) => number | undefined): MetricFamily => ({
    name,
    help,
    type: 'gauge',
    samples: of(value),
  });
  return [
    counter('container_cpu_user_seconds_total', 'Cumulative user cpu time consumed in seconds.', (d) => d.userNs / 1e9),
    counter(
      'container_cpu_system_seconds_total',
      'Cumulative system cpu time consumed in seconds.',
      (d) => d.systemNs / 1e9,
    ),
    counter('container_cpu_cfs_periods_total', 'Number of elapsed enforcement period intervals.', (d) => d.periods),
    counter(
      'container_cpu_cfs_throttled_periods_total',
      'Number of throttled period intervals.',
      (d) => d.throttledPeriods,
    ),
    counter(
      'container_cpu_cfs_throttled_seconds_total',
      'Total time duration the container has been throttled.',
      (d) => d.throttledNs / 1e9,
    ),
    gauge('container_memory_rss', 'Size of RSS in bytes.', (d) => d.rssBytes),
    gauge('container_memory_cache', 'Number of bytes of page cache memory.', (d) => d.cacheBytes),
    gauge('container_memory_mapped_file', 'Size of memory mapped files in bytes.', (d) => d.mappedBytes),
    gauge('container_memory_swap', 'Container swap usage in bytes.', (d) => d.swapBytes),
    gauge('container_spec_memory_limit_bytes', 'Memory limit for the container.', (d) => d.memoryLimitBytes ?? 0),
    gauge('container_processes', 'Number of processes running inside the container.', (d) => d.processes),
    gauge('container_threads', 'Number of threads running inside the container', (d) => d.tasks),
    gauge(
      'container_threads_max',
      'Maximum number of threads allowed inside the container, infinity if value is zero',
      (d) => d.tasksMax ?? 0,
    ),
    ...diskFamilies(known),
    ...networkFamilies(running, set),
    ...pressureFamilies([
      { labels: ROOT_LABELS, pressure: set.node.pressure },
      ...known.map(({ labels, details }) => ({ labels, pressure: details.pressure })),
    ]),
  ];
}

function diskFamilies(known: readonly { labels: Labels; details: CgroupDetails }[]): readonly MetricFamily[] {
  const family = (
    name: string,
    help: string,
    value: (d: CgroupDetails['devices'][number]) => number,
  ): MetricFamily => ({
    name,
    help,
    type: 'counter',
    samples: known.flatMap(({ labels, details }) =>
      details.devices.map((d) => ({ labels: { ...labels, device: d.device }, value: value(d) })),
    ),
  });
  return [
    family('container_fs_reads_bytes_total', 'Cumulative count of bytes read', (d) => d.readBytes),
    family('container_fs_writes_bytes_total', 'Cumulative count of bytes written', (d) => d.writeBytes),
    family('container_fs_reads_total', 'Cumulative count of reads completed', (d) => d.reads),
    family('container_fs_writes_total', 'Cumulative count of writes completed', (d) => d.writes),
  ];
}

function networkFamilies(running: readonly MeasuredContainer[], set: DetailSet): readonly MetricFamily[] {
  const pods = new Map(running.map((of) => [of.uid, of]));
  const family = (name: string, help: string, value: (i: InterfaceUsage) => number): MetricFamily => {
    const samples = (labels: Labels, interfaces: readonly InterfaceUsage[]): MetricSample[] =>
      interfaces.map((i) => ({ labels: { ...labels, interface: i.name }, value: value(i) }));
    const ofPods = [...set.networks].flatMap(([uid, interfaces]) => {
      const of = pods.get(uid);
      if (of === undefined) return [];
      const { namespace, pod } = of;
      const id = of.cgroup.slice(0, of.cgroup.lastIndexOf('/'));
      return samples({ ...ROOT_LABELS, id, namespace, pod }, interfaces);
    });
    return { name, help, type: 'counter', samples: [...samples(ROOT_LABELS, set.node.interfaces), ...ofPods] };
  };
  const what = (verb: string, thing: string): string => `Cumulative count of ${thing} ${verb}`;
  return [
    family('container_network_receive_bytes_total', what('received', 'bytes'), (i) => i.rxBytes),
    family('container_network_receive_packets_total', what('received', 'packets'), (i) => i.rxPackets),
    family('container_network_receive_errors_total', what('encountered while receiving', 'errors'), (i) => i.rxErrors),
    family(
      'container_network_receive_packets_dropped_total',
      what('dropped while receiving', 'packets'),
      (i) => i.rxDropped,
    ),
    family('container_network_transmit_bytes_total', what('transmitted', 'bytes'), (i) => i.txBytes),
    family('container_network_transmit_packets_total', what('transmitted', 'packets'), (i) => i.txPackets),
    family(
      'container_network_transmit_errors_total',
      what('encountered while transmitting', 'errors'),
      (i) => i.txErrors,
    ),
    family(
      'container_network_transmit_packets_dropped_total',
      what('dropped while transmitting', 'packets'),
      (i) => i.txDropped,
    ),
  ];
}

/** Only of what the kernel tells. Waiting is `some`, stalled is `full`. */
function pressureFamilies(
  all: readonly { labels: Labels; pressure: Readonly<Partial<Record<'cpu' | 'memory' | 'io', PressureOf>>> }[],
): readonly MetricFamily[] {
  const family = (
    kind: 'cpu' | 'memory' | 'io',
    word: 'waiting' | 'stalled',
    part: keyof PressureOf,
  ): MetricFamily => ({
    name: `container_pressure_${kind}_${word}_seconds_total`,
    help: `Total time duration tasks in the container have ${word === 'waiting' ? 'waited due to' : 'been stalled by'} ${kind} congestion.`,
    type: 'counter',
    samples: all.flatMap(({ labels, pressure }) => {
      const found = pressure[kind];
      return found === undefined ? [] : [{ labels, value: found[part].totalUs / 1e6 }];
    }),
  });
  return (['cpu', 'memory', 'io'] as const)
    .flatMap((kind) => [family(kind, 'waiting', 'some'), family(kind, 'stalled', 'full')])
    .filter((f) => [...f.samples].length > 0);
}
