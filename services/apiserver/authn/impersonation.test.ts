import { describe, expect, test } from 'vitest';
import type { Attributes, Authorizer } from '../authz/authorizer.ts';
import { impersonated } from './impersonation.ts';

const admin = { name: 'admin', groups: ['ops', 'system:authenticated'] };

/** Allows what is not refused, and remembers what was asked. */
function recorder(refused = ''): Authorizer & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    authorize(a: Attributes) {
      if (a.type !== 'resource') throw new Error('not a resource');
      const sub = a.subresource === '' ? '' : `/${a.subresource}`;
      const line = `${a.verb} ${a.resource}${sub}.${a.group} ${a.namespace}/${a.name}`;
      asked.push(line);
      return { isAllowed: line !== refused, reason: '' };
    },
  };
}

describe('impersonation (impersonation.go)', () => {
  test('nobody else is asked for: the user as it is', async () => {
    const authorizer = recorder('all');
    expect(await impersonated(admin, {}, authorizer)).toBe(admin);
    expect(authorizer.asked).toEqual([]);
  });

  test('every part is asked for by its own resource', async () => {
    const authorizer = recorder();
    const headers = {
      'impersonate-user': ['jane'],
      'impersonate-group': ['dev', 'qa'],
      'impersonate-uid': ['42'],
      'impersonate-extra-scopes': ['view', 'edit'],
      'impersonate-extra-acme.com%2fproject': ['x'],
    };
    expect(await impersonated(admin, headers, authorizer)).toEqual({
      name: 'jane',
      groups: ['dev', 'qa', 'system:authenticated'],
      uid: '42',
      extra: { scopes: ['view', 'edit'], 'acme.com/project': ['x'] },
    });
    expect(authorizer.asked).toEqual([
      'impersonate users. /jane',
      'impersonate groups. /dev',
      'impersonate groups. /qa',
      'impersonate userextras/scopes.authentication.k8s.io /view',
      'impersonate userextras/scopes.authentication.k8s.io /edit',
      'impersonate userextras/acme.com/project.authentication.k8s.io /x',
      'impersonate uids.authentication.k8s.io /42',
    ]);
  });

  test('one value that is not allowed refuses the whole', async () => {
    const authorizer = recorder('impersonate userextras/scopes.authentication.k8s.io /edit');
    const headers = { 'impersonate-user': ['jane'], 'impersonate-extra-scopes': ['view', 'edit'] };
    await expect(impersonated(admin, headers, authorizer)).rejects.toMatchObject({
      kind: 'Forbidden',
      message:
        'userextras.authentication.k8s.io "edit" is forbidden: User "admin" cannot impersonate resource ' +
        '"userextras/scopes" in API group "authentication.k8s.io" at the cluster scope',
    });
  });

  test('a service account is asked for in its namespace and comes with its groups', async () => {
    const authorizer = recorder();
    const user = await impersonated(admin, { 'impersonate-user': ['system:serviceaccount:ns:a'] }, authorizer);
    expect(authorizer.asked).toEqual(['impersonate serviceaccounts. ns/a']);
    expect(user.groups).toEqual(['system:serviceaccounts', 'system:serviceaccounts:ns', 'system:authenticated']);
  });

  test('anonymous is not authenticated; neither is who says so', async () => {
    const groupsOf = async (name: string, groups: string[]): Promise<readonly string[]> =>
      (await impersonated(admin, { 'impersonate-user': [name], 'impersonate-group': groups }, recorder())).groups;
    expect(await groupsOf('system:anonymous', [])).toEqual(['system:unauthenticated']);
    expect(await groupsOf('x', ['system:unauthenticated'])).toEqual(['system:unauthenticated']);
    expect(await groupsOf('x', ['system:authenticated'])).toEqual(['system:authenticated']);
  });

  test('parts without a user are refused', async () => {
    for (const headers of [
      { 'impersonate-group': ['g'] },
      { 'impersonate-uid': ['u'] },
      { 'impersonate-extra-a': ['b'] },
    ])
      await expect(impersonated(admin, headers, recorder())).rejects.toThrow('without impersonating a user');
  });

  test('keys that are names of JavaScript change nothing', async () => {
    const headers = {
      'impersonate-user': ['jane'],
      'impersonate-extra-__proto__': ['x'],
      'impersonate-extra-%zz': ['y'],
    };
    const user = await impersonated(admin, headers, recorder());
    expect(Object.keys(user.extra ?? {})).toEqual(['__proto__', '%zz']);
    expect(Object.getPrototypeOf(user.extra)).toBe(Object.prototype);
  });
});
