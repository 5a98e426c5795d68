import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '#lib/base';
import { parseSettings } from './read-settings.ts';
import { DEFAULT_SETTINGS, matchesPattern } from './settings.ts';
import { SettingsFile } from './settings-file.ts';

const WHOLE = `apiVersion: config.berth.dev/v1
kind: ServerConfiguration
jwt: []
registry:
  anonymous: pull
  publicRead: true
  collection: {intervalMinutes: 5, graceMinutes: 10}
  quotas: [{prefix: team/, bytes: 10Gi}, {prefix: '', bytes: 5}]
  retention:
  - {repositories: ['team/**'], tags: [pr-*], keepTags: 3, keepDays: 14, untaggedDays: 1}
  upstreams: [{host: docker.io, username: me, passwordFile: /etc/hub}]
  storage: {s3: {endpoint: 'https://s3.example', bucket: images, prefix: reg, accessKeyId: AK, secretAccessKeyFile: /etc/s3}}
`;

describe('settings of the registry', () => {
  test('all of them, and none', async () => {
    expect(await parseSettings(WHOLE)).toEqual({
      anonymous: 'pull',
      publicRead: true,
      collection: { intervalMinutes: 5, graceMinutes: 10 },
      quotas: [
        { prefix: 'team/', bytes: 10 * 1024 ** 3 },
        { prefix: '', bytes: 5 },
      ],
      retention: [{ repositories: ['team/**'], tags: ['pr-*'], keepTags: 3, keepDays: 14, untaggedDays: 1 }],
      upstreams: [
        {
          ...{ host: 'docker.io', username: 'me', passwordFile: '/etc/hub', revalidateSeconds: 60 },
          ...{ url: undefined, caFile: undefined },
        },
      ],
      storage: {
        ...{ endpoint: 'https://s3.example', region: 'us-east-1', bucket: 'images', prefix: 'reg/' },
        ...{ accessKeyId: 'AK', secretAccessKeyFile: '/etc/s3', caFile: undefined },
      },
    });
    expect(await parseSettings('kind: ServerConfiguration\n')).toEqual(DEFAULT_SETTINGS);
  });

  test('mistakes are told together, each by its field', async () => {
    const text = `registry:
  anonymous: all
  publicRead: 1
  color: red
  collection: {graceMinutes: 0}
  quotas: [{prefix: a, bytes: much}]
  upstreams: [{host: A_B, url: ftp://x, passwordFile: x}]
  retention: [{repositories: []}, {repositories: [''], keepTags: -1}]
  storage: {s3: {endpoint: 'ftp://x', secretAccessKeyFile: key, color: red}}
`;
    const told = await parseSettings(text).catch((e: unknown) => String(e));
    for (const words of [
      'unknown field "registry.color"',
      'registry.anonymous: Unsupported value: "all": supported values: "push", "pull"',
      'registry.publicRead: Invalid value: must be a boolean',
      'registry.collection.graceMinutes: Invalid value: 0: must be between 1 and 1440',
      'registry.quotas[0].bytes: Invalid value: "much": must be a number of bytes',
      'registry.upstreams[0].host: Invalid value: "A_B"',
      'registry.upstreams[0].url: Invalid value: "ftp://x"',
      'registry.upstreams[0].passwordFile: Invalid value: "x": must be an absolute path',
      'registry.upstreams[0]: username and passwordFile go together',
      'registry.retention[0].repositories: Required value',
      'registry.retention[0]: must have keepTags, keepDays or untaggedDays',
      'registry.retention[1].repositories[0]: Invalid value: ""',
      'registry.retention[1].keepTags: Invalid value: -1',
      'registry.storage.s3.endpoint: Invalid value: "ftp://x"',
      'registry.storage.s3.secretAccessKeyFile: Invalid value: "key": must be an absolute path',
      'unknown field "registry.storage.s3.color"',
      'registry.storage.s3.bucket: Required value',
    ])
      expect(told).toContain(words);
  });

  test('a changed file is taken up when it has settled; a wrong one changes nothing; at the start a wrong one is refused', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'berth-settings-'));
    const path = join(folder, 'server.yaml');
    const c = { log: silentLogger };
    const file = await SettingsFile.open(path);
    expect(file.now).toEqual(DEFAULT_SETTINGS);
    await writeFile(path, 'registry: {anonymous: pull}');
    await file.look(c);
    expect(file.now.anonymous).toBe('push');
    await file.look(c);
    expect(file.now.anonymous).toBe('pull');
    await writeFile(path, 'registry: {anonymous: none}');
    await file.look(c);
    await file.look(c);
    expect(file.now.anonymous).toBe('pull');
    await expect(SettingsFile.open(path)).rejects.toThrow(
      `${path}: the server configuration is not valid: registry.anonymous`,
    );
    await rm(folder, { recursive: true });
  });
});

test.each([
  ['team/*', 'team/app', true],
  ['team/*', 'team/app/x', false],
  ['team/**', 'team/app/x', true],
  ['**', 'a', true],
  ['*', 'a/b', false],
  ['a.c', 'abc', false],
  ['pr-*', 'pr-12', true],
  ['*-rc*', 'v1-rc2', true],
  ['', '', true],
  ['a', '', false],
  ['**a**b', 'xaxxbb', true],
  ['**a**b', 'xbxxa', false],
])('the pattern %s for %s: %s', (pattern, text, matches) => {
  expect(matchesPattern(pattern, text)).toBe(matches);
});

test('a pattern of stars alone is as fast as any', () => {
  expect(matchesPattern('*a'.repeat(120), 'a'.repeat(255))).toBe(true);
  expect(matchesPattern(`${'*a'.repeat(120)}b`, 'a'.repeat(255))).toBe(false);
});
