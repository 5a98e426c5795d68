import { expect, test } from 'vitest';
import { basicAuthorization, parseChallenge, parseToken } from './challenge.ts';

test.each([
  ['Basic realm="x"', { scheme: 'basic' }],
  [
    'Bearer realm="https://auth.example/token?a=1,b",service="reg",scope="repository:a/b:pull,push"',
    { scheme: 'bearer', realm: 'https://auth.example/token?a=1,b', service: 'reg', scope: 'repository:a/b:pull,push' },
  ],
  [
    'BEARER realm=https://a/t , service = "r"',
    { scheme: 'bearer', realm: 'https://a/t', service: 'r', scope: undefined },
  ],
  [
    'Basic realm="x", Bearer realm="https://a"',
    { scheme: 'bearer', realm: 'https://a', service: undefined, scope: undefined },
  ],
  ['Bearer realm="a\\"b"', { scheme: 'bearer', realm: 'a"b', service: undefined, scope: undefined }],
  ['Negotiate', undefined],
  ['', undefined],
])('challenge: %s', (header, expected) => {
  expect(parseChallenge(header)).toEqual(expected);
});

test('challenge: tokens by either name, at least 60 s', () => {
  expect(parseToken(Buffer.from('{"token":"t","expires_in":300}'))).toEqual({ value: 't', expiresInMs: 300_000 });
  expect(parseToken(Buffer.from('{"access_token":"u","expires_in":5}'))).toEqual({ value: 'u', expiresInMs: 60_000 });
  expect(() => parseToken(Buffer.from('{}'))).toThrow(/gave no token/);
});

test('challenge: Basic', () => {
  expect(basicAuthorization({ username: 'u', password: 'p:ä' })).toBe(
    `Basic ${Buffer.from('u:p:ä').toString('base64')}`,
  );
});
