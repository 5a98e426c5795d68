/** Variables from files of an emptyDir: the format, and files that their writer made to do harm. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { envFileValue, envFileValues } from './env-file.ts';
import type { ContainerSpec, PodObject } from './model.ts';

const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

describe('envFileValue', () => {
  const text = [
    '# a comment',
    '',
    "  A='one'",
    "B='two # no comment' # a comment",
    "MANY='first",
    '  second',
    "last'",
    "EMPTY=''",
    "SPACE= 'x'",
    "WINDOWS='w'\r",
  ].join('\n');
  test.each([
    ['A', 'one'],
    ['B', 'two # no comment'],
    ['MANY', 'first\n  second\nlast'],
    ['EMPTY', ''],
    ['SPACE', undefined],
    ['WINDOWS', 'w'],
    ['NONE', undefined],
  ])('%s', (key, value) => {
    expect(envFileValue(text, key)).toBe(value);
  });
  test.each([
    ['A', "line 1: missing '='"],
    ["='x'", 'line 1: empty variable name'],
    ["A ='x'", "line 1: whitespace before '=' is not allowed"],
    ['\nA=x', 'line 2: value must be enclosed in single quotes'],
    ["A='x' y", 'line 1: unexpected content after closing quote'],
    ["\nA='x\n\n", 'starting at line 2: unclosed single quote'],
  ])('%j is refused', (bad, message) => {
    expect(() => envFileValue(bad, 'Z')).toThrow(
      `invalid environment variable format ${message.startsWith('start') ? '' : 'at '}${message}`,
    );
  });
});

describe('envFileValues', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-env-'));
    await mkdir(join(folder, 'volume'));
    await writeFile(join(folder, 'secret'), "KEY='of the host'");
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const at = (name: string): string => join(folder, 'volume', name);
  const pod = {
    metadata: { name: 'p' },
    spec: { volumes: [{ name: 'v', emptyDir: {} }], containers: [] },
  } as unknown as PodObject;
  const volumes = { prepare: async () => ({ hostPath: join(folder, 'volume'), readOnly: false }) } as never;
  const read = (path: string, more = {}) => {
    const env = [{ name: 'A', valueFrom: { fileKeyRef: { volumeName: 'v', path, key: 'KEY', ...more } } }];
    return envFileValues({ volumes }, pod, { name: 'c', env } as unknown as ContainerSpec, c);
  };

  test('by the variable, through links within the volume', async () => {
    await mkdir(at('sub'));
    await writeFile(at('sub/a.env'), "KEY='value'\n");
    await symlink('sub/a.env', at('link'));
    expect([...(await read('sub/a.env'))]).toEqual([['A', 'value']]);
    expect([...(await read('link'))]).toEqual([['A', 'value']]);
  });

  test('what is not there is an error, but where it is optional', async () => {
    await writeFile(at('a'), "OTHER='x'\n");
    await expect(read('a')).rejects.toThrow('environment variable key "KEY" not found in file "a"');
    expect((await read('a', { optional: true })).size).toBe(0);
    await expect(read('missing')).rejects.toThrow(
      /couldn't parse env file: failed to open environment variable file "missing"/,
    );
    await expect(read('a', { volumeName: 'w' })).rejects.toThrow('cannot find the volume "w" referenced by FileKeyRef');
  });

  test('nothing outside of the volume is read, nothing that is no small file', async () => {
    await symlink('../secret', at('out'));
    await symlink('/etc', at('etc'));
    await symlink('/dev/zero', at('zero'));
    await mkdir(at('dir'));
    await writeFile(at('large'), 'x'.repeat(2 << 20));
    for (const path of ['out', 'etc/passwd', 'zero', 'dir', 'large', '../secret', '/etc/passwd'])
      await expect(read(path), path).rejects.toThrow(/couldn't parse env file/);
  });
});
