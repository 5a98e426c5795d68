import { expect, test } from 'vitest';
import { isExempt, type Rule, type RuleTarget, ruleMatches } from './rules.ts';

const RULE: Rule = { operations: ['CREATE'], apiGroups: ['apps'], apiVersions: ['v1'], resources: ['deployments'] };
const TARGET: RuleTarget = {
  operation: 'CREATE',
  group: 'apps',
  version: 'v1',
  resource: 'deployments',
  subresource: '',
  isNamespaced: true,
};

test.each<[string, Partial<Rule>, Partial<RuleTarget>, boolean]>([
  ['all the same', {}, {}, true],
  ['another operation', {}, { operation: 'UPDATE' }, false],
  ['any operation', { operations: ['*'] }, { operation: 'CONNECT' }, true],
  ['no operations', { operations: [] }, {}, false],
  ['another group', {}, { group: '' }, false],
  ['any group', { apiGroups: ['*'] }, { group: '' }, true],
  ['another version', {}, { version: 'v2' }, false],
  ['a subresource that is not named', {}, { subresource: 'scale' }, false],
  ['* is objects only', { resources: ['*'] }, { subresource: 'scale' }, false],
  ['* is every object', { resources: ['*'] }, { resource: 'x' }, true],
  ['*/* is everything', { resources: ['*/*'] }, { subresource: 'scale' }, true],
  ['*/* is objects too', { resources: ['*/*'] }, {}, true],
  ['r/* is the object', { resources: ['deployments/*'] }, {}, true],
  ['r/* is its subresources', { resources: ['deployments/*'] }, { subresource: 'status' }, true],
  ['*/scale is no object', { resources: ['*/scale'] }, {}, false],
  ['*/scale of any', { resources: ['*/scale'] }, { resource: 'x', subresource: 'scale' }, true],
  ['one of several', { resources: ['pods', 'deployments'] }, {}, true],
  ['scope Cluster', { scope: 'Cluster' }, {}, false],
  ['scope Cluster of one of the cluster', { scope: 'Cluster' }, { isNamespaced: false }, true],
  ['scope Namespaced', { scope: 'Namespaced' }, { isNamespaced: false }, false],
  ['scope *', { scope: '*' }, { isNamespaced: false }, true],
])('%s', (_name, rule, target, matches) => {
  expect(ruleMatches({ ...RULE, ...rule }, { ...TARGET, ...target })).toBe(matches);
});

test('what configures admission is exempt, and nothing else of its group or name', () => {
  const group = 'admissionregistration.k8s.io';
  expect(isExempt({ group, resource: 'mutatingwebhookconfigurations' })).toBe(true);
  expect(isExempt({ group, resource: 'validatingadmissionpolicybindings' })).toBe(true);
  expect(isExempt({ group: 'example.com', resource: 'mutatingwebhookconfigurations' })).toBe(false);
  expect(isExempt({ group: '', resource: 'pods' })).toBe(false);
});
