import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Pod, ReplicaSet } from '#lib/api';
import { instant } from '../instant.ts';
import { type Observed, plan, withFailure } from './plan.ts';
import { inDeletionOrder } from './rank.ts';

const NOW = instant(1_700_000_000_000);

function set(replicas: number, o: { minReadySeconds?: number; deleted?: boolean } = {}): DeepReadonly<ReplicaSet> {
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: 'rs',
      namespace: 'ns',
      uid: 'rs',
      generation: 3,
      ...(o.deleted ? { deletionTimestamp: NOW.text } : {}),
    },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      minReadySeconds: o.minReadySeconds ?? 0,
      template: { metadata: { name: '', labels: { app: 'web' } }, spec: { containers: [] } },
    },
  };
}

interface PodOptions {
  readonly phase?: string;
  readonly ready?: boolean;
  readonly readySeconds?: number;
  readonly node?: string;
  readonly deleted?: boolean;
  readonly labels?: Record<string, string>;
  readonly cost?: string;
  readonly restarts?: number;
  readonly ageSeconds?: number;
}

let count = 0;
function pod(o: PodOptions = {}): DeepReadonly<Pod> {
  const name = `p${++count}`;
  const since = instant(NOW.ms - (o.readySeconds ?? 100) * 1000).text;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'ns',
      uid: name,
      creationTimestamp: instant(NOW.ms - (o.ageSeconds ?? 1000) * 1000).text,
      labels: o.labels ?? { app: 'web' },
      ...(o.cost ? { annotations: { 'controller.kubernetes.io/pod-deletion-cost': o.cost } } : {}),
      ...(o.deleted ? { deletionTimestamp: NOW.text } : {}),
    },
    spec: { containers: [], ...(o.node === '' ? {} : { nodeName: o.node ?? 'n' }) },
    status: {
      phase: o.phase ?? 'Running',
      conditions: [{ type: 'Ready', status: o.ready === false ? 'False' : 'True', lastTransitionTime: since }],
      containerStatuses: [{ name: 'c', ready: true, restartCount: o.restarts ?? 0, image: '', imageID: '' }],
    },
  };
}

function observed(
  s: DeepReadonly<ReplicaSet>,
  owned: readonly DeepReadonly<Pod>[],
  orphans: readonly DeepReadonly<Pod>[] = [],
): Observed {
  return { set: s, owned, orphans, relatedOnNode: new Map() };
}

describe('replicaset plan', () => {
  test('finished and going pods are replaced, and counted as terminating', () => {
    const owned = [pod(), pod({ phase: 'Failed' }), pod({ deleted: true }), pod({ ready: false })];
    const { actions, status } = plan(observed(set(3), owned), NOW);
    expect(actions).toEqual([{ type: 'create', count: 1 }]);
    expect(status).toMatchObject({
      replicas: 2,
      readyReplicas: 1,
      availableReplicas: 1,
      terminatingReplicas: 1,
      observedGeneration: 3,
    });
  });

  test('adopts matching orphans before it creates, releases what no longer matches', () => {
    const orphan = pod();
    const strayed = pod({ labels: { app: 'other' } });
    const { actions } = plan(
      observed(set(2), [strayed], [orphan, pod({ phase: 'Succeeded' }), pod({ labels: {} })]),
      NOW,
    );
    expect(actions).toEqual([
      { type: 'release', pod: strayed },
      { type: 'adopt', pod: orphan },
      { type: 'create', count: 1 },
    ]);
  });

  test('a set that is going does nothing', () => {
    expect(plan(observed(set(5, { deleted: true }), [pod()], [pod()]), NOW).actions).toEqual([]);
  });

  test('available after minReadySeconds, and it asks to be woken then', () => {
    const owned = [pod({ readySeconds: 20 }), pod({ readySeconds: 4 }), pod({ readySeconds: 7 })];
    const { status, wakeAtMs } = plan(observed(set(3, { minReadySeconds: 10 }), owned), NOW);
    expect(status.availableReplicas).toBe(1);
    expect(wakeAtMs).toBe(NOW.ms + 3_000);
  });

  test('condition ReplicaFailure comes and goes; its first message stays', () => {
    const { status } = plan(observed(set(1), []), NOW);
    const failed = withFailure(status, { reason: 'FailedCreate', message: 'quota 1' }, NOW);
    expect(failed.conditions?.[0]).toMatchObject({
      type: 'ReplicaFailure',
      status: 'True',
      reason: 'FailedCreate',
      message: 'quota 1',
    });
    expect(withFailure(failed, { reason: 'FailedCreate', message: 'quota 2' }, NOW)).toBe(failed);
    expect(withFailure(failed, undefined, NOW).conditions).toBeUndefined();
  });

  test('order of deletion', () => {
    const inOrder = [
      pod({ node: '', phase: 'Pending', ready: false }),
      pod({ phase: 'Pending', ready: false }),
      pod({ phase: 'Unknown', ready: false }),
      pod({ ready: false }),
      pod({ cost: '-5' }),
      pod({ node: 'crowded' }),
      pod({ readySeconds: 2 }),
      pod({ restarts: 3 }),
      pod({ ageSeconds: 10 }),
      pod({ ageSeconds: 2000 }),
      pod({ cost: '7', ready: true }),
    ];
    const related = new Map([
      ['crowded', 4],
      ['n', 1],
    ]);
    expect(inDeletionOrder(inOrder.toReversed(), related, NOW.ms)).toEqual(inOrder);
  });

  test('it converges from any state, and deletes only what is too much', () => {
    const anyPod = fc.record({
      phase: fc.constantFrom('Pending', 'Running', 'Failed', 'Succeeded'),
      ready: fc.boolean(),
      deleted: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.nat(8), fc.array(anyPod, { maxLength: 12 }), (wanted, states) => {
        const owned = states.map((s) => pod(s));
        const active = owned.filter(
          (p) => !p.metadata.deletionTimestamp && !['Failed', 'Succeeded'].includes(p.status?.phase ?? ''),
        );
        const { actions } = plan(observed(set(wanted), owned), NOW);
        const created = actions.reduce((n, a) => n + (a.type === 'create' ? a.count : 0), 0);
        const deleted = actions.flatMap((a) => (a.type === 'delete' ? a.pods : []));
        expect(deleted.every((p) => active.includes(p))).toBe(true);
        expect(active.length + created - deleted.length).toBe(wanted);
        const left = active.filter((p) => !deleted.includes(p));
        const after = [...left, ...Array.from({ length: created }, () => pod())];
        expect(plan(observed(set(wanted), after), NOW).actions).toEqual([]);
        // No ready pod goes while one that is not ready stays.
        const isReady = (p: DeepReadonly<Pod>): boolean => p.status?.conditions?.[0]?.status === 'True';
        const running = (p: DeepReadonly<Pod>): boolean => p.status?.phase === 'Running';
        if (deleted.some((p) => isReady(p) && running(p)))
          expect(left.some((p) => !isReady(p) && running(p))).toBe(false);
      }),
    );
  });
});
