import { describe, expect, test } from 'vitest';
import { mapClaims } from './claims.ts';

const ISSUER = 'https://id.example';
const base = { issuerUrl: ISSUER };

describe('claims of an id token', () => {
  test.each([
    ['sub, with the issuer before it', {}, { sub: 'jane' }, `${ISSUER}#jane`],
    ['another claim, so too', { usernameClaim: 'login' }, { login: 'jane' }, `${ISSUER}#jane`],
    ['an address stands for itself', { usernameClaim: 'email' }, { email: 'j@x', email_verified: true }, 'j@x'],
    ['verified may be left out', { usernameClaim: 'email' }, { email: 'j@x' }, 'j@x'],
    ['a prefix', { usernamePrefix: 'oidc:' }, { sub: 'jane' }, 'oidc:jane'],
    ['no prefix', { usernamePrefix: '-' }, { sub: 'jane' }, 'jane'],
    ['a prefix before an address', { usernameClaim: 'email', usernamePrefix: 'x:' }, { email: 'j@x' }, 'x:j@x'],
  ])('the name: %s', (_, mapping, claims, name) => {
    expect(mapClaims(claims, { ...base, ...mapping })).toEqual({ name, groups: [] });
  });

  test.each([
    [{}, {}, 'oidc: parse username claims "sub": claim not present'],
    [{}, { sub: '' }, 'oidc: parse username claims "sub": not a name'],
    [{}, { sub: ['a'] }, 'oidc: parse username claims "sub": not a name'],
    [{ usernameClaim: '__proto__' }, {}, 'oidc: parse username claims "__proto__": claim not present'],
    [{ usernameClaim: 'constructor' }, {}, 'oidc: parse username claims "constructor": claim not present'],
    [{ usernameClaim: 'email' }, { email: 'j@x', email_verified: false }, 'oidc: email not verified'],
    [{ usernameClaim: 'email' }, { email: 'j@x', email_verified: 'true' }, 'oidc: email not verified'],
    [{ requiredClaims: { hd: 'x' } }, { sub: 'a' }, 'oidc: required claim hd not present in ID token'],
    [{ requiredClaims: { hd: 'x' } }, { sub: 'a', hd: ['x'] }, 'oidc: parse claim hd: not a string'],
    [
      { requiredClaims: { hd: 'x' } },
      { sub: 'a', hd: 'y' },
      'oidc: required claim hd value does not match. Got = y, want = x',
    ],
  ])('no user: %j of %j', (mapping, claims, why) => {
    expect(mapClaims(claims, { ...base, ...mapping })).toBe(why);
  });

  test('groups: one or several strings, prefixed; anything else makes no user', () => {
    const m = { ...base, usernamePrefix: '-', groupsClaim: 'roles', groupsPrefix: 'g:' };
    const groups = (roles: unknown) => mapClaims({ sub: 'a', roles }, m);
    expect(groups('dev')).toEqual({ name: 'a', groups: ['g:dev'] });
    expect(groups(['dev', 'ops'])).toEqual({ name: 'a', groups: ['g:dev', 'g:ops'] });
    expect(groups(undefined)).toEqual({ name: 'a', groups: [] });
    for (const bad of [5, {}, ['a', 5], [['a']], true])
      expect(groups(bad)).toBe('oidc: parse groups claim "roles": not a string or a list of strings');
    // Groups that nobody asked to take are not taken.
    expect(mapClaims({ sub: 'a', roles: ['system:masters'] }, { ...base, usernamePrefix: '-' })).toEqual({
      name: 'a',
      groups: [],
    });
  });

  test("the token's id becomes the credential's", () => {
    expect(mapClaims({ sub: 'a', jti: '7' }, { ...base, usernamePrefix: '-' })).toEqual({
      name: 'a',
      groups: [],
      extra: { 'authentication.kubernetes.io/credential-id': ['JTI=7'] },
    });
  });
});
