import { describe, expect, test } from 'vitest';
import { mapClaims } from './claims.ts';
import type { ClaimMappings, ClaimValidationRule, JwtAuthenticatorSpec, UserValidationRule } from './spec.ts';
import { compileJwtAuthenticator } from './validation.ts';

interface Part extends Partial<ClaimMappings> {
  readonly claimRules?: readonly ClaimValidationRule[];
  readonly userRules?: readonly UserValidationRule[];
}

const SUB = { claim: 'sub', prefix: '' };

function mapped(claims: object, { claimRules, userRules, ...mappings }: Part = {}) {
  const spec: JwtAuthenticatorSpec = {
    issuer: { url: 'https://id.example', audiences: ['kube'] },
    claimMappings: { username: SUB, ...mappings },
    claimValidationRules: claimRules,
    userValidationRules: userRules,
  };
  const { mapping, errors } = compileJwtAuthenticator(spec, 'jwt');
  expect(errors).toEqual([]);
  return mapClaims({ ...claims }, mapping);
}

describe('the user of an id token', () => {
  test.each([
    ['a claim', { username: SUB }, { sub: 'jane' }, 'jane'],
    ['with a prefix', { username: { claim: 'sub', prefix: 'oidc:' } }, { sub: 'jane' }, 'oidc:jane'],
    ['an address', { username: { claim: 'email', prefix: '' } }, { email: 'j@x', email_verified: true }, 'j@x'],
    ['verified may be left out', { username: { claim: 'email', prefix: 'x:' } }, { email: 'j@x' }, 'x:j@x'],
    ['an expression', { username: { expression: "claims.sub + '@' + claims.hd" } }, { sub: 'j', hd: 'x' }, 'j@x'],
    ['a claim of any name', { username: { expression: 'claims["a.b/c"]' } }, { 'a.b/c': 'j' }, 'j'],
  ])('the name: %s', (_, mapping, claims, name) => {
    expect(mapped(claims, mapping)).toEqual({ name, groups: [] });
  });

  const expression = (text: string) => ({ username: { expression: text } });
  const named = (claim: string) => ({ username: { claim, prefix: '' } });
  test.each<[Part, object, string]>([
    [{}, {}, 'oidc: parse username claims "sub": claim not present'],
    [{}, { sub: '' }, 'oidc: parse username claims "sub": not a name'],
    [{}, { sub: ['a'] }, 'oidc: parse username claims "sub": not a name'],
    [named('__proto__'), {}, 'oidc: parse username claims "__proto__": claim not present'],
    [named('constructor'), {}, 'oidc: parse username claims "constructor": claim not present'],
    [named('email'), { email: 'j@x', email_verified: false }, 'oidc: email not verified'],
    [named('email'), { email: 'j@x', email_verified: 'true' }, 'oidc: email not verified'],
    [expression("''"), {}, 'oidc: empty username via CEL expression is not allowed'],
    [
      expression('claims.sub'),
      { sub: 5 },
      'oidc: error evaluating username claim expression: username claim expression must return a string',
    ],
    [
      expression('claims.sub'),
      {},
      "oidc: error evaluating username claim expression: expression 'claims.sub' resulted in error: no such key: sub",
    ],
    [expression('claims["__proto__"]'), {}, 'no such key: __proto__'],
    [{ uid: { claim: 'id' } }, { sub: 'a' }, 'oidc: parse uid claim "id": claim not present'],
    [{ uid: { claim: 'id' } }, { sub: 'a', id: 7 }, 'oidc: parse uid claim "id": not a string'],
    [{ uid: { expression: 'claims.id' } }, { sub: 'a', id: 7 }, 'uid claim expression must return a string'],
  ])('no user: %j of %j', (mapping, claims, why) => {
    expect(mapped(claims, mapping)).toContain(why);
  });

  test('groups of a claim: one or several strings, prefixed; anything else makes no user', () => {
    const groups = (roles: unknown) => mapped({ sub: 'a', roles }, { groups: { claim: 'roles', prefix: 'g:' } });
    expect(groups('dev')).toEqual({ name: 'a', groups: ['g:dev'] });
    expect(groups(['dev', 'ops'])).toEqual({ name: 'a', groups: ['g:dev', 'g:ops'] });
    expect(groups(undefined)).toEqual({ name: 'a', groups: [] });
    for (const bad of [5, {}, ['a', 5], [['a']], true])
      expect(groups(bad)).toBe('oidc: parse groups claim "roles": not a string or a list of strings');
    // Groups that nobody asked to take are not taken.
    expect(mapped({ sub: 'a', roles: ['system:masters'] })).toEqual({ name: 'a', groups: [] });
  });

  test('groups and extra of expressions: texts, without empty ones; anything else makes no user', () => {
    const fails = 'oidc: error evaluating group claim expression: expression must return a string or a list of strings';
    const groups = (text: string) => mapped({ sub: 'a', roles: 'dev,ops' }, { groups: { expression: text } });
    expect(groups("claims.roles.split(',')")).toMatchObject({ groups: ['dev', 'ops'] });
    expect(groups("['', string(claims.roles)]")).toMatchObject({ groups: ['dev,ops'] });
    expect(groups("claims.?none.orValue('')")).toMatchObject({ groups: [] });
    for (const bad of ['5', '[1]', '{"a": "b"}', 'true', "b'x'", 'type(1)', "duration('1s')"])
      expect(groups(bad)).toBe(fails);
    const extra = [
      { key: 'example.com/tenant', valueExpression: 'claims.tenant' },
      { key: 'example.com/none', valueExpression: "''" },
    ];
    expect(mapped({ sub: 'a', tenant: 't', jti: '7' }, { extra })).toEqual({
      name: 'a',
      groups: [],
      extra: { 'authentication.kubernetes.io/credential-id': ['JTI=7'], 'example.com/tenant': ['t'] },
    });
  });

  test('rules over the claims: a value that is required, an expression with its message', () => {
    const required = { claimRules: [{ claim: 'hd', requiredValue: 'x' }] };
    expect(mapped({ sub: 'a', hd: 'x' }, required)).toMatchObject({ name: 'a' });
    expect(mapped({ sub: 'a' }, required)).toBe('oidc: required claim hd not present in ID token');
    expect(mapped({ sub: 'a', hd: ['x'] }, required)).toBe('oidc: parse claim hd: not a string');
    expect(mapped({ sub: 'a', hd: 'y' }, required)).toBe(
      'oidc: required claim hd value does not match. Got = y, want = x',
    );
    const short = { claimRules: [{ expression: 'claims.exp - claims.iat <= 3600', message: 'an hour at most' }] };
    expect(mapped({ sub: 'a', iat: 0, exp: 3600 }, short)).toMatchObject({ name: 'a' });
    expect(mapped({ sub: 'a', iat: 0, exp: 3601 }, short)).toBe(
      "oidc: error evaluating claim validation expression: validation expression 'claims.exp - claims.iat <= 3600' failed: an hour at most",
    );
    expect(mapped({ sub: 'a' }, short)).toContain('no such key: exp');
  });

  test('rules over the user that came of it', () => {
    const userRules = [
      { expression: "!user.username.startsWith('system:')", message: 'reserved' },
      { expression: "user.groups.all(g, g != 'system:masters')", message: 'no masters' },
    ];
    const part: Part = { userRules, groups: { claim: 'groups', prefix: '' } };
    expect(mapped({ sub: 'a', groups: ['dev'] }, part)).toMatchObject({ name: 'a', groups: ['dev'] });
    expect(mapped({ sub: 'system:admin' }, part)).toContain("'!user.username.startsWith('system:')' failed: reserved");
    expect(mapped({ sub: 'a', groups: ['system:masters'] }, part)).toMatch(
      /^oidc: error evaluating user info validation rule: .*no masters$/,
    );
  });

  test('claims that make an expression dear end it, not the server', () => {
    const list = Array.from({ length: 3_000 }, (_, i) => `g${i}`);
    const dear = { claimRules: [{ expression: 'claims.l.all(a, claims.l.all(b, claims.l.all(c, a + b != c)))' }] };
    expect(mapped({ sub: 'a', l: list }, dear)).toMatch(/resulted in error: .*(cost|limit)/);
  });
});
