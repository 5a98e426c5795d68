import { expect, test } from 'vitest';
import { fakePod } from '../pods/fake-node.ts';
import type { PodObject } from '../pods/model.ts';
import { storageLimitsOf, storageViolation } from './local-storage.ts';
import type { PodUse } from './ranking.ts';

const MI = 1 << 20;
const STORAGE = 'ephemeral-storage';

function podOf(volumes: object[], ...limits: (string | undefined)[]): PodObject {
  const containers = limits.map((limit, i) => ({
    name: `c${i}`,
    image: 'i',
    ...(limit === undefined ? {} : { resources: { limits: { [STORAGE]: limit } } }),
  }));
  return fakePod({ containers, volumes } as unknown as Partial<PodObject['spec']>);
}

function use(o: {
  volumes?: Record<string, number>;
  containers?: Record<string, readonly [rootfs: number, logs: number]>;
}): PodUse {
  const of = (mi: number): { bytes: number; inodes: number } => ({ bytes: mi * MI, inodes: 0 });
  const containers = Object.entries(o.containers ?? {}).map(
    ([name, [rootfs, logs]]) => [name, { memoryBytes: undefined, rootfs: of(rootfs), logs: of(logs) }] as const,
  );
  const volumes = Object.entries(o.volumes ?? {}).map(([name, mi]) => [name, of(mi)] as const);
  return { memoryBytes: undefined, pids: undefined, containers: new Map(containers), volumes: new Map(volumes) };
}

test('what has to be measured: emptyDirs on disk with a limit, all of a pod with a limit of storage', () => {
  const volumes = [
    { name: 'a', emptyDir: { sizeLimit: '1Mi' } },
    { name: 'b', emptyDir: {} },
    { name: 'c', emptyDir: { sizeLimit: '1Mi', medium: 'Memory' } },
    { name: 'd', emptyDir: { sizeLimit: '0' } },
    { name: 'e', configMap: { name: 'x' } },
  ];
  expect(storageLimitsOf(podOf(volumes, undefined))).toEqual({ volumes: ['a'], isWhole: false });
  expect(storageLimitsOf(podOf([], undefined, '1Gi'))).toEqual({ volumes: [], isWhole: true });
  expect(storageLimitsOf(podOf(volumes.slice(1), undefined))).toBeUndefined();
});

const LIMITED = [{ name: 'v', emptyDir: { sizeLimit: '1024Ki' } }];

test.each<[string, PodObject, PodUse, string | undefined]>([
  ['an emptyDir at its limit', podOf(LIMITED, undefined), use({ volumes: { v: 1 } }), undefined],
  [
    'an emptyDir over it',
    podOf(LIMITED, undefined),
    use({ volumes: { v: 2 } }),
    'Usage of EmptyDir volume "v" exceeds the limit "1Mi". ',
  ],
  [
    'volumes count for the pod',
    podOf([{ name: 'w', emptyDir: {} }], '10Mi', '10Mi'),
    use({ volumes: { w: 19 }, containers: { c0: [1, 1], c1: [0, 0] } }),
    'Pod ephemeral local storage usage exceeds the total limit of containers 20Mi. ',
  ],
  [
    'a container over its own, the pod within',
    podOf([], '10Mi', '30Mi'),
    use({ containers: { c0: [10, 1], c1: [1, 1] } }),
    'Container c0 exceeded its local ephemeral storage limit "10Mi". ',
  ],
  ['a container at its own', podOf([], '10Mi', '30Mi'), use({ containers: { c0: [9, 1], c1: [1, 1] } }), undefined],
  ['no limit', podOf([], undefined), use({ containers: { c0: [900, 900] } }), undefined],
])('%s', (_, pod, used, message) => {
  expect(storageViolation(pod, used, { hasDedicatedImageFs: false })?.message).toBe(message);
});

test('with a disk of its own for images only logs count for a container', () => {
  const pod = podOf([], '10Mi', '100Mi');
  const o = { hasDedicatedImageFs: true };
  expect(storageViolation(pod, use({ containers: { c0: [50, 9] } }), o)).toBeUndefined();
  expect(storageViolation(pod, use({ containers: { c0: [50, 11] } }), o)).toMatchObject({
    signal: 'ephemeralcontainerfs.limit',
    message: expect.stringContaining('Container c0 exceeded'),
  });
});
