import { describe, expect, test } from 'vitest';
import type { KubeObject } from '#lib/api';
import { Kinds } from '#lib/api';
import { type Item, OwnerGraph } from './graph.ts';
import { type OwnerState, plan } from './plan.ts';

interface ItemOptions {
  readonly owners?: readonly string[];
  readonly blocks?: boolean;
  readonly finalizers?: string[];
  readonly going?: boolean;
}

function item(uid: string, o: ItemOptions = {}): Item {
  const ownerReferences = (o.owners ?? []).map((owner) => ({
    apiVersion: 'v1',
    kind: 'ConfigMap',
    name: owner,
    uid: owner,
    blockOwnerDeletion: o.blocks ?? true,
  }));
  const object: KubeObject = {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {
      name: uid,
      namespace: 'ns',
      uid,
      ownerReferences,
      ...(o.finalizers ? { finalizers: o.finalizers } : {}),
      ...(o.going ? { deletionTimestamp: 'now' } : {}),
    },
  };
  return { kind: Kinds.configmaps, object };
}

function decide(i: Item, owners: Record<string, OwnerState> = {}, dependents: readonly Item[] = []) {
  return plan({ item: i, dependents, owners: new Map(Object.entries(owners)) });
}

describe('garbage collector plan', () => {
  test('deleted only when every owner is absent', () => {
    const i = item('x', { owners: ['a', 'b'] });
    expect(decide(i, { a: 'absent', b: 'absent' })).toEqual([{ type: 'delete', item: i, policy: 'Background' }]);
    expect(decide(i, { a: 'absent', b: 'solid' })).toEqual([{ type: 'drop-owners', item: i, uids: ['a'] }]);
    expect(decide(i, { a: 'solid', b: 'solid' })).toEqual([]);
    expect(decide(i, { a: 'absent', b: 'unknown' })).toEqual([]);
    expect(decide(i, { a: 'absent' })).toEqual([]);
    expect(decide(item('free'))).toEqual([]);
    expect(decide(item('x', { owners: ['a'], going: true }), { a: 'absent' })).toEqual([]);
  });

  test('its own finalizers decide what becomes of its dependents', () => {
    const orphaning = item('x', { owners: ['a'], finalizers: ['orphan'] });
    expect(decide(orphaning, { a: 'absent' })).toMatchObject([{ type: 'delete', policy: 'Orphan' }]);
    const foreground = item('x', { owners: ['a'], finalizers: ['foregroundDeletion'] });
    expect(decide(foreground, { a: 'absent' })).toMatchObject([{ type: 'delete', policy: 'Foreground' }]);
  });

  test('foreground: the owner waits for blocking dependents, then goes', () => {
    const owner = item('o', { finalizers: ['foregroundDeletion'], going: true });
    const blocker = item('b', { owners: ['o'] });
    const other = item('c', { owners: ['o'], blocks: false });
    expect(decide(owner, {}, [blocker, other])).toEqual([{ type: 'visit', items: [blocker] }]);
    expect(decide(owner, {}, [other])).toEqual([
      { type: 'drop-finalizer', item: owner, finalizer: 'foregroundDeletion' },
    ]);
    expect(decide(blocker, { o: 'waiting' })).toMatchObject([{ type: 'delete', policy: 'Background' }]);
    expect(decide(blocker, { o: 'waiting' }, [item('d', { owners: ['b'] })])).toMatchObject([
      { type: 'delete', policy: 'Foreground' },
    ]);
  });

  test('a solid owner saves the object from one that waits', () => {
    const i = item('x', { owners: ['o', 'p'] });
    expect(decide(i, { o: 'waiting', p: 'solid' })).toEqual([{ type: 'drop-owners', item: i, uids: ['o'] }]);
  });

  test('a circle of waiting is broken', () => {
    const i = item('x', { owners: ['o'] });
    const dependent = item('o', { owners: ['x'], finalizers: ['foregroundDeletion'], going: true });
    expect(decide(i, { o: 'waiting' }, [dependent]).map((a) => a.type)).toEqual(['unblock', 'delete']);
  });

  test('orphan: dependents lose the reference first, then the finalizer goes', () => {
    const owner = item('o', { finalizers: ['orphan'], going: true });
    const dependent = item('d', { owners: ['o'] });
    expect(decide(owner, {}, [dependent])).toEqual([
      { type: 'drop-owners', item: dependent, uids: ['o'] },
      { type: 'drop-finalizer', item: owner, finalizer: 'orphan' },
    ]);
  });
});

describe('owner graph', () => {
  test('dependents follow every change of references, known owner or not', () => {
    const g = new OwnerGraph();
    const names = (uid: string): string[] => g.dependentsOf(uid).map((d) => d.object.metadata.name);
    g.put(item('x', { owners: ['a', 'b'] }));
    g.put(item('y', { owners: ['a'] }));
    expect(names('a')).toEqual(['x', 'y']);
    g.put(item('x', { owners: ['b'] }));
    expect(names('a')).toEqual(['y']);
    expect(names('b')).toEqual(['x']);
    g.remove('x');
    expect(names('b')).toEqual([]);
    g.remove('x');
    expect(g.size).toBe(1);
  });
});
