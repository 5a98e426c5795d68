/**
 * test/faults/agent-steps.test.ts with every point: of a pod's start and stop, of the start for a pod that nobody wants any
 * more, of an agent's own recovery. About an hour. BERTH_TEST_POINTS=101-200 takes these points only, 3-9999/13 each 13th. One failure does not end
 * it: it goes on with a new node, and all of them are told at the end.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageOf, realClock, realRandom } from '#lib/base';
import { type Cut, MortalNode } from '../faults/dying/node.ts';

const LIMIT_MS = 7_200_000;
/** How many calls there are differs a little from life to life. */
const MORE = 8;
const WARM_UP_LIVES = 25;
const LIVES = 75;
/** Feedback of functions that have not run often enough yet; what is kept of a pod is more: its spec alone is 3 kB. */
const BYTES_A_POD_MAX = 2_500;

const [, FROM = '1', TO = '99999', STEP = '1'] =
  /^(\d+)-(\d+)(?:\/(\d+))?$/.exec(process.env['BERTH_TEST_POINTS'] ?? '1-99999') ?? [];

let node: MortalNode;
let all: { start: number; stop: number; recovery: number };
beforeAll(async () => {
  node = await MortalNode.open();
  const { start, stop } = await node.points();
  all = { start, stop, recovery: await node.recoveryPoints() };
  process.stdout.write(`points: ${JSON.stringify(all)}\n`);
}, 120_000);
afterAll(async () => node?.[Symbol.asyncDispose](), 60_000);

async function every(name: string, points: number, where: (n: number) => Cut): Promise<void> {
  const failures: string[] = [];
  const begun = realClock.monotonic();
  let deaths = 0;
  for (let n = Number(FROM); n <= Math.min(Number(TO), points + MORE); n += Number(STEP)) {
    try {
      deaths += (await node.cut(where(n))).length;
    } catch (e) {
      failures.push(`${name} ${JSON.stringify(where(n))}: ${messageOf(e)}`);
      process.stdout.write(`${failures.at(-1)}\n`);
      await node[Symbol.asyncDispose]();
      node = await MortalNode.open();
    }
  }
  const seconds = Math.round((realClock.monotonic() - begun) / 1000);
  process.stdout.write(`${name}: ${deaths} deaths in ${seconds} s, ${failures.length} failures\n`);
  expect(failures).toEqual([]);
}

describe('an agent killed at every point', () => {
  test(
    'of a start, and of a stop',
    async () => {
      await every('start and stop', Math.max(all.start, all.stop), (n) => ({ start: n, stop: n }));
    },
    LIMIT_MS,
  );

  test(
    'of the start of a pod that nobody wants by then',
    async () => {
      await every('unwanted', all.start, (n) => ({ start: n, unwanted: true }));
    },
    LIMIT_MS,
  );

  test(
    'of its own start, while a pod runs or begins',
    async () => {
      await every('recovery', all.recovery, (n) => ({ start: 1 + realRandom.below(all.start), recovery: n }));
    },
    LIMIT_MS,
  );
});

test('an agent that nothing disturbs holds nothing of the pods that were', async () => {
  const before = await node.weightAfter(WARM_UP_LIVES);
  const after = await node.weightAfter(LIVES);
  process.stdout.write(`objects of the agent: ${before} -> ${after} bytes after ${LIVES} pods\n`);
  expect((after - before) / LIVES).toBeLessThan(BYTES_A_POD_MAX);
}, 600_000);
