import { describe, expect, test } from 'vitest';
import { impersonationOf } from './impersonation.ts';

describe('impersonation (apiserver/pkg/endpoints/filters/impersonation)', () => {
  test('nothing asked, nothing done; parts without a user are refused', () => {
    expect(impersonationOf({ accept: ['*/*'] })).toBeUndefined();
    for (const header of ['impersonate-group', 'impersonate-uid', 'impersonate-extra-scopes'])
      expect(() => impersonationOf({ [header]: ['x'] })).toThrow('without impersonating a user');
  });

  test('each part has its own check: user, groups, uid, every value of every extra', () => {
    const found = impersonationOf({
      'impersonate-user': ['jane'],
      'impersonate-group': ['dev', 'ops'],
      'impersonate-uid': ['7'],
      'impersonate-extra-acme.com%2fproject': ['a', 'b'],
      'impersonate-extra-%zz': ['raw'],
    });
    expect(found?.target).toEqual({
      name: 'jane',
      uid: '7',
      groups: ['dev', 'ops', 'system:authenticated'],
      extra: { 'acme.com/project': ['a', 'b'], '%zz': ['raw'] },
    });
    const base = { namespace: '', subresource: '' };
    const extra = { ...base, group: 'authentication.k8s.io', resource: 'userextras' };
    expect(found?.checks).toEqual([
      { ...base, group: '', resource: 'users', name: 'jane' },
      { ...base, group: '', resource: 'groups', name: 'dev' },
      { ...base, group: '', resource: 'groups', name: 'ops' },
      { ...extra, subresource: 'acme.com/project', name: 'a' },
      { ...extra, subresource: 'acme.com/project', name: 'b' },
      { ...extra, subresource: '%zz', name: 'raw' },
      { ...base, group: 'authentication.k8s.io', resource: 'uids', name: '7' },
    ]);
  });

  test('a service account is checked in its namespace and gets its groups, unless groups are given', () => {
    const user = 'system:serviceaccount:kube-system:robot';
    const found = impersonationOf({ 'impersonate-user': [user] });
    expect(found?.checks).toMatchObject([{ resource: 'serviceaccounts', namespace: 'kube-system', name: 'robot' }]);
    expect(found?.target.groups).toEqual([
      'system:serviceaccounts',
      'system:serviceaccounts:kube-system',
      'system:authenticated',
    ]);
    const given = impersonationOf({ 'impersonate-user': [user], 'impersonate-group': ['g'] });
    expect(given?.target.groups).toEqual(['g', 'system:authenticated']);
  });

  test('the anonymous user stays unauthenticated; an extra named __proto__ is only an extra', () => {
    const found = impersonationOf({
      'impersonate-user': ['system:anonymous'],
      'impersonate-extra-__proto__': ['x'],
    });
    expect(found?.target.groups).toEqual(['system:unauthenticated']);
    expect(Object.keys(found?.target.extra ?? {})).toEqual(['__proto__']);
    expect(({} as Record<string, unknown>)['x']).toBeUndefined();
  });
});
