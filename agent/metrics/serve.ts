/** What this node answers to a `stats` stream, by path: statistics for metrics.k8s.io, and the kubelet's metric pages. */
import { cpus, totalmem } from 'node:os';
import { expositionText, type MetricFamily, processMetrics, StatusError } from '#lib/base';
import { NODE_STATS_PATH } from '#lib/client';
import type { PodDeps } from '../pods/deps.ts';
import type { PodManager } from '../pods/manager.ts';
import { containersOf } from '../pods/model.ts';
import { podCgroup } from '../pods/steps/sandbox.ts';
import { cadvisorMetrics, resourceMetrics } from './exposition.ts';
import type { Sampler } from './sampler.ts';
import type { MeasuredContainer } from './usage.ts';

/** Throws NotFound for a path that there is not. `more`: what the agent counts besides. */
export async function nodePage(
  path: string,
  sampler: Sampler,
  pods: PodManager,
  more: () => Iterable<MetricFamily>,
): Promise<string> {
  switch (path) {
    case NODE_STATS_PATH:
      return JSON.stringify(sampler.stats());
    case 'metrics':
      return expositionText([...podCounts(sampler, pods), ...more(), ...(await processMetrics())]);
    case 'metrics/resource':
      return expositionText(resourceMetrics(sampler.machine, sampler.containers()));
    case 'metrics/cadvisor':
      return expositionText(
        cadvisorMetrics(sampler.machine, sampler.containers(), { cpus: cpus().length, memoryBytes: totalmem() }),
      );
    default:
      throw new StatusError('NotFound', `the node has no page ${JSON.stringify(path)}`);
  }
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
      out.push({ namespace, pod: name, uid, container: spec.name, id, image, cgroup, startedAtMs: state.startedAtMs });
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
