import { describe, expect, test } from 'vitest';
import { sha256 } from '#lib/base';
import { parseTimestamp } from '../http/timestamps.ts';
import { readDocument } from './document.ts';
import { Glob } from './glob.ts';
import { familiarText, isNameOnly, referenceOf, repoTag, shortId, withTagOrDigest } from './names.ts';
import { registryAuth } from './transfer/auth-header.ts';

const D = sha256('x');

test.each([
  ['docker.io/library/alpine:latest', 'alpine:latest'],
  ['docker.io/u/app:1', 'u/app:1'],
  ['docker.io/library/a/b:1', 'library/a/b:1'],
  ['localhost:5000/library/app:1', 'localhost:5000/library/app:1'],
  [`r.io/app@${D}`, `r.io/app@${D}`],
])('names: %s is %s for people (reference helpers.go)', (full, said) => {
  expect(familiarText(full)).toBe(said);
});

test('names: repository and tag of a query; a tag may be a digest, which takes the place of one', () => {
  expect(repoTag(undefined, 'x')).toBeUndefined();
  expect(repoTag('a', '')).toMatchObject({ repository: 'library/a', tag: 'latest' });
  expect(repoTag('r.io/a:1', '2')).toMatchObject({ host: 'r.io', tag: '2' });
  expect(() => repoTag(`a@${D}`, '')).toThrow('cannot import digest reference');
  expect(withTagOrDigest('a:1', D)).toEqual({ host: 'docker.io', repository: 'library/a', digest: D });
  expect(withTagOrDigest(`a:1@${D}`, '')).toEqual({ host: 'docker.io', repository: 'library/a', digest: D });
  expect(withTagOrDigest('a', 'b')).toMatchObject({ tag: 'b' });
  expect(['a', 'a:1', 'r:5000/a', 'r:5000/a:1', `a@${D}`].map(isNameOnly)).toEqual([true, false, true, false, false]);
  expect(shortId(D)).toBe(D.slice(7, 19));
});

test.each([
  ['Upper', 'invalid reference format: repository name (library/Upper) must be lowercase'],
  ['a b', 'invalid reference format'],
  ['a:b c', 'invalid reference format'],
])('names: %s is refused in Docker’s words', (text, message) => {
  expect(() => referenceOf(text)).toThrow(new RegExp(`^${message.replace(/[()]/g, '\\$&')}$`));
});

describe('reference filter', () => {
  test.each([
    ['alpine', 'alpine', true],
    ['alp*', 'alpine', true],
    ['*', 'u/app', false],
    ['*/*', 'u/app', true],
    ['u/a??', 'u/app', true],
    ['a[a-c]?', 'abz', true],
    ['a[^a-c]?', 'abz', false],
    ['a\\*', 'a*', true],
    ['a\\*', 'ab', false],
    ['', '', true],
    ['*:1.*', 'app:1.2', true],
  ])('%s against %s: %s (path.Match)', (pattern, name, matches) => {
    expect(new Glob(pattern).matches(name)).toBe(matches);
  });

  test.each(['[', '[a', '[]', '[a-]', 'a\\'])('%s is malformed', (pattern) => {
    expect(() => new Glob(pattern)).toThrow('syntax error in pattern');
  });

  test('many stars against a long name take no time', () => {
    expect(new Glob(`${'*a'.repeat(60)}b`).matches('a'.repeat(250))).toBe(false);
  });
});

test.each([
  ['1h30m', 1_000_000_000 - 5_400_000],
  ['1700000000', 1_700_000_000_000],
  ['1700000000.5', 1_700_000_000_500],
  ['2026-01-02', Date.parse('2026-01-02T00:00:00Z')],
  ['2026-01-02T03', Date.parse('2026-01-02T03:00:00Z')],
  ['2026-01-02T03:04:05.25Z', Date.parse('2026-01-02T03:04:05.250Z')],
  ['2026-01-02T03:04+02:00', Date.parse('2026-01-02T01:04:00Z')],
  ['yesterday', undefined],
  ['', undefined],
  ['2026-13-45', undefined],
])('time of a filter: %s', (text, ms) => {
  expect(parseTimestamp(text, 1_000_000_000)).toBe(ms);
});

test('X-Registry-Auth: base64url with or without padding; what cannot be read is nobody', () => {
  const header = (o: object): string => Buffer.from(JSON.stringify(o)).toString('base64url');
  expect(registryAuth(header({ username: 'u', password: 'p>?ÿ' }))).toMatchObject({ username: 'u', password: 'p>?ÿ' });
  expect(registryAuth(header({ auth: Buffer.from('u:p:q').toString('base64') }))).toMatchObject({
    username: 'u',
    password: 'p:q',
  });
  expect(registryAuth(header({ identitytoken: 't' }))).toMatchObject({ identityToken: 't', username: '' });
  for (const bad of [undefined, '', '%%%', 'bm9qc29u', header([]), header({}), header({ username: 7 })])
    expect(registryAuth(bad)).toBeUndefined();
});

test('document: what cannot be read of a config is absent, the rest is there', () => {
  const { document } = readDocument(
    D,
    Buffer.from(
      JSON.stringify({
        created: 'never',
        os: 7,
        architecture: 'amd64',
        config: { Env: 'no list', Cmd: ['a'], Labels: null, Healthcheck: { Test: ['NONE'], Interval: -1 } },
        rootfs: { diff_ids: [D] },
        history: [null, { created_by: 'x', empty_layer: true }],
      }),
    ),
  );
  expect(document).toMatchObject({ createdAtMs: 0, os: '', architecture: 'amd64', diffIds: [D] });
  expect(document.config).toEqual({ Cmd: ['a'], Healthcheck: { Test: ['NONE'] } });
  expect(document.history.map((h) => [h.createdBy, h.isEmptyLayer])).toEqual([
    ['', false],
    ['x', true],
  ]);
});
