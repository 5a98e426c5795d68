/**
 * A container's requests and limits as OCI resources. Pure. No swap, as a kubelet without LimitedSwap; on v2 a container that
 * goes over its memory limit ends whole. Source: pkg/kubelet/kuberuntime/kuberuntime_container_linux.go.
 */
import type { CgroupFacts, Cgroups } from '../kernel/kernel.ts';
import type { ContainerSpec, PodObject } from '../pods/model.ts';
import { containerFigures } from '../pods/resources.ts';
import type { OciResources } from './oci-spec.ts';

const PERIOD_US = 100_000;

export type CgroupHost = CgroupFacts &
  Pick<Cgroups, 'version'> & {
    /** What the CPU manager says it may run on; absent = all. */
    readonly cpus?: string | undefined;
    /** Only the process that goes over the memory limit dies (v2). */
    readonly killsOneProcess: boolean;
  };

export function ociResourcesOf(pod: PodObject, spec: ContainerSpec, host: CgroupHost): OciResources {
  const { cpuShares: shares, cpuQuotaUs, memoryBytes, hugePages } = containerFigures(pod, spec, host.pageSizes);
  const out: OciResources = { cpu: { shares } };
  if (cpuQuotaUs !== undefined) out.cpu = { shares, quota: cpuQuotaUs, period: PERIOD_US };
  if (host.cpus !== undefined) out.cpu = { ...out.cpu, cpus: host.cpus };
  if (memoryBytes !== undefined) {
    const isSwapLimited = host.hasSwap && host.version !== 'v2';
    out.memory = { limit: memoryBytes, ...(isSwapLimited ? { swap: memoryBytes } : {}) };
  }
  if (host.pageSizes.length > 0)
    out.hugepageLimits = Object.entries(hugePages).map(([pageSize, limit]) => ({ pageSize, limit }));
  if (host.version === 'v2')
    out.unified = {
      'memory.oom.group': host.killsOneProcess ? '0' : '1',
      ...(host.hasSwap ? { 'memory.swap.max': '0' } : {}),
    };
  return out;
}
