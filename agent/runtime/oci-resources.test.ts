import { expect, test } from 'vitest';
import type { PodObject } from '../pods/model.ts';
import { type CgroupHost, ociResourcesOf } from './oci-resources.ts';

const V1: CgroupHost = { version: 'v1', hasSwap: true, pageSizes: [], killsOneProcess: false };
const V2: CgroupHost = { version: 'v2', hasSwap: true, pageSizes: ['1GB', '2MB'], killsOneProcess: false };

function resourcesOf(resources: object, host: CgroupHost, podResources?: object): unknown {
  const spec = { name: 'c', image: 'i', resources };
  const pod = {
    metadata: { name: 'p' },
    spec: { containers: [spec], resources: podResources },
  } as unknown as PodObject;
  return ociResourcesOf(pod, spec as never, host);
}

const LIMITED = { requests: { cpu: '100m' }, limits: { cpu: '500m', memory: '64Mi', 'hugepages-2Mi': '4Mi' } };

test.each<[string, object, CgroupHost, object]>([
  [
    'v1: memory and swap are counted together, so none is left for swap',
    LIMITED,
    V1,
    { cpu: { shares: 102, quota: 50_000, period: 100_000 }, memory: { limit: 64 << 20, swap: 64 << 20 } },
  ],
  [
    'a host without accounting of swap is not asked for it',
    LIMITED,
    { ...V1, hasSwap: false },
    { cpu: { shares: 102, quota: 50_000, period: 100_000 }, memory: { limit: 64 << 20 } },
  ],
  [
    'v2: files of their own; huge pages that are not asked for are none',
    LIMITED,
    V2,
    {
      cpu: { shares: 102, quota: 50_000, period: 100_000 },
      memory: { limit: 64 << 20 },
      hugepageLimits: [
        { pageSize: '1GB', limit: 0 },
        { pageSize: '2MB', limit: 4 << 20 },
      ],
      unified: { 'memory.oom.group': '1', 'memory.swap.max': '0' },
    },
  ],
  [
    'v2, singleProcessOOMKill, without accounting of swap; only some CPUs',
    {},
    { version: 'v2', hasSwap: false, pageSizes: [], killsOneProcess: true, cpus: '1-2' },
    { cpu: { shares: 2, cpus: '1-2' }, unified: { 'memory.oom.group': '0' } },
  ],
  ['no limits: the least share, no swap on v1 to be limited', {}, V1, { cpu: { shares: 2 } }],
])('%s (kuberuntime_container_linux.go)', (_, resources, host, wanted) => {
  expect(resourcesOf(resources, host)).toEqual(wanted);
});

test('what has no limit of its own finds the pod’s (KEP-2837)', () => {
  const pod = { limits: { cpu: '1', memory: '128Mi' } };
  expect(resourcesOf({ limits: { memory: '32Mi' } }, { ...V1, hasSwap: false }, pod)).toEqual({
    cpu: { shares: 1024, quota: 100_000, period: 100_000 },
    memory: { limit: 32 << 20 },
  });
});
