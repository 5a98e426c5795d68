import { describe, expect, test } from 'vitest';
import { silentLogger, VirtualClock } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import { handlerOf, isFrom, type KnownHandler, nodeRuntimeHandlers, openHandlers } from './handlers.ts';

const c = { signal: new AbortController().signal, clock: new VirtualClock(), log: silentLogger };

/** What each program prints for `--version` and `features`; absent: it is not installed. */
function programs(answers: Readonly<Record<string, { version?: string; features?: string }>>): Kernel['programs'] {
  const run = async (argv: readonly string[]): Promise<object> => {
    const answer = answers[argv[0] ?? ''];
    const text = argv.at(-1) === 'features' ? answer?.features : answer?.version;
    return { code: text === undefined ? 1 : 0, signal: 0, stdout: Buffer.from(text ?? ''), stderr: Buffer.alloc(0) };
  };
  return { run } as unknown as Kernel['programs'];
}

const installed = {
  crun: { version: 'crun version 1.8.1\nspec: 1.0.0\n+CAP +SECCOMP +EBPF' },
  runc: { version: 'runc version 1.1.5', features: '{"mountOptions":["ro","rro"]}' },
  '/opt/kata': { version: 'kata-runtime 3.2', features: '{"mountOptions":["ro"]}' },
  '/opt/wrapped': { version: 'crun version 1.2', features: 'unknown command' },
};

describe('runtime handlers', () => {
  test('the default first, those of the settings, then what is installed; each says what it can do', async () => {
    const named = [{ name: 'kata', path: '/opt/kata', arguments: ['--config', '/etc/kata.toml'] }];
    const handlers = await openHandlers(programs(installed), { runtime: 'crun', named }, c);
    const can = (h: KnownHandler): boolean[] => [h.isCrun, h.takesFilter, h.recursiveReadOnlyMounts];
    expect(handlers.map((h) => [h.name, h.path, ...can(h)])).toEqual([
      ['', 'crun', true, true, true],
      ['kata', '/opt/kata', false, false, false],
      ['crun', 'crun', true, true, true],
      ['runc', 'runc', false, false, true],
    ]);
    expect(nodeRuntimeHandlers(handlers)[1]).toEqual({
      name: 'kata',
      features: { recursiveReadOnlyMounts: false, userNamespaces: false },
    });
  });

  test('crun is known by what it says, not by its name; an old one mounts nothing recursively read-only and takes no filter', async () => {
    const named = [{ name: 'w', path: '/opt/wrapped', arguments: [] }];
    const handlers = await openHandlers(programs(installed), { runtime: 'runc', named }, c);
    expect(handlerOf(handlers, 'w')).toMatchObject({
      isCrun: true,
      /* It was built without seccomp. */
      takesFilter: false,
      recursiveReadOnlyMounts: false,
    });
  });

  test('the settings may stand in for a handler of the same name; what is not installed is none', async () => {
    const named = [{ name: 'runc', path: '/opt/kata', arguments: [] }];
    const handlers = await openHandlers(programs({ '/opt/kata': { version: '1' } }), { runtime: 'runc', named }, c);
    expect(handlers.map((h) => [h.name, h.path])).toEqual([['runc', '/opt/kata']]);
    expect(() => handlerOf(handlers, 'crun')).toThrow(
      'failed to get sandbox runtime: no runtime for "crun" is configured',
    );
  });

  test('one that the settings name and that does not answer stops the agent', async () => {
    const named = [{ name: 'gvisor', path: '/none', arguments: [] }];
    await expect(openHandlers(programs(installed), { runtime: 'crun', named }, c)).rejects.toThrow(
      'the runtime handler gvisor: /none does not tell its version',
    );
  });

  test('versions are compared as numbers', () => {
    expect([isFrom('5.4.0', [5, 12]), isFrom('6.1.0-9', [5, 12]), isFrom('5.12', [5, 12])]).toEqual([
      false,
      true,
      true,
    ]);
  });
});
