import { describe, expect, test } from 'vitest';
import type { LimitRangeItem, PersistentVolumeClaim, Pod, ResourceRequirements } from '#lib/api';
import { claimViolations, podViolations } from './limits.ts';

function pod(resources: ResourceRequirements, init: ResourceRequirements[] = []): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p' },
    spec: {
      containers: [{ name: 'a', resources }],
      initContainers: init.map((r, i) => ({ name: `i${i}`, resources: r })),
    },
  };
}

function claim(storage: string): PersistentVolumeClaim {
  const resources = { requests: { storage } };
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', metadata: { name: 'c' }, spec: { resources } };
}

interface Case {
  readonly name: string;
  readonly item: LimitRangeItem;
  readonly pod: Pod;
  readonly expected: readonly string[];
}

const CONTAINER: LimitRangeItem = { type: 'Container', min: { cpu: '100m' }, max: { cpu: '1' } };

const CASES: readonly Case[] = [
  {
    name: 'inside',
    item: CONTAINER,
    pod: pod({ requests: { cpu: '100m' }, limits: { cpu: '1000m' } }),
    expected: [],
  },
  {
    name: 'request below the minimum',
    item: CONTAINER,
    pod: pod({ requests: { cpu: '50m' }, limits: { cpu: '1' } }),
    expected: ['minimum cpu usage per Container is 100m, but request is 50m'],
  },
  {
    name: 'nothing said',
    item: CONTAINER,
    pod: pod({}),
    expected: [
      'minimum cpu usage per Container is 100m.  No request is specified',
      'maximum cpu usage per Container is 1.  No limit is specified',
    ],
  },
  {
    name: 'limits below and above, of an init container too',
    item: CONTAINER,
    pod: pod({ requests: { cpu: '200m' }, limits: { cpu: '50m' } }, [{ requests: { cpu: '2' }, limits: { cpu: '3' } }]),
    expected: [
      'minimum cpu usage per Container is 100m, but limit is 50m',
      'maximum cpu usage per Container is 1, but limit is 3',
    ],
  },
  {
    name: 'request above the maximum',
    item: CONTAINER,
    pod: pod({ requests: { cpu: '2' }, limits: { cpu: '1' } }),
    expected: ['maximum cpu usage per Container is 1, but request is 2'],
  },
  {
    name: 'ratio',
    item: { type: 'Container', maxLimitRequestRatio: { memory: '1500m' } },
    pod: pod({ requests: { memory: '1Gi' }, limits: { memory: '2Gi' } }),
    expected: ['memory max limit to request ratio per Container is 1500m, but provided ratio is 2.000000'],
  },
  {
    name: 'ratio without request, without limit',
    item: { type: 'Container', maxLimitRequestRatio: { cpu: '2', memory: '2' } },
    pod: pod({ requests: { memory: '1Gi' } }),
    expected: [
      'cpu max limit to request ratio per Container is 2, but no request is specified or request is 0',
      'memory max limit to request ratio per Container is 2, but no limit is specified or limit is 0',
    ],
  },
  {
    name: 'a pod is the larger of its containers and its init containers',
    item: { type: 'Pod', max: { cpu: '1' } },
    pod: pod({ requests: { cpu: '400m' }, limits: { cpu: '800m' } }, [
      { requests: { cpu: '400m' }, limits: { cpu: '900m' } },
      { requests: { cpu: '1100m' }, limits: { cpu: '1100m' } },
    ]),
    expected: ['maximum cpu usage per Pod is 1, but limit is 1100m'],
  },
];

describe('limits (plugin/pkg/admission/limitranger)', () => {
  test.each(CASES)('pod: $name', ({ item, pod: subject, expected }) => {
    expect(podViolations([item], subject)).toEqual(expected);
  });

  test('claims are bounded by their requests', () => {
    const item: LimitRangeItem = { type: 'PersistentVolumeClaim', min: { storage: '1Gi' }, max: { storage: '2Gi' } };
    expect(claimViolations([item], claim('1Gi'))).toEqual([]);
    expect(claimViolations([item], claim('512Mi'))).toEqual([
      'minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 512Mi',
    ]);
    expect(claimViolations([item], claim('3Gi'))).toEqual([
      'maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi',
    ]);
  });
});
