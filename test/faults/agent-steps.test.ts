/**
 * The agent dies at a step of a pod's start, of its own recovery, of the pod's stop; the next one goes on: each container runs
 * once, and at the end nothing is left. A spread of points, others in each run (BERTH_TEST_SEED repeats one); all of them:
 * test/long/agent-steps.test.ts.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realRandom, seededRandom } from '#lib/base';
import { MortalNode } from './dying/node.ts';

const SEED = Number(process.env['BERTH_TEST_SEED'] ?? realRandom.below(1_000_000));
const LIVES = 9;

let node: MortalNode;
beforeAll(async () => {
  node = await MortalNode.open();
}, 60_000);
afterAll(async () => node?.[Symbol.asyncDispose]());

test(`killed in ${LIVES} lives of a pod (seed ${SEED})`, async () => {
  const random = seededRandom(SEED);
  const points = await node.points();
  const recovery = await node.recoveryPoints();
  process.stdout.write(`points: start ${points.start}, stop ${points.stop}, recovery ${recovery}; seed ${SEED}\n`);
  if (process.env['BERTH_TEST_LOG']) process.stdout.write(`${points.calls.join('\n')}\n`);
  /* One of each part of the whole, so that no part is left out by chance. */
  const spread = (i: number, all: number): number => 1 + Math.floor(((i + random.next()) * all) / LIVES);
  for (let i = 0; i < LIVES; i++) {
    const where = {
      start: spread(i, points.start),
      stop: spread(i, points.stop),
      ...(i % 3 === 1 ? { recovery: 1 + random.below(recovery) } : {}),
      unwanted: i % 3 === 2,
    };
    try {
      const deaths = await node.cut(where);
      expect(deaths.length).toBeGreaterThan(0);
    } catch (e) {
      throw new Error(`with deaths at ${JSON.stringify(where)}, seed ${SEED}`, { cause: e });
    }
  }
}, 120_000);
