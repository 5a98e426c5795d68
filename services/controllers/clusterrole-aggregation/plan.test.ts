import { describe, expect, test } from 'vitest';
import type { ClusterRole, PolicyRule } from '#lib/api';
import { aggregatedRules, hasSameRules } from './plan.ts';

const get = (resource: string): PolicyRule => ({ verbs: ['get'], apiGroups: [''], resources: [resource] });

function role(name: string, labels: Record<string, string>, rules: PolicyRule[], to: string[] = []): ClusterRole {
  const selectors = to.map((label) => ({ matchLabels: { [label]: 'true' } }));
  const aggregationRule = to.length === 0 ? {} : { aggregationRule: { clusterRoleSelectors: selectors } };
  return {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'ClusterRole',
    metadata: { name, labels },
    rules,
    ...aggregationRule,
  };
}

describe('aggregatedRules', () => {
  test('rules of the roles that match, by name, each once, without its own', () => {
    const view = role('view', { view: 'true', edit: 'true' }, [get('stale')], ['view']);
    const all = [
      role('z', { view: 'true' }, [get('pods'), get('services')]),
      view,
      role('a', { view: 'true' }, [get('nodes'), { ...get('pods'), resourceNames: [] }]),
      role('other', { edit: 'true' }, [get('secrets')]),
    ];
    const pods = { ...get('pods'), resourceNames: [] };
    expect(aggregatedRules(view, all)).toEqual([get('nodes'), pods, get('services')]);
  });

  test('several selectors are a union; one that selects nothing empties the role', () => {
    const edit = role('edit', {}, [], ['edit', 'view']);
    const all = [edit, role('v', { view: 'true' }, [get('pods')]), role('e', { edit: 'true' }, [get('secrets')])];
    expect(aggregatedRules(edit, all)).toEqual([get('secrets'), get('pods')]);
    expect(aggregatedRules(role('none', {}, [get('x')], ['nothing']), all)).toEqual([]);
  });
});

describe('hasSameRules', () => {
  test('order counts, absent lists do not', () => {
    expect(hasSameRules(undefined, [])).toBe(true);
    expect(hasSameRules([get('a')], [{ ...get('a'), nonResourceURLs: [] }])).toBe(true);
    expect(hasSameRules([get('a'), get('b')], [get('b'), get('a')])).toBe(false);
    expect(hasSameRules([get('a')], [])).toBe(false);
  });
});
