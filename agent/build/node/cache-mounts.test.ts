/** Who has a cache mount's folder at the same time as whom. */
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import type { Kernel } from '../../kernel/kernel.ts';
import type { StepMount } from '../solve/worker.ts';
import { CacheMounts } from './cache-mounts.ts';

type CacheMount = Extract<StepMount, { kind: 'cache' }>;

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let mounts: CacheMounts;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-mounts-'));
  const removeTree = (path: string): Promise<void> => rm(path, { recursive: true, force: true });
  mounts = new CacheMounts({ folder, random: realRandom, kernel: { removeTree } as unknown as Kernel });
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const mount = (sharing: CacheMount['sharing']): CacheMount => ({
  ...{ kind: 'cache', id: 'x', sharing, target: '/x', readOnly: false, seed: undefined },
  ...{ uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0, mode: 0o755 },
});

/** Has the folder until `leave`; `path` comes when it has it. */
function take(sharing: CacheMount['sharing'], more: Partial<CacheMount> = {}) {
  let leave: () => void = () => undefined;
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  let ended: Promise<void> = Promise.resolve();
  const path = new Promise<string>((resolve) => {
    const fn = async (own: string): Promise<void> => {
      resolve(own);
      await left;
    };
    ended = mounts.use({ ...mount(sharing), ...more }, fn, c);
  });
  return { path, leave, ended };
}

test.each(['shared', 'locked', 'private'] as const)(
  'a private one is nobody else’s while a %s one is in use',
  async (other) => {
    const first = take(other);
    const path = await first.path;
    const own = take('private');
    expect(await own.path).not.toBe(path);
    for (const t of [first, own]) t.leave();
    await Promise.all([first.ended, own.ended]);
    const next = take('private');
    expect(await next.path).toBe(path);
    next.leave();
    await next.ended;
    expect((await readdir(folder)).filter((name) => !name.endsWith('.json'))).toHaveLength(2);
  },
);

test('a locked one waits for a private one of the same folder', async () => {
  const first = take('private');
  const path = await first.path;
  const order: string[] = [];
  const second = take('locked');
  const came = second.path.then((own) => order.push(`locked ${own === path}`));
  for (let n = 0; n < 20; n++) {
    const other = take('shared', { id: `other ${n}` });
    await other.path;
    other.leave();
    await other.ended;
  }
  order.push('left');
  first.leave();
  await came;
  second.leave();
  await Promise.all([first.ended, second.ended]);
  expect(order).toEqual(['left', 'locked true']);
});
