import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Deployment, Pod } from '#lib/api';
import { instant } from '../instant.ts';
import { type Action, type Observed, plan } from './plan.ts';
import { newSetSize, oldSetSizes } from './rolling.ts';
import { availableOf, type Rs, rollingLimits, type Sized, sizeOf, sum, wantedOf } from './sets.ts';
import { isSameTemplate, templateHash } from './template.ts';

const NOW = instant(1_700_000_000_000);

interface SetOptions {
  readonly image: string;
  readonly replicas: number;
  readonly available?: number;
  readonly revision?: number;
  readonly desired?: number;
  readonly max?: number;
  readonly age?: number;
}

function deployment(
  o: { replicas?: number; image?: string; spec?: object; status?: object; deleted?: boolean } = {},
): DeepReadonly<Deployment> {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: {
      name: 'web',
      namespace: 'ns',
      uid: 'd',
      generation: 1,
      annotations: { team: 'shop', 'kubectl.kubernetes.io/last-applied-configuration': '{}' },
      ...(o.deleted ? { deletionTimestamp: NOW.text } : {}),
    },
    spec: {
      replicas: o.replicas ?? 4,
      selector: { matchLabels: { app: 'web' } },
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
      progressDeadlineSeconds: 600,
      template: template(o.image ?? 'web:2'),
      ...o.spec,
    },
    ...(o.status ? { status: o.status } : {}),
  };
}

function template(image: string, labels: Record<string, string> = {}): DeepReadonly<Deployment>['spec']['template'] {
  return { metadata: { name: '', labels: { app: 'web', ...labels } }, spec: { containers: [{ name: 'c', image }] } };
}

function set(o: SetOptions): Rs {
  return {
    apiVersion: 'apps/v1',
    kind: 'ReplicaSet',
    metadata: {
      name: `web-${o.image}`,
      namespace: 'ns',
      uid: `uid-${o.image}`,
      generation: 1,
      creationTimestamp: instant(1_600_000_000_000 - (o.age ?? 0) * 1000).text,
      labels: { app: 'web' },
      annotations: {
        'deployment.kubernetes.io/revision': String(o.revision ?? 1),
        'deployment.kubernetes.io/desired-replicas': String(o.desired ?? 4),
        'deployment.kubernetes.io/max-replicas': String(o.max ?? 5),
        team: 'shop',
      },
    },
    spec: { replicas: o.replicas, template: template(o.image, { 'pod-template-hash': 'x' }) },
    status: {
      replicas: o.replicas,
      readyReplicas: o.available ?? o.replicas,
      availableReplicas: o.available ?? o.replicas,
      observedGeneration: 1,
    },
  };
}

function observed(
  d: DeepReadonly<Deployment>,
  owned: readonly Rs[],
  pods: ReadonlyMap<Rs, readonly DeepReadonly<Pod>[]> = new Map(),
): Observed {
  return { deployment: d, owned, orphans: [], podsOf: (rs) => pods.get(rs) ?? [] };
}

function sizes(actions: readonly Action[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (const a of actions) {
    if (a.type === 'change' && a.replicas !== sizeOf(a.rs)) out[a.rs.metadata.name] = a.replicas;
    if (a.type === 'create') out['new'] = a.set.replicas;
  }
  return out;
}

describe('deployment plan', () => {
  test('creates the set of its template, with revision, sizes and copied annotations', () => {
    const { actions, status } = plan(observed(deployment(), []), NOW);
    const [create] = actions;
    expect(create?.type === 'create' && create.set).toMatchObject({
      replicas: 4,
      annotations: {
        team: 'shop',
        'deployment.kubernetes.io/revision': '1',
        'deployment.kubernetes.io/desired-replicas': '4',
        'deployment.kubernetes.io/max-replicas': '5',
      },
    });
    expect(create?.type === 'create' && Object.keys(create.set.annotations)).not.toContain(
      'kubectl.kubernetes.io/last-applied-configuration',
    );
    expect(status.conditions?.map((c) => [c.type, c.status, c.reason])).toEqual([
      ['Available', 'False', 'MinimumReplicasUnavailable'],
      ['Progressing', 'True', 'NewReplicaSetCreated'],
    ]);
  });

  test('a new version starts with the surge and takes what may be unavailable', () => {
    const old = set({ image: 'web:1', replicas: 4 });
    const { actions } = plan(observed(deployment(), [old]), NOW);
    expect(sizes(actions)).toEqual({ new: 1, 'web-web:1': 3 });
    const create = actions.find((a) => a.type === 'create');
    expect(create?.type === 'create' && create.set.annotations['deployment.kubernetes.io/revision']).toBe('2');
  });

  test('old pods that serve nobody go first', () => {
    const old = set({ image: 'web:1', replicas: 4, available: 1 });
    const fresh = set({ image: 'web:2', replicas: 1, available: 1, revision: 2 });
    expect(sizes(plan(observed(deployment(), [old, fresh]), NOW).actions)).toEqual({ 'web-web:1': 2 });
  });

  test('a set that becomes current again gets a new revision and keeps the old one in its history', () => {
    const current = set({ image: 'web:2', replicas: 4, revision: 2 });
    const back = set({ image: 'web:1', replicas: 0, revision: 1 });
    const { actions } = plan(observed(deployment({ image: 'web:1' }), [back, current]), NOW);
    const change = actions.find((a) => a.type === 'change' && a.rs === back);
    expect(change?.type === 'change' && change.annotations).toMatchObject({
      'deployment.kubernetes.io/revision': '3',
      'deployment.kubernetes.io/revision-history': '1',
    });
    expect(actions).toContainEqual({ type: 'note-revision', revision: '3' });
  });

  test('a size changed in the middle of a rollout is spread in proportion', () => {
    const old = set({ image: 'web:1', replicas: 3, desired: 4, max: 5 });
    const fresh = set({ image: 'web:2', replicas: 2, desired: 4, max: 5, revision: 2 });
    const d = deployment({ replicas: 8 });
    const next = sizes(plan(observed(d, [old, fresh]), NOW).actions);
    expect(next).toEqual({ 'web-web:1': 5, 'web-web:2': 4 });
  });

  test('paused: sizes only', () => {
    const old = set({ image: 'web:1', replicas: 4 });
    const d = deployment({ replicas: 6, spec: { paused: true } });
    const { actions, status } = plan(observed(d, [old]), NOW);
    expect(sizes(actions)).toEqual({ 'web-web:1': 6 });
    expect(status.conditions?.find((c) => c.type === 'Progressing')).toMatchObject({ reason: 'DeploymentPaused' });
  });

  test('Recreate waits until no old pod can run', () => {
    const d = deployment({ spec: { strategy: { type: 'Recreate' } } });
    const old = set({ image: 'web:1', replicas: 4 });
    expect(sizes(plan(observed(d, [old]), NOW).actions)).toEqual({ 'web-web:1': 0 });
    const down = set({ image: 'web:1', replicas: 0 });
    const going = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec: { containers: [] } };
    expect(sizes(plan(observed(d, [down], new Map([[down, [going]]])), NOW).actions)).toEqual({});
    expect(sizes(plan(observed(d, [down]), NOW).actions)).toEqual({ new: 4 });
    // Pods may be made already that the cache does not show yet.
    const counted = { ...down, status: { ...down.status, replicas: 1 } };
    expect(sizes(plan(observed(d, [counted]), NOW).actions)).toEqual({});
    const unheard = { ...down, metadata: { ...down.metadata, generation: 7 } };
    expect(sizes(plan(observed(d, [unheard]), NOW).actions)).toEqual({});
  });

  test('complete: condition, and history beyond the limit goes', () => {
    const fresh = set({ image: 'web:2', replicas: 4, revision: 4 });
    const olds = [1, 2, 3].map((n) => set({ image: `old:${n}`, replicas: 0, revision: n, age: 100 - n }));
    const d = deployment({ spec: { revisionHistoryLimit: 1 } });
    const { actions, status } = plan(observed(d, [...olds, fresh]), NOW);
    const deleted = actions.flatMap((a) => (a.type === 'delete' ? [a.rs.metadata.name] : []));
    expect(deleted).toEqual(['web-old:1', 'web-old:2']);
    expect(status.conditions?.find((c) => c.type === 'Progressing')).toMatchObject({
      status: 'True',
      reason: 'NewReplicaSetAvailable',
      message: 'ReplicaSet "web-web:2" has successfully progressed.',
    });
  });

  test('no progress within the deadline', () => {
    const fresh = set({ image: 'web:2', replicas: 4, available: 0, revision: 2 });
    const since = instant(NOW.ms - 599_000).text;
    const progressing = { type: 'Progressing', status: 'True', reason: 'ReplicaSetUpdated', lastUpdateTime: since };
    const status = { replicas: 4, updatedReplicas: 4, unavailableReplicas: 4, conditions: [progressing] };
    const d = deployment({ status });
    const early = plan(observed(d, [fresh]), NOW);
    expect(early.wakeAtMs).toBe(NOW.ms + 1_000);
    const late = plan(observed(d, [fresh]), instant(NOW.ms + 1_000));
    expect(late.status.conditions?.find((c) => c.type === 'Progressing')).toMatchObject({
      status: 'False',
      reason: 'ProgressDeadlineExceeded',
      message: 'ReplicaSet "web-web:2" has timed out progressing.',
    });
    expect(late.wakeAtMs).toBeUndefined();
  });

  test('a Deployment that is going changes nothing', () => {
    const { actions } = plan(observed(deployment({ deleted: true }), [set({ image: 'web:1', replicas: 4 })]), NOW);
    expect(actions).toEqual([]);
  });

  test('an empty selector does nothing but say so', () => {
    const d = deployment({ spec: { selector: {} } });
    expect(plan(observed(d, []), NOW)).toMatchObject({ actions: [], selectsAll: true });
  });
});

describe('templates', () => {
  test('the hash label, key order and emptiness do not count; anything else does', () => {
    const a = template('web:1');
    expect(isSameTemplate(a, template('web:1', { 'pod-template-hash': 'abc' }))).toBe(true);
    expect(isSameTemplate(a, template('web:2'))).toBe(false);
    expect(isSameTemplate({ spec: { containers: [], volumes: [] } }, { spec: { containers: [] } })).toBe(true);
    const volume = { name: 'v', emptyDir: {} };
    expect(
      isSameTemplate(
        { spec: { containers: [], volumes: [volume] } },
        { spec: { containers: [], volumes: [{ name: 'v' }] } },
      ),
    ).toBe(false);
    expect(templateHash(a, undefined)).toBe(templateHash(template('web:1', { 'pod-template-hash': 'abc' }), 0));
    expect(templateHash(a, 1)).not.toBe(templateHash(a, undefined));
    expect(templateHash(a, undefined)).toMatch(/^[bcdf]{1,10}$|^[bcdfghjklmnpqrstvwxz2456789]{1,10}$/);
  });
});

const percent = fc.integer({ min: 0, max: 100 }).map((n) => `${n}%`);
const limit = fc.oneof(fc.integer({ min: 0, max: 12 }), percent);
const anySet = fc.record({ replicas: fc.nat(12), unavailable: fc.nat(12) });

interface Case {
  readonly d: DeepReadonly<Deployment>;
  readonly fresh: Sized;
  readonly old: readonly Sized[];
}

const anyCase: fc.Arbitrary<Case> = fc
  .record({
    wanted: fc.nat(12),
    maxSurge: limit,
    maxUnavailable: limit,
    fresh: anySet,
    old: fc.array(anySet, { maxLength: 3 }),
  })
  .map((x) => {
    const make = (s: { replicas: number; unavailable: number }, image: string): Sized => {
      const rs = set({ image, replicas: s.replicas, available: Math.max(s.replicas - s.unavailable, 0) });
      return { rs, size: sizeOf(rs) };
    };
    return {
      d: deployment({
        replicas: x.wanted,
        spec: {
          strategy: {
            type: 'RollingUpdate',
            rollingUpdate: { maxSurge: x.maxSurge, maxUnavailable: x.maxUnavailable },
          },
        },
      }),
      fresh: make(x.fresh, 'web:2'),
      old: x.old.map((s, i) => make(s, `old:${i}`)),
    };
  });

/** What may still serve when a set shrinks: pods that are not available go first. */
function available(s: Sized): number {
  return Math.min(availableOf(s.rs), s.size);
}

describe('rolling update, from any state', () => {
  test('never more pods than wanted + maxSurge, if it was so before', () => {
    fc.assert(
      fc.property(anyCase, ({ d, fresh, old }) => {
        const before = fresh.size + sum(old);
        const after = newSetSize(d, fresh.size, before) + sum(old);
        expect(after).toBeLessThanOrEqual(Math.max(before, wantedOf(d) + rollingLimits(d).maxSurge));
      }),
    );
  });

  test('never fewer available than wanted - maxUnavailable by taking from old sets, if there were that many', () => {
    fc.assert(
      fc.property(anyCase, ({ d, fresh, old }) => {
        const least = wantedOf(d) - rollingLimits(d).maxUnavailable;
        const before = [fresh, ...old].reduce((n, s) => n + available(s), 0);
        const after = [fresh, ...oldSetSizes(d, fresh, old)].reduce((n, s) => n + available(s), 0);
        expect(after).toBeGreaterThanOrEqual(Math.min(before, Math.max(least, 0)));
      }),
    );
  });

  test('with pods that become available, it ends with the new set only', () => {
    fc.assert(
      fc.property(anyCase, ({ d, fresh, old }) => {
        let now = { fresh, old };
        for (let step = 0; step < 100; step++) {
          const total = now.fresh.size + sum(now.old);
          const size = newSetSize(d, now.fresh.size, total);
          const next = oldSetSizes(d, now.fresh, now.old);
          const grown = set({ image: 'web:2', replicas: size });
          now = {
            fresh: { rs: grown, size },
            old: next.map((s, i) => ({ rs: set({ image: `old:${i}`, replicas: s.size }), size: s.size })),
          };
          if (size === wantedOf(d) && sum(now.old) === 0) return;
        }
        throw new Error('does not end');
      }),
    );
  });
});
