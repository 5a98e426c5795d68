import { expect, test } from 'vitest';
import { Kinds } from '../gen/kinds.ts';
import { createErrors } from '../testing/prepared.ts';

const metadata = { name: 'system:x y' };
const apiGroup = 'rbac.authorization.k8s.io';

test('roles', () => {
  const rule = { verbs: ['get'], apiGroups: [''], resources: ['pods'] };
  expect(createErrors(Kinds.roles, { metadata, rules: [rule] })).toEqual([]);
  expect(createErrors(Kinds.roles, { metadata: { name: 'a/b' }, rules: [{}] })).toEqual([
    'metadata.name: Invalid value: "a/b": may not contain \'/\'',
    'rules[0].verbs: Required value: verbs must contain at least one value',
    'rules[0].apiGroups: Required value: resource rules must supply at least one api group',
    'rules[0].resources: Required value: resource rules must supply at least one resource',
  ]);
  const urls = { verbs: ['get'], nonResourceURLs: ['/x'], resources: ['a'] };
  expect(createErrors(Kinds.clusterroles, { metadata, rules: [urls] })).toEqual([
    'rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs',
  ]);
  const selector = { matchExpressions: [{ key: 'a', operator: 'In' }] };
  expect(createErrors(Kinds.clusterroles, { metadata, aggregationRule: {} })).toEqual([
    'aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector required if aggregationRule is non-nil',
  ]);
  expect(createErrors(Kinds.clusterroles, { metadata, aggregationRule: { clusterRoleSelectors: [selector] } })).toEqual(
    [
      "aggregationRule.clusterRoleSelectors[0].matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
    ],
  );
});

test('bindings: a namespace of the subject is needed in the cluster-wide ones only', () => {
  const roleRef = { apiGroup, kind: 'ClusterRole', name: 'r' };
  const subjects = [{ kind: 'ServiceAccount', name: 'a' }];
  expect(createErrors(Kinds.rolebindings, { metadata, roleRef, subjects })).toEqual([]);
  expect(createErrors(Kinds.clusterrolebindings, { metadata, roleRef, subjects })).toEqual([
    'subjects[0].namespace: Required value',
  ]);
  const bad = { roleRef: { apiGroup: 'x', kind: 'Role', name: 'a%b' }, subjects: [{ kind: 'X', name: '' }] };
  expect(createErrors(Kinds.clusterrolebindings, { metadata, ...bad })).toEqual([
    `roleRef.apiGroup: Unsupported value: "x": supported values: "${apiGroup}"`,
    'roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole"',
    'roleRef.name: Invalid value: "a%b": may not contain \'%\'',
    'subjects[0].name: Required value',
    'subjects[0].kind: Unsupported value: "X": supported values: "ServiceAccount", "User", "Group"',
  ]);
});

test('leases', () => {
  const errors = (spec: object): string[] => createErrors(Kinds.leases, { metadata: { name: 'x' }, spec });
  expect(errors({ strategy: 'X', preferredHolder: 'a' })).toEqual([
    'spec.strategy.strategy: Unsupported value: "X": supported values: "OldestEmulationVersion"',
  ]);
  expect(errors({ preferredHolder: 'a' })).toEqual([
    'spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined',
  ]);
});

test('events', () => {
  const errors = (e: object): string[] =>
    createErrors(Kinds.events, { metadata: { name: 'x' }, involvedObject: {}, ...e });
  expect(errors({})).toEqual([]);
  const eventTime = '2026-01-01T00:00:00.000000Z';
  expect(
    errors({ eventTime, reportingComponent: 'c', reportingInstance: 'i', action: 'a'.repeat(129), reason: 'r' }),
  ).toEqual(['action: Invalid value: "": can have at most 128 characters']);
});
