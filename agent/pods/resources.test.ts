import { expect, test } from 'vitest';
import type { PodObject } from './model.ts';
import { oomScoreAdj, podCgroupLimits, podFigures, qosClassOf } from './resources.ts';

type Part = { name?: string; restartPolicy?: 'Always'; requests?: object; limits?: object };

function pod(o: { containers: Part[]; init?: Part[]; overhead?: object; resources?: object }): PodObject {
  const container = ({ requests, limits, ...c }: Part, i: number) => ({
    name: `c${i}`,
    image: 'i',
    ...c,
    resources: { ...(requests === undefined ? {} : { requests }), ...(limits === undefined ? {} : { limits }) },
  });
  const { overhead, resources } = o;
  return {
    metadata: { name: 'p', uid: 'u' },
    spec: {
      containers: o.containers.map(container),
      initContainers: (o.init ?? []).map((c, i) => ({ ...container(c, i), name: c.name ?? `i${i}` })),
      ...(overhead === undefined ? {} : { overhead }),
      ...(resources === undefined ? {} : { resources }),
    },
  } as unknown as PodObject;
}

const both = (cpu: string, memory: string) => ({ requests: { cpu, memory }, limits: { cpu, memory } });
const none = { cpuQuotaUs: 'max', memoryBytes: 'max', hugePages: {} };

test.each<[string, PodObject, object]>([
  ['nothing asked for weighs least', pod({ containers: [{}] }), { ...none, cpuShares: 2 }],
  [
    'Guaranteed: the sum of the containers',
    pod({ containers: [both('500m', '64Mi'), both('250m', '64Mi')] }),
    { cpuShares: 768, cpuQuotaUs: 75_000, memoryBytes: 128 << 20, hugePages: {} },
  ],
  [
    'a sidecar counts beside the containers',
    pod({ containers: [both('500m', '64Mi')], init: [{ restartPolicy: 'Always', ...both('500m', '16Mi') }] }),
    { cpuShares: 1024, cpuQuotaUs: 100_000, memoryBytes: 80 << 20, hugePages: {} },
  ],
  [
    'a larger init container, with the sidecar that runs beside it',
    pod({
      containers: [both('500m', '64Mi')],
      init: [{ restartPolicy: 'Always', ...both('100m', '16Mi') }, both('2', '256Mi')],
    }),
    { cpuShares: 2150, cpuQuotaUs: 210_000, memoryBytes: 272 << 20, hugePages: {} },
  ],
  [
    'an init container without limits: the pod has none',
    pod({ containers: [both('500m', '64Mi')], init: [{ requests: { cpu: '1' } }] }),
    { ...none, cpuShares: 1024 },
  ],
  [
    'one of two containers has a memory limit: the pod has none',
    pod({ containers: [both('500m', '64Mi'), { limits: { cpu: '1' }, requests: { cpu: '1' } }] }),
    { cpuShares: 1536, cpuQuotaUs: 150_000, memoryBytes: 'max', hugePages: {} },
  ],
  [
    'overhead comes on top',
    pod({ containers: [both('500m', '64Mi')], overhead: { cpu: '250m', memory: '32Mi' } }),
    { cpuShares: 768, cpuQuotaUs: 75_000, memoryBytes: 96 << 20, hugePages: {} },
  ],
  [
    'what the pod itself says stands for its containers (KEP-2837)',
    pod({ containers: [{ requests: { cpu: '100m' } }], resources: { requests: { cpu: '1' }, limits: { cpu: '2' } } }),
    { cpuShares: 1024, cpuQuotaUs: 200_000, memoryBytes: 'max', hugePages: {} },
  ],
  [
    'a tiny limit is not below what the kernel can do',
    pod({ containers: [{ limits: { cpu: '1m' }, requests: { cpu: '1m' } }] }),
    { ...none, cpuShares: 2, cpuQuotaUs: 1000 },
  ],
])('pod cgroup: %s (ResourceConfigForPod)', (_, p, wanted) => {
  expect(podFigures(p, [])).toEqual(wanted);
});

test('huge pages: only those that are asked for; processes: as the node says', () => {
  const p = pod({ containers: [{ requests: { 'hugepages-2Mi': '6Mi' }, limits: { 'hugepages-2Mi': '6Mi' } }] });
  expect(podCgroupLimits(p, { pageSizes: ['1GB', '2MB'], podPidsLimit: 4096 })).toMatchObject({
    hugePages: { '1GB': 0, '2MB': 6 << 20 },
    pids: 4096,
  });
  expect(podCgroupLimits(p, { pageSizes: [], podPidsLimit: undefined }).pids).toBe('max');
});

test('QoS class: of the pod’s own resources where it has them', () => {
  expect(qosClassOf(pod({ containers: [{}], resources: both('1', '1Gi') }))).toBe('Guaranteed');
  expect(qosClassOf(pod({ containers: [both('1', '1Gi')], init: [{}] }))).toBe('Burstable');
});

test('oom_score_adj: by memory asked for, a sidecar not before those it serves (qos/policy.go)', () => {
  const score = (p: PodObject, index = 0, list: 'containers' | 'initContainers' = 'containers'): number => {
    const spec = p.spec[list]?.[index];
    if (spec === undefined) throw new Error('no such container');
    return oomScoreAdj(p, spec, 1000 << 20);
  };
  const burstable = (memory: string, more: Part = {}): Part => ({ requests: { memory }, ...more });
  expect(score(pod({ containers: [both('1', '1Gi')] }))).toBe(-997);
  expect(score(pod({ containers: [{}] }))).toBe(1000);
  expect(score(pod({ containers: [burstable('300Mi')] }))).toBe(700);
  expect(score(pod({ containers: [burstable('1Mi'), {}] }), 1)).toBe(999);
  expect(score(pod({ containers: [burstable('2000Mi')] }))).toBe(3);
  const served = pod({ containers: [burstable('300Mi')], init: [burstable('1Mi', { restartPolicy: 'Always' })] });
  expect(score(served, 0, 'initContainers')).toBe(700);
  const own = pod({ containers: [burstable('100Mi'), {}], resources: { requests: { memory: '500Mi' } } });
  expect([score(own), score(own, 1)]).toEqual([700, 800]);
});
