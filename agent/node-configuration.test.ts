import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readNodeConfiguration } from './node-configuration.ts';

describe('node.yaml', () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), 'berth-node-'));
  });
  afterEach(() => rm(home, { recursive: true, force: true }));
  const read = async (text: string): ReturnType<typeof readNodeConfiguration> => {
    await writeFile(join(home, 'node.yaml'), `apiVersion: config.berth.dev/v1\nkind: NodeConfiguration\n${text}`);
    return readNodeConfiguration(home);
  };

  test('without a file: seccomp and no_new_privs by default, profiles below the node’s home, no further runtime', async () => {
    expect(await readNodeConfiguration(home)).toMatchObject({
      isolation: {
        seccompDefault: true,
        defaultAllowPrivilegeEscalation: false,
        allowedUnsafeSysctls: [],
        seccompFolder: join(home, 'seccomp'),
      },
      runtimeHandlers: [],
      dockerApi: true,
    });
  });

  test('the Docker API can be switched off', async () => {
    expect((await read('dockerApi: false')).dockerApi).toBe(false);
    await expect(read('dockerApi: no thanks')).rejects.toThrow('dockerApi: must be true or false');
  });

  test('what it says holds, the rest keeps its defaults', async () => {
    const text = [
      'defaultAllowPrivilegeEscalation: true',
      'runtimeHandlers:',
      '- {name: kata, path: /opt/kata, arguments: [--config, /etc/kata.toml]}',
      '- {name: other, path: /opt/other}',
    ];
    const { isolation, runtimeHandlers } = await read(text.join('\n'));
    expect(isolation).toMatchObject({
      defaultAllowPrivilegeEscalation: true,
    });
    expect(runtimeHandlers).toEqual([
      { name: 'kata', path: '/opt/kata', arguments: ['--config', '/etc/kata.toml'] },
      { name: 'other', path: '/opt/other', arguments: [] },
    ]);
  });

  test.each([
    ['defaultAllowPrivilegeEscalation: 1', 'defaultAllowPrivilegeEscalation: must be true or false'],
    ['seccompDefault: true', 'seccompDefault: there is no such setting'],
    ['runtimeHandlers: [{name: Kata, path: /k}]', 'runtimeHandlers[0].name: must be a DNS label'],
    ['runtimeHandlers: [{name: k, path: kata}]', 'runtimeHandlers[0].path: must be an absolute path'],
    ['runtimeHandlers: [{name: k, path: /k, root: /}]', 'runtimeHandlers[0].root: there is no such setting'],
    ['runtimeHandlers: [{name: k, path: /k}, {name: k, path: /l}]', 'k is named twice'],
    ['[', 'node.yaml: '],
  ])('%s is a mistake that names the file', async (text, message) => {
    await expect(read(text)).rejects.toMatchObject({ kind: 'Invalid', message: expect.stringContaining(message) });
    await expect(read(text)).rejects.toThrow(join(home, 'node.yaml'));
  });

  test('all mistakes are told together', async () => {
    await expect(read('a: 1\nb: 2')).rejects.toThrow(/a: there is no such setting\nb: there is no such setting/);
  });
});
