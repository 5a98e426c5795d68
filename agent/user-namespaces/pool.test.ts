import { expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { idPool, parseSubIds } from './pool.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
type Answers = Readonly<Record<string, { code?: number; text?: string }>>;

const poolOf = (answers: Answers, instance = 'berth') => {
  const { programs } = new RecordingKernel({ run: (argv) => answers[argv.join(' ')] ?? { code: 127 } });
  return idPool({ programs, idsPerPod: 65_536, podsMax: 110, instance }, c);
};
const USER = { 'getent passwd kubelet': { text: 'kubelet:x:999:' } };

test('without a user kubelet, or without getsubids, all ids but the first ones', async () => {
  const all = { first: 65_536, count: 2 ** 32 - 65_536, idsPerPod: 65_536, start: 0 };
  expect(await poolOf({ 'getent passwd kubelet': { code: 2 } })).toEqual(all);
  expect(await poolOf(USER)).toEqual(all);
});

test('other instances of the machine begin elsewhere, and each time at the same range', async () => {
  const [a, again, b] = [await poolOf({}, 'a'), await poolOf({}, 'a'), await poolOf({}, 'b')];
  expect(a).toEqual(again);
  expect(new Set([0, a.start, b.start]).size).toBe(3);
  for (let i = 0; i < 200; i++) {
    const { first, start, idsPerPod } = await poolOf({}, `instance-${i}`);
    expect(first + (start + 1) * idsPerPod).toBeLessThanOrEqual(2 ** 31);
  }
});

test('the ids of the user kubelet are the pool', async () => {
  const text = '0: kubelet 131072 7208960\n';
  const pool = await poolOf({ ...USER, 'getsubids kubelet': { text }, 'getsubids -g kubelet': { text } }, 'a');
  expect(pool).toEqual({ first: 131_072, count: 7_208_960, idsPerPod: 65_536, start: 0 });
});

test.each<[string, Answers, string]>([
  ['no answer', { 'getsubids kubelet': { code: 1 } }, 'error retrieving additional uids for user "kubelet"'],
  [
    'no groups',
    { 'getsubids kubelet': { text: '0: kubelet 65536 7208960' }, 'getsubids -g kubelet': { code: 1 } },
    'additional gids',
  ],
  [
    'two answers',
    {
      'getsubids kubelet': { text: '0: kubelet 65536 7208960' },
      'getsubids -g kubelet': { text: '0: kubelet 131072 7208960' },
    },
    'mismatched subuids and subgids for user "kubelet"',
  ],
  [
    'too few',
    {
      'getsubids kubelet': { text: '0: kubelet 65536 65536' },
      'getsubids -g kubelet': { text: '0: kubelet 65536 65536' },
    },
    'IDs are not enough to support 110 pods',
  ],
])('what is set up wrongly ends the agent’s start: %s', async (_, answers, why) => {
  await expect(poolOf({ ...USER, ...answers })).rejects.toThrow(why);
});

test.each([
  '',
  '0: kubelet 65536',
  '0: kubelet a b',
  '0: kubelet 65536 -1',
  '0: kubelet 1 2\n1: kubelet 3 4',
  '0: kubelet 65536 4294967296',
])('parseSubIds: %j is refused', (text) => {
  expect(() => parseSubIds(text)).toThrow(/invalid line|only one line/);
});
