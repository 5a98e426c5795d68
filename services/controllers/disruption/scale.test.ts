import { describe, expect, test } from 'vitest';
import { Kinds, type KubeObject, kindInfo, type Pod } from '#lib/api';
import { realClock, StatusError, silentLogger } from '#lib/base';
import type { Deps } from '../deps.ts';
import { scaleOf } from './reconcile.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const CUSTOM = {
  ...kindInfo(Kinds.configmaps),
  group: 'example.com',
  version: 'v1',
  kind: 'Rollout',
  resource: 'rollouts',
  custom: { scale: { specReplicasPath: '.spec.count', statusReplicasPath: '.status.count' } },
};

function podOf(name: string, owner?: { apiVersion: string; kind: string; name: string; uid: string }): Pod {
  const ownerReferences = owner === undefined ? [] : [{ ...owner, controller: true }];
  return { metadata: { name, namespace: 'ns', ownerReferences } } as Pod;
}

interface World {
  readonly stored?: Record<string, { uid: string; replicas: number }>;
  readonly custom?: KubeObject & { spec: object };
}

function world(o: World): { deps: Pick<Deps, 'client' | 'customKinds' | 'informers'>; asked: string[] } {
  const asked: string[] = [];
  const deps = {
    informers: {
      informer: () => ({
        get: ({ name }: { name: string }) => {
          const known = o.stored?.[name];
          return known && { metadata: { name, uid: known.uid }, spec: { replicas: known.replicas } };
        },
      }),
    },
    customKinds: { byGvk: (_: string, kind: string) => (kind === 'Rollout' ? CUSTOM : undefined) },
    client: {
      get: (_: unknown, { name }: { name: string }) => {
        asked.push(name);
        return o.custom === undefined
          ? Promise.reject(new StatusError('NotFound', 'no such rollout'))
          : Promise.resolve(o.custom);
      },
    },
  };
  return { deps: deps as never, asked };
}

describe('the scale behind the pods of a budget', () => {
  const set = { apiVersion: 'apps/v1', kind: 'StatefulSet', name: 's', uid: 's1' };
  const rollout = { apiVersion: 'example.com/v1', kind: 'Rollout', name: 'r', uid: 'r1' };

  test('pods without a controller are not counted', async () => {
    const { deps } = world({ stored: { s: { uid: 's1', replicas: 3 } } });
    expect(await scaleOf([podOf('a', set), podOf('b', set), podOf('c')], deps, c)).toEqual({ replicas: 3 });
    expect(await scaleOf([podOf('c')], deps, c)).toEqual({ replicas: 0 });
  });

  test('a controller that is gone, or another of its name, is none', async () => {
    const problem = { problem: 'found no controllers for pod "a"' };
    expect(await scaleOf([podOf('a', set)], world({}).deps, c)).toEqual(problem);
    const { deps } = world({ stored: { s: { uid: 'other', replicas: 3 } } });
    expect(await scaleOf([podOf('a', set)], deps, c)).toEqual(problem);
    expect(await scaleOf([podOf('a', rollout)], world({}).deps, c)).toEqual(problem);
    expect(await scaleOf([podOf('a', { ...rollout, kind: 'Unknown' })], world({}).deps, c)).toEqual(problem);
  });

  test('a custom one is asked once, whatever the number of its pods', async () => {
    const custom = {
      apiVersion: 'example.com/v1',
      kind: 'Rollout',
      metadata: { name: 'r', uid: 'r1' },
      spec: { count: 7 },
    };
    const { deps, asked } = world({ custom });
    const pods = ['a', 'b', 'c'].map((name) => podOf(name, rollout));
    expect(await scaleOf(pods, deps, c)).toEqual({ replicas: 7 });
    expect(asked).toEqual(['r']);
  });
});
