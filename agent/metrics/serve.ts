/** What this node answers to a `stats` stream, by path: statistics for metrics.k8s.io, and the kubelet's metric pages. */
import { statfs } from 'node:fs/promises';
import { cpus, totalmem, uptime } from 'node:os';
import { join } from 'node:path';
import { expositionText, type MetricFamily, processMetrics, type Scope, StatusError } from '#lib/base';
import { NODE_STATS_PATH } from '#lib/client';
import type { CgroupDetails } from '../kernel/linux/cgroup-details.ts';
import type { PodDeps } from '../pods/deps.ts';
import type { PodManager } from '../pods/manager.ts';
import { containersOf } from '../pods/model.ts';
import { podCgroup } from '../pods/steps/sandbox.ts';
import { cadvisorDetails } from './cadvisor-details.ts';
import { Details } from './details.ts';
import { DiskUsages } from './disk.ts';
import { cadvisorMetrics, resourceMetrics } from './exposition.ts';
import type { Sampler } from './sampler.ts';
import { type MeasuredPod, type SummaryInput, summaryOf } from './summary.ts';
import type { MeasuredContainer } from './usage.ts';

export interface PageOptions {
  readonly pods: PodDeps;
  readonly manager: PodManager;
  readonly sampler: Sampler;
  readonly cgroup: (path: string) => Promise<CgroupDetails | undefined>;
  /** Of the node's state. */
  readonly home: string;
  /** Owns what is measured beside an answer. */
  readonly scope: Scope;
  /** What the agent counts besides. */
  readonly more: () => Iterable<MetricFamily>;
}

/** A page by its path; it throws NotFound for one that there is not. */
export function nodePages(o: PageOptions): (path: string) => Promise<string> {
  const { sampler, manager, pods } = o;
  const { clock, log } = pods;
  const running = (): readonly MeasuredContainer[] => measuredContainers(pods, manager);
  const details = new Details({ containers: running, cgroup: o.cgroup, clock });
  const folders = (): readonly string[] => [
    ...running().flatMap((of) => Object.values(foldersOf(o, of))),
    ...measuredPods(o).flatMap((p) => p.volumes.map((v) => v.folder)),
  ];
  const disk = new DiskUsages({ programs: pods.kernel.programs, folders, scope: o.scope, clock, log });
  const pages: Readonly<Record<string, () => Promise<string>>> = {
    [NODE_STATS_PATH]: async () => JSON.stringify(sampler.stats()),
    metrics: async () => expositionText([...podCounts(sampler, manager), ...o.more(), ...(await processMetrics())]),
    'metrics/resource': async () => expositionText(resourceMetrics(sampler.machine, sampler.containers())),
    'metrics/cadvisor': async () => {
      const facts = { cpus: cpus().length, memoryBytes: totalmem() };
      const families = cadvisorMetrics(sampler.machine, sampler.containers(), facts);
      return expositionText([...families, ...cadvisorDetails(running(), await details.read())]);
    },
    'stats/summary': async () => JSON.stringify(summaryOf(await summaryInput(o, details, disk))),
  };
  return async (path) => {
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined) throw new StatusError('NotFound', `the node has no page ${JSON.stringify(path)}`);
    return page();
  };
}

async function summaryInput(o: PageOptions, details: Details, disk: DiskUsages): Promise<SummaryInput> {
  const [set, fs] = await Promise.all([details.read(), statfs(o.home)]);
  return {
    nodeName: o.pods.settings.nodeName,
    bootedAtMs: o.pods.clock.now() - uptime() * 1000,
    memoryBytes: totalmem(),
    machine: o.sampler.machine,
    pods: measuredPods(o),
    containers: o.sampler.containers(),
    foldersOf: (of) => foldersOf(o, of),
    details: set,
    disk: disk.read(),
    fileSystem: {
      capacityBytes: fs.blocks * fs.bsize,
      availableBytes: fs.bavail * fs.bsize,
      inodes: fs.files,
      inodesFree: fs.ffree,
    },
  };
}

/** The layer that a container writes to (agent/images/overlay.ts), and its logs. */
function foldersOf(o: PageOptions, of: MeasuredContainer): { root: string; logs: string } {
  const { logFolder } = o.pods.settings;
  return {
    root: join(o.home, 'images', 'snapshots', 'roots', of.id, 'upper'),
    logs: join(logFolder, 'pods', `${of.namespace}_${of.pod}_${of.uid}`, of.container),
  };
}

function measuredPods(o: PageOptions): readonly MeasuredPod[] {
  return [...o.manager.workers()].map(({ pod, uid }) => {
    const onDisk = (pod.spec.volumes ?? []).filter((v) => v.emptyDir !== undefined && (v.emptyDir.medium ?? '') === '');
    return {
      namespace: pod.metadata.namespace ?? '',
      name: pod.metadata.name,
      uid,
      startTime: pod.status?.startTime,
      volumes: onDisk.map(({ name }) => ({ name, folder: join(o.home, 'volumes', 'pods', uid, 'volumes', name) })),
    };
  });
}

export function measuredContainers(d: PodDeps, pods: PodManager): readonly MeasuredContainer[] {
  const out: MeasuredContainer[] = [];
  for (const worker of pods.workers()) {
    const { pod } = worker;
    const { namespace = '', name, uid = '' } = pod.metadata;
    for (const { spec } of containersOf(pod)) {
      const attempt = worker.attempt(spec.name);
      if (attempt?.state.phase !== 'running') continue;
      const { id, image, state } = attempt;
      const cgroup = `${podCgroup(d, pod)}/${id}`;
      const { pid, startedAtMs } = state;
      const isHostNetwork = pod.spec.hostNetwork === true;
      const which = { namespace, pod: name, uid, container: spec.name, id, image };
      out.push({ ...which, cgroup, startedAtMs, pid, isHostNetwork });
    }
  }
  return out;
}

function podCounts(sampler: Sampler, pods: PodManager): readonly MetricFamily[] {
  const count = (name: string, help: string, value: number, labels = {}): MetricFamily => ({
    name,
    help,
    type: 'gauge',
    samples: [{ labels, value }],
  });
  const running = sampler.containers();
  return [
    count(
      'kubelet_running_pods',
      'Number of pods that have a running pod sandbox',
      new Set(running.map((r) => r.of.uid)).size,
    ),
    count('kubelet_running_containers', 'Number of containers currently running', running.length, {
      container_state: 'running',
    }),
    count('kubelet_active_pods', 'The number of pods the kubelet considers active', pods.count),
  ];
}
