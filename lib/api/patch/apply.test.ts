import { describe, expect, test } from 'vitest';
import { isKind, type StatusError } from '#lib/base';
import { Kinds } from '../gen/kinds.ts';
import type { KubeObject } from '../object.ts';
import { applyServerSide, trackUpdate } from './apply.ts';

const T1 = '2026-01-01T00:00:00Z';
const T2 = '2026-01-02T00:00:00Z';

function deployment(spec: object, metadata: object = {}): KubeObject {
  return { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd', ...metadata }, spec } as KubeObject;
}

function apply(
  live: KubeObject | undefined,
  applied: KubeObject,
  manager = 'a',
  force = false,
  nowText = T1,
): KubeObject {
  return applyServerSide(Kinds.deployments, live, applied, { manager, force, nowText });
}

function update(previous: KubeObject | undefined, next: KubeObject, manager = 'u', nowText = T1): KubeObject {
  const copy = structuredClone(next);
  trackUpdate(Kinds.deployments, previous, copy, { manager, nowText });
  return copy;
}

function fields(o: KubeObject, manager: string): unknown {
  return o.metadata.managedFields?.find((m) => m.manager === manager)?.fieldsV1;
}

function conflictOf(fn: () => unknown): StatusError {
  try {
    fn();
  } catch (e) {
    if (isKind(e, 'Conflict')) return e;
    throw e;
  }
  throw new Error('no conflict');
}

const container = (name: string, more: object = {}): object => ({ name, image: `${name}:1`, ...more });
const withContainers = (...containers: object[]): object => ({ template: { spec: { containers } } });

describe('applyServerSide', () => {
  test('creates, and owns what was applied: fields, list items by key, map keys, atomic parts as one', () => {
    const applied = deployment(
      {
        replicas: 3,
        selector: { matchLabels: { app: 'x' } },
        template: {
          metadata: { labels: { app: 'x' } },
          spec: {
            containers: [container('c', { ports: [{ containerPort: 80 }], args: ['1'] })],
            nodeSelector: { a: 'b' },
          },
        },
      },
      { labels: { app: 'x' }, finalizers: ['f/x'] },
    );
    const created = apply(undefined, applied);
    expect(created.metadata.managedFields).toEqual([
      {
        manager: 'a',
        operation: 'Apply',
        apiVersion: 'apps/v1',
        time: T1,
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:metadata': { 'f:finalizers': { 'v:"f/x"': {} }, 'f:labels': { 'f:app': {} } },
          'f:spec': {
            'f:replicas': {},
            'f:selector': {},
            'f:template': {
              'f:metadata': { 'f:labels': { 'f:app': {} } },
              'f:spec': {
                'f:containers': {
                  'k:{"name":"c"}': {
                    '.': {},
                    'f:args': {},
                    'f:image': {},
                    'f:name': {},
                    'f:ports': { 'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} } },
                  },
                },
                'f:nodeSelector': {},
              },
            },
          },
        },
      },
    ]);
    expect({ ...created, metadata: { ...created.metadata, managedFields: undefined } }).toEqual({
      ...applied,
      metadata: { ...applied.metadata, managedFields: undefined },
    });
  });

  test('the same configuration again changes nothing, not even a time', () => {
    const created = apply(undefined, deployment({ replicas: 3 }));
    expect(apply(created, deployment({ replicas: 3 }), 'a', false, T2)).toEqual(created);
  });

  test('another value of another applier is a conflict that names both; force takes it', () => {
    const created = apply(undefined, deployment({ replicas: 3, paused: true }));
    const e = conflictOf(() => apply(created, deployment({ replicas: 5 }), 'b'));
    expect(e.message).toBe('Apply failed with 1 conflict: conflict with "a": .spec.replicas');
    expect(e.details.causes).toEqual([
      { reason: 'FieldManagerConflict', message: 'conflict with "a"', field: '.spec.replicas' },
    ]);
    const forced = apply(created, deployment({ replicas: 5 }), 'b', true);
    expect(forced).toMatchObject({ spec: { replicas: 5, paused: true } });
    expect(fields(forced, 'a')).toEqual({ 'f:spec': { 'f:paused': {} } });
    expect(fields(forced, 'b')).toEqual({ 'f:spec': { 'f:replicas': {} } });
  });

  test('conflicts with an updater name its version; several are listed', () => {
    const created = update(undefined, deployment({ replicas: 1, ...withContainers(container('c')) }));
    const e = conflictOf(() =>
      apply(created, deployment({ replicas: 2, ...withContainers({ name: 'c', image: 'c:2' }) })),
    );
    expect(e.message).toBe(
      'Apply failed with 2 conflicts: conflicts with "u" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name="c"].image',
    );
  });

  test('conflicts with several managers are told by the managers’ names, whoever applied first', () => {
    for (const [first, second] of [
      ['b', 'c'],
      ['c', 'b'],
    ] as const) {
      const one = apply(undefined, deployment({ replicas: 3 }), first);
      const both = apply(one, deployment({ replicas: 3 }), second, false, T2);
      const e = conflictOf(() => apply(both, deployment({ replicas: 5 }), 'd'));
      expect(e.message).toBe(
        'Apply failed with 2 conflicts: conflicts with "b":\n- .spec.replicas\nconflicts with "c":\n- .spec.replicas',
      );
    }
  });

  test('equal values are shared: no conflict, both own, and dropping it in one keeps it for the other', () => {
    const one = apply(undefined, deployment({ replicas: 3, paused: true }));
    const both = apply(one, deployment({ replicas: 3 }), 'b');
    expect(fields(both, 'b')).toEqual({ 'f:spec': { 'f:replicas': {} } });
    const dropped = apply(both, deployment({ paused: true }));
    expect(dropped).toMatchObject({ spec: { replicas: 3, paused: true } });
    const gone = apply(dropped, deployment({}), 'b');
    expect(gone).toMatchObject({ spec: { paused: true } });
    expect(gone).not.toHaveProperty('spec.replicas');
  });

  test('dropped list items, map keys and set values go; those of others stay', () => {
    const first = apply(
      undefined,
      deployment(withContainers(container('a'), container('b')), {
        labels: { x: '1', y: '2' },
        finalizers: ['p/a', 'p/b'],
      }),
    );
    const second = apply(first, deployment(withContainers(container('mine')), { labels: { z: '3' } }), 'b');
    const third = apply(
      second,
      deployment(withContainers(container('b')), { labels: { y: '2' }, finalizers: ['p/b'] }),
    );
    expect(third).toMatchObject({
      metadata: { labels: { y: '2', z: '3' }, finalizers: ['p/b'] },
      spec: { template: { spec: { containers: [{ name: 'b', image: 'b:1' }, { name: 'mine' }] } } },
    });
    expect(third.metadata.labels).toEqual({ y: '2', z: '3' });
  });

  test('a container that becomes empty is dropped with its last field', () => {
    const first = apply(
      undefined,
      deployment({ replicas: 1, template: { spec: { securityContext: { runAsUser: 1 } } } }, { labels: { a: '1' } }),
    );
    const second = apply(first, deployment({ replicas: 1 }));
    expect(second.metadata.labels).toBeUndefined();
    expect(second).not.toHaveProperty('spec.template.spec.securityContext');
  });

  test('the order of applied items wins, others keep their place', () => {
    const live = update(undefined, deployment(withContainers(container('a'), container('x'), container('b'))));
    const next = apply(live, deployment(withContainers(container('b'), container('a'))), 'm', true);
    const names = (
      next as unknown as { spec: { template: { spec: { containers: { name: string }[] } } } }
    ).spec.template.spec.containers.map((c) => c.name);
    expect(names).toEqual(['b', 'a', 'x']);
  });

  test('an object without managedFields belongs to before-first-apply', () => {
    const live = deployment({ replicas: 1 }, { creationTimestamp: T1, uid: 'u1', resourceVersion: '5' });
    const e = conflictOf(() => apply(live, deployment({ replicas: 2 })));
    expect(e.message).toContain('conflict with "before-first-apply" using apps/v1: .spec.replicas');
    const forced = apply(live, deployment({ replicas: 2 }), 'a', true);
    expect(forced.metadata.managedFields?.map((m) => m.manager)).toEqual(['a']);
    expect(forced.metadata).toMatchObject({ uid: 'u1', resourceVersion: '5', creationTimestamp: T1 });
  });

  test('kubectl may take over what its last-applied annotation says', () => {
    const config = deployment({ replicas: 1 });
    const annotation = { 'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify(config) };
    const live = update(
      undefined,
      deployment({ replicas: 1, paused: true }, { annotations: annotation }),
      'kubectl-client-side-apply',
    );
    const next = apply(live, deployment({ replicas: 2 }), 'kubectl');
    expect(next).toMatchObject({ spec: { replicas: 2, paused: true } });
    expect(next.metadata.annotations?.['kubectl.kubernetes.io/last-applied-configuration']).toContain('"replicas":2');
    expect(conflictOf(() => apply(live, deployment({ paused: false }), 'kubectl')).message).toContain('.spec.paused');
    expect(conflictOf(() => apply(live, deployment({ replicas: 2 }), 'other')).message).toContain('.spec.replicas');
  });

  test('status is not taken on the main endpoint, and only status on /status', () => {
    const both = { ...deployment({ replicas: 2 }), status: { readyReplicas: 1 } } as KubeObject;
    expect(apply(undefined, both)).not.toHaveProperty('status');
    const live = apply(undefined, deployment({ replicas: 1 }));
    const next = applyServerSide(Kinds.deployments, live, both, {
      manager: 's',
      force: false,
      nowText: T1,
      subresource: 'status',
    });
    expect(next).toMatchObject({ spec: { replicas: 1 }, status: { readyReplicas: 1 } });
    expect(next.metadata.managedFields?.find((m) => m.manager === 's')).toMatchObject({
      subresource: 'status',
      fieldsV1: { 'f:status': { 'f:readyReplicas': {} } },
    });
  });

  test('a configuration with managedFields is BadRequest', () => {
    const bad = deployment({}, { managedFields: [{ manager: 'x' }] });
    expect(() => apply(undefined, bad)).toThrow('metadata.managedFields must be nil');
  });

  test('neither input is changed', () => {
    const live = apply(undefined, deployment({ replicas: 3, ...withContainers(container('a')) }));
    const config = deployment({ replicas: 4, ...withContainers(container('b')) });
    const before = structuredClone([live, config]);
    apply(live, config);
    expect([live, config]).toEqual(before);
  });
});

describe('trackUpdate', () => {
  test('a creation owns everything but what the server sets; containers that came are owned', () => {
    const created = update(
      undefined,
      deployment({ replicas: 1 }, { labels: { a: '1' }, uid: 'u', creationTimestamp: T1 }),
    );
    expect(created.metadata.managedFields).toEqual([
      {
        manager: 'u',
        operation: 'Update',
        apiVersion: 'apps/v1',
        time: T1,
        fieldsType: 'FieldsV1',
        fieldsV1: { 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } }, 'f:spec': { 'f:replicas': {} } },
      },
    ]);
  });

  test('what an updater changes it owns, and the applier does not any more', () => {
    const live = apply(undefined, deployment({ replicas: 1, paused: true }));
    const next = update(live, { ...live, spec: { replicas: 5, paused: true } } as KubeObject, 'hpa', T2);
    expect(fields(next, 'a')).toEqual({ 'f:spec': { 'f:paused': {} } });
    expect(next.metadata.managedFields?.find((m) => m.manager === 'hpa')).toMatchObject({
      operation: 'Update',
      time: T2,
      fieldsV1: { 'f:spec': { 'f:replicas': {} } },
    });
  });

  test('a write of one manager twice is one entry with the later time', () => {
    const one = update(undefined, deployment({ replicas: 1 }));
    const two = update(one, { ...one, spec: { replicas: 2, paused: true } } as KubeObject, 'u', T2);
    expect(two.metadata.managedFields).toHaveLength(1);
    expect(two.metadata.managedFields?.[0]).toMatchObject({
      time: T2,
      fieldsV1: { 'f:spec': { 'f:replicas': {}, 'f:paused': {} } },
    });
  });

  test('a removed field has no owner', () => {
    const one = update(undefined, deployment({ replicas: 1, paused: true }));
    expect(fields(update(one, deployment({ replicas: 1 }), 'v'), 'u')).toEqual({ 'f:spec': { 'f:replicas': {} } });
  });

  test('nothing changed: managedFields are as they were, whoever writes', () => {
    const one = update(undefined, deployment({ replicas: 1 }));
    expect(update(one, one, 'other', T2)).toEqual(one);
    const bare = deployment({ replicas: 1 });
    expect(update(one, bare, 'other', T2).metadata.managedFields).toEqual(one.metadata.managedFields);
  });

  test('[{}] resets, [] keeps, an update of an untracked object does not begin tracking', () => {
    const one = update(undefined, deployment({ replicas: 1 }));
    expect(update(one, deployment({ replicas: 1 }, { managedFields: [{}] })).metadata.managedFields).toBeUndefined();
    expect(update(one, deployment({ replicas: 1 }, { managedFields: [] })).metadata.managedFields).toEqual(
      one.metadata.managedFields,
    );
    expect(update(deployment({ replicas: 1 }), deployment({ replicas: 2 })).metadata.managedFields).toBeUndefined();
  });

  test('the status subresource is a manager of its own', () => {
    const one = update(undefined, deployment({ replicas: 1 }));
    const next = { ...one, status: { replicas: 1 } } as KubeObject;
    trackUpdate(Kinds.deployments, one, next, { manager: 'u', nowText: T2, subresource: 'status' });
    expect(next.metadata.managedFields?.map((m) => [m.manager, m.subresource])).toEqual([
      ['u', undefined],
      ['u', 'status'],
    ]);
  });

  test('more than ten updaters: the oldest are folded into ancient-changes', () => {
    let live = update(undefined, deployment({}, { labels: { l0: '0' } }), 'm0');
    for (let i = 1; i <= 12; i++)
      live = update(
        live,
        deployment({}, { labels: { ...live.metadata.labels, [`l${i}`]: `${i}` } }),
        `m${i}`,
        `2026-01-01T00:00:${i < 10 ? '0' : ''}${i}Z`,
      );
    const names = live.metadata.managedFields?.map((m) => m.manager) ?? [];
    expect(names).toHaveLength(11);
    expect(names).toContain('ancient-changes');
    expect(fields(live, 'ancient-changes')).toMatchObject({
      'f:metadata': { 'f:labels': { 'f:l0': {}, 'f:l1': {}, 'f:l2': {} } },
    });
  });
});
