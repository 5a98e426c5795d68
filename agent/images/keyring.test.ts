import { expect, test } from 'vitest';
import type { Secret } from '#lib/api';
import { credentialsIn } from './keyring.ts';

/** One secret with a user of its own for each server. */
function secretOf(...servers: string[]): Secret {
  const auths = Object.fromEntries(
    servers.map((s) => [s, { auth: Buffer.from(`${encodeURIComponent(s)}|user:pass:word`).toString('base64') }]),
  );
  const text = Buffer.from(JSON.stringify({ auths })).toString('base64');
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's' }, data: { '.dockerconfigjson': text } };
}

const decoded = (user: string | undefined): string | undefined =>
  user === undefined ? undefined : decodeURIComponent(user.replace('|user', ''));

const serverFor = (servers: string[], host: string, repository = 'team/app'): string | undefined =>
  decoded(credentialsIn([secretOf(...servers)], host, repository)?.username);

test.each([
  ['*.example.com', 'eu.example.com', true],
  ['*.example.com', 'example.com', false],
  ['*.example.com', 'a.b.example.com', false],
  ['e?.example.com', 'eu.example.com', true],
  ['e?.example.com', 'eur.example.com', false],
  ['re*ry-*.*.com:5000', 'registry-1.example.com:5000', true],
  ['*.example.com:5000', 'eu.example.com', false],
  ['*.example.com', 'eu.example.com:5000', false],
  ['https://*.example.com/team', 'eu.example.com', true],
  ['*.example.com/other', 'eu.example.com', false],
  ['*.example.com/tea', 'eu.example.com', false],
  ['https://index.docker.io/v1/', 'docker.io', true],
  ['eu.example.com', 'eu.example.com', true],
])('credentials for %s and an image at %s: %s', (server, host, isMeant) => {
  expect(serverFor([server], host)).toBe(isMeant ? server : undefined);
});

test('a name in full wins over a pattern, then the longer path, in whatever secret', () => {
  expect(serverFor(['*.example.com/team', 'eu.example.com'], 'eu.example.com')).toBe('eu.example.com');
  expect(serverFor(['*.example.com', '*.example.com/team'], 'eu.example.com')).toBe('*.example.com/team');
  const two = [secretOf('eu.example.com'), secretOf('eu.example.com/team/app')];
  expect(credentialsIn(two, 'eu.example.com', 'team/app')).toEqual({
    username: 'eu.example.com%2Fteam%2Fapp|user',
    password: 'pass:word',
  });
});

test('a pattern of many stars is decided at once, a damaged secret is none', () => {
  expect(serverFor([`${'a*'.repeat(40)}b`], 'a'.repeat(63))).toBeUndefined();
  const damaged = { ...secretOf(), data: { '.dockerconfigjson': Buffer.from('{').toString('base64') } };
  expect(credentialsIn([damaged], 'eu.example.com', 'x')).toBeUndefined();
});
