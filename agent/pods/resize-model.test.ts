import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ContainerId } from '../runtime/runtime.ts';
import { type ContainerObservation, EMPTY_OBSERVATION, type RoledContainer } from './model.ts';
import {
  type ContainerChange,
  isSameResources,
  type ResizeStep,
  resizeOf,
  resizeSteps,
  resourcesInForce,
} from './resize-model.ts';
import type { PodFigures } from './resources.ts';

const MI = 1 << 20;

function figures(shares: number, quota: number | 'max', memory: number | 'max'): PodFigures {
  return { cpuShares: shares, cpuQuotaUs: quota, memoryBytes: memory, hugePages: {} };
}

function change(name: string, before: [number, number, number], after: [number, number, number]): ContainerChange {
  const of = ([cpuShares, cpuQuotaUs, memoryBytes]: [number, number, number]) => ({
    cpuShares,
    cpuQuotaUs,
    memoryBytes,
    hugePages: {},
  });
  return { name, before: of(before), after: of(after) };
}

const text = (steps: readonly ResizeStep[]): string[] =>
  steps.map((s) => `${s.container ?? 'pod'} ${JSON.stringify(s.limits)}`);

describe('order of writes (doPodResizeAction)', () => {
  test('a pod that grows goes first, limits before requests', () => {
    const steps = resizeSteps(
      figures(100, 10_000, 64 * MI),
      figures(200, 20_000, 128 * MI),
      [change('a', [100, 10_000, 64 * MI], [200, 20_000, 128 * MI])],
      { limitsSwap: false },
    );
    expect(text(steps)).toEqual([
      `pod {"memoryBytes":${128 * MI}}`,
      `a {"memoryBytes":${128 * MI}}`,
      'pod {"cpuQuotaUs":20000}',
      'pod {"cpuShares":200}',
      'a {"cpuShares":200,"cpuQuotaUs":20000}',
    ]);
  });

  test('a pod that shrinks goes last; with v1 memory and swap move together', () => {
    const steps = resizeSteps(
      figures(200, 20_000, 128 * MI),
      figures(100, 10_000, 64 * MI),
      [change('a', [200, 20_000, 128 * MI], [100, 10_000, 64 * MI])],
      { limitsSwap: true },
    );
    expect(text(steps)).toEqual([
      `a {"memoryBytes":${64 * MI},"swapBytes":0}`,
      `pod {"memoryBytes":${64 * MI}}`,
      'a {"cpuShares":100,"cpuQuotaUs":10000}',
      'pod {"cpuShares":100}',
      'pod {"cpuQuotaUs":10000}',
    ]);
  });

  test('at no moment are containers together allowed more than their pod', () => {
    const amount = fc.integer({ min: 1, max: 20 });
    const triple = fc.tuple(amount, amount, amount);
    const container = fc.record({ before: triple, after: triple });
    fc.assert(
      fc.property(fc.array(container, { minLength: 1, maxLength: 4 }), (list) => {
        const changes = list.map((c, i) => change(`c${i}`, c.before, c.after));
        const sum = (of: (c: ContainerChange) => number): number => changes.reduce((n, c) => n + of(c), 0);
        const before = figures(
          2,
          sum((c) => c.before.cpuQuotaUs ?? 0),
          sum((c) => c.before.memoryBytes ?? 0),
        );
        const after = figures(
          2,
          sum((c) => c.after.cpuQuotaUs ?? 0),
          sum((c) => c.after.memoryBytes ?? 0),
        );
        const now = new Map(changes.map((c) => [c.name, { quota: c.before.cpuQuotaUs, memory: c.before.memoryBytes }]));
        const pod = { quota: before.cpuQuotaUs, memory: before.memoryBytes };
        for (const { container: name, limits } of resizeSteps(before, after, changes, { limitsSwap: false })) {
          const target = name === undefined ? pod : now.get(name);
          if (target === undefined) throw new Error('no such container');
          if (limits.cpuQuotaUs !== undefined) Object.assign(target, { quota: limits.cpuQuotaUs });
          if (limits.memoryBytes !== undefined) Object.assign(target, { memory: limits.memoryBytes });
          for (const key of ['quota', 'memory'] as const) {
            const total = [...now.values()].reduce((n, c) => n + Number(c[key]), 0);
            expect(total).toBeLessThanOrEqual(Number(pod[key]));
          }
        }
        expect(pod).toEqual({ quota: after.cpuQuotaUs, memory: after.memoryBytes });
        for (const c of changes)
          expect(now.get(c.name)).toEqual({ quota: c.after.cpuQuotaUs, memory: c.after.memoryBytes });
      }),
    );
  });
});

function running(resources: object | undefined): ContainerObservation {
  const state = { phase: 'running', pid: 1, startedAtMs: 0 } as const;
  const latest = {
    id: '1' as ContainerId,
    attempt: 0,
    backOff: 0,
    sandbox: '',
    image: 'i',
    imageId: '',
    stopSignal: '',
  };
  return { ...EMPTY_OBSERVATION, latest: { ...latest, state, resources } };
}

function container(resources: object, resizePolicy?: object[], role: RoledContainer['role'] = 'app'): RoledContainer {
  return { role, spec: { name: 'a', image: 'i', resources, resizePolicy } as never };
}

test('amounts written in another way are the same', () => {
  expect(isSameResources({ limits: { cpu: '1', memory: '1Gi' } }, { limits: { cpu: '1000m', memory: '1024Mi' } })).toBe(
    true,
  );
  expect(isSameResources({}, { requests: { cpu: '0' } })).toBe(true);
  expect(isSameResources({}, { requests: { cpu: '1m' } })).toBe(false);
  expect(isSameResources(undefined, { requests: { 'example.com/gpu': '1' } })).toBe(true);
});

test('what a running container needs, by its resizePolicy (computePodResizeAction)', () => {
  const one = { requests: { cpu: '1', memory: '1Gi' } };
  const two = { requests: { cpu: '2', memory: '1Gi' } };
  const restart = (resourceName: string) => [{ resourceName, restartPolicy: 'RestartContainer' }];
  expect(resizeOf(container(one), running(one))).toBe('none');
  expect(resizeOf(container(two), running(one))).toBe('inPlace');
  expect(resizeOf(container(two, restart('cpu')), running(one))).toBe('restart');
  expect(resizeOf(container(two, restart('memory')), running(one))).toBe('inPlace');
  expect(resizeOf(container(two, undefined, 'sidecar'), running(one))).toBe('inPlace');
  expect(resizeOf(container(two, undefined, 'init'), running(one))).toBe('none');
  expect(resizeOf(container(two), EMPTY_OBSERVATION)).toBe('none');
});

test('the status shows what is in force, of what the spec names', () => {
  const allocated = { requests: { cpu: '2', memory: '1Gi', 'ephemeral-storage': '1Gi' }, limits: { cpu: '2' } };
  expect(resourcesInForce(allocated, { requests: { cpu: '1', memory: '1Gi' } })).toEqual({
    requests: { cpu: '1', memory: '1Gi', 'ephemeral-storage': '1Gi' },
    limits: {},
  });
  expect(resourcesInForce(allocated, undefined)).toEqual(allocated);
});
