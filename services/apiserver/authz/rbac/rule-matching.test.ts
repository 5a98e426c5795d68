import { describe, expect, test } from 'vitest';
import type { Attributes } from '../authorizer.ts';
import { type Rule, ruleAllows } from './rule-matching.ts';

const user = { name: 'u', groups: [] };

function asked(verb: string, what: string, name = ''): Attributes {
  if (what.startsWith('/')) return { type: 'path', user, verb, path: what };
  const [full = '', group = ''] = what.split('@');
  const [resource = '', subresource = ''] = full.split('/');
  return { type: 'resource', user, verb, group, version: 'v1', resource, subresource, namespace: 'ns', name };
}

describe('ruleAllows (rbac/v1 evaluation_helpers.go)', () => {
  const pods: Rule = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };
  const cases: [string, Rule, Attributes, boolean][] = [
    ['verb and resource', pods, asked('get', 'pods'), true],
    ['another verb', pods, asked('delete', 'pods'), false],
    ['another group', pods, asked('get', 'pods@apps'), false],
    ['a resource is not its subresources', pods, asked('get', 'pods/log'), false],
    ['a subresource is not its resource', { ...pods, resources: ['pods/log'] }, asked('get', 'pods'), false],
    ['a subresource by name', { ...pods, resources: ['pods/log'] }, asked('get', 'pods/log'), true],
    [
      'a subresource of all',
      { verbs: ['*'], apiGroups: ['*'], resources: ['*/scale'] },
      asked('get', 'x/scale@y'),
      true,
    ],
    ['a subresource of all is not another', { ...pods, resources: ['*/scale'] }, asked('get', 'pods/log'), false],
    ['`pods/*` is nothing', { ...pods, resources: ['pods/*'] }, asked('get', 'pods/log'), false],
    ['a star means subresources too', { ...pods, resources: ['*'] }, asked('get', 'pods/log'), true],
    ['a name', { ...pods, resourceNames: ['a'] }, asked('get', 'pods', 'a'), true],
    ['another name', { ...pods, resourceNames: ['a'] }, asked('get', 'pods', 'b'), false],
    ['names do not allow a list', { ...pods, resourceNames: ['a'] }, asked('list', 'pods'), false],
    ['no verbs', { apiGroups: ['*'], resources: ['*'] }, asked('get', 'pods'), false],
    ['resources do not mean paths', { verbs: ['*'], apiGroups: ['*'], resources: ['*'] }, asked('get', '/x'), false],
    ['paths do not mean resources', { verbs: ['*'], nonResourceURLs: ['*'] }, asked('get', 'pods'), false],
    ['a path', { verbs: ['get'], nonResourceURLs: ['/healthz'] }, asked('get', '/healthz'), true],
    ['not below a path', { verbs: ['get'], nonResourceURLs: ['/healthz'] }, asked('get', '/healthz/x'), false],
    ['below a path', { verbs: ['get'], nonResourceURLs: ['/healthz/*'] }, asked('get', '/healthz/x'), true],
    ['a star inside a path is itself', { verbs: ['get'], nonResourceURLs: ['/a*b'] }, asked('get', '/axb'), false],
    ['every path', { verbs: ['get'], nonResourceURLs: ['*'] }, asked('get', '/x/y'), true],
  ];
  test.each(cases)('%s', (_, rule, a, isAllowed) => expect(ruleAllows(rule, a)).toBe(isAllowed));
});
