import { expect, test } from 'vitest';
import { agentEnvironment, allocatorEnvironment, withoutAllocator } from './allocator.ts';

test('jemalloc where the machine has it, for the architecture of Node; else glibc, of an agent with two arenas', () => {
  const debian = '/usr/lib/x86_64-linux-gnu/libjemalloc.so.2';
  const arm = '/usr/lib/aarch64-linux-gnu/libjemalloc.so.2';
  const has =
    (...paths: string[]) =>
    (path: string): boolean =>
      paths.includes(path);
  expect(allocatorEnvironment(has(debian, arm), 'x64')).toMatchObject({ LD_PRELOAD: debian });
  expect(allocatorEnvironment(has(debian, arm), 'arm64')).toMatchObject({ LD_PRELOAD: arm });
  expect(allocatorEnvironment(has('/usr/lib64/libjemalloc.so.2'), 'x64')).toMatchObject({
    LD_PRELOAD: '/usr/lib64/libjemalloc.so.2',
    MALLOC_CONF: expect.stringContaining('dirty_decay_ms'),
  });
  expect(allocatorEnvironment(has(arm), 'x64')).toEqual({});
  expect(allocatorEnvironment(has(debian), 'riscv64')).toEqual({});
  expect(agentEnvironment()).toMatchObject({ MALLOC_ARENA_MAX: '2', ...allocatorEnvironment() });
});

test('it is not handed on; what somebody else preloads is left alone', () => {
  const ours: Record<string, string | undefined> = { ...allocatorEnvironment(() => true, 'x64'), PATH: '/bin' };
  withoutAllocator(ours);
  expect(ours).toEqual({ PATH: '/bin' });
  const theirs = { LD_PRELOAD: '/opt/trace.so', MALLOC_CONF: 'x' };
  withoutAllocator(theirs);
  expect(theirs).toEqual({ LD_PRELOAD: '/opt/trace.so', MALLOC_CONF: 'x' });
});
