import { describe, expect, test } from 'vitest';
import type { DeepReadonly, Namespace } from '#lib/api';
import { instant } from '../instant.ts';
import { namespacedKinds } from './content.ts';
import { type Observed, plan } from './plan.ts';

const NOW = instant(1_700_000_000_000);
const namespace: DeepReadonly<Namespace> = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: 'shop', deletionTimestamp: NOW.text },
  spec: { finalizers: ['kubernetes'] },
};

function decide(o: Partial<Observed>) {
  return plan({ namespace, remains: [], failures: [], ...o }, NOW);
}

describe('namespace plan', () => {
  test('empty: it may go', () => {
    const { mayFinalize, conditions } = decide({});
    expect(mayFinalize).toBe(true);
    expect(conditions.every((c) => c.status === 'False')).toBe(true);
  });

  test('what remains is told, with its finalizers', () => {
    const remains = [
      { resource: 'pods', count: 2, finalizers: new Map([['example.com/hold', 1]]) },
      { resource: 'deployments.apps', count: 1, finalizers: new Map() },
      { resource: 'secrets', count: 0, finalizers: new Map() },
    ];
    const { mayFinalize, conditions } = decide({ remains });
    expect(mayFinalize).toBe(false);
    const messages = conditions.filter((c) => c.status === 'True').map((c) => `${c.reason}: ${c.message}`);
    expect(messages).toEqual([
      'SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 resource instances, pods has 2 resource instances',
      'SomeFinalizersRemain: Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances',
    ]);
    const again = decide({ remains, namespace: { ...namespace, status: { conditions } } });
    expect(again.hasChanged).toBe(false);
  });

  test('a failure holds it', () => {
    const { mayFinalize, conditions } = decide({ failures: ['pods: the store is away'] });
    expect(mayFinalize).toBe(false);
    expect(conditions.find((c) => c.type === 'NamespaceDeletionContentFailure')).toMatchObject({
      status: 'True',
      message: 'Failed to delete all resource types, 0 remaining: pods: the store is away',
    });
  });

  test('every stored kind is emptied once', () => {
    const names = namespacedKinds().map((k) => `${k.resource}.${k.group}`);
    expect(new Set(names).size).toBe(names.length);
    for (const n of ['pods.', 'events.', 'deployments.apps', 'leases.coordination.k8s.io']) expect(names).toContain(n);
    expect(names).not.toContain('events.events.k8s.io');
    expect(names).not.toContain('nodes.');
  });
});
