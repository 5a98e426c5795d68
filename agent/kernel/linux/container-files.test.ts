import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { type Ctx, realClock, StatusError, silentLogger } from '#lib/base';
import { writeTree } from './container-files.ts';
import type { Helper } from './helper.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

test('a job that fails before it connects fails the call alone: no rejection is left that nobody awaits', async () => {
  const unhandled: unknown[] = [];
  const note = (e: unknown): void => void unhandled.push(e);
  process.on('unhandledRejection', note);
  const helper = {
    streamsPath: '/none',
    expectStream: async () => ({ token: 't', socket: new Promise(() => undefined), forget: () => undefined }),
    request: async () => Promise.reject(new StatusError('Unavailable', 'the native helper ended')),
  } as unknown as Helper;
  const view = { rootfs: '/r', readOnly: false, mounts: [] };
  const what = { path: '/', keepsKinds: true, owner: undefined, open: async () => Readable.from([]) };
  await expect(writeTree(helper, view, what, c)).rejects.toMatchObject({ kind: 'Unavailable' });
  await realClock.sleep(20);
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});
