import { defineConfig } from 'vitest/config';
import { limitMs } from './test/harness/time-limit.ts';

const BESIDE_THE_CODE = '{lib,services,agent,cli,tools,proto}/**';
/** Unit tests that take seconds: they run with the integration tests, so that the others stay under a minute. */
const SLOW = `${BESIDE_THE_CODE}/*.slow.test.ts`;

const projects = [
  {
    name: 'unit',
    include: [`${BESIDE_THE_CODE}/*.test.ts`, 'test/{bench,compatibility,coverage}/**/*.test.ts'],
    exclude: [SLOW],
    testTimeout: 30_000,
    workers: 2,
  },
  { name: 'integration', include: ['test/integration/**/*.test.ts', SLOW], testTimeout: 60_000, workers: 2 },
  { name: 'e2e', include: ['test/e2e/**/*.test.ts'], testTimeout: 180_000, workers: 2 },
  // What a node does for its pods, each file with a cluster of its own and its pods side by side.
  { name: 'node', include: ['test/node/**/*.test.ts'], testTimeout: 180_000, workers: 2 },
  // Most of their time they wait for time limits of the product.
  { name: 'faults', include: ['test/faults/**/*.test.ts'], testTimeout: 240_000, workers: 3 },
  { name: 'long', include: ['test/long/**/*.test.ts'], testTimeout: 1_800_000, workers: 1 },
];

export default defineConfig({
  test: {
    projects: projects.map(({ workers, ...p }) => ({
      test: {
        ...p,
        testTimeout: limitMs(p.testTimeout),
        hookTimeout: limitMs(p.testTimeout),
        // vitest's own second is less than a busy machine may need to come round.
        expect: { poll: { timeout: limitMs(20_000) } },
        pool: 'forks',
        isolate: p.name !== 'unit',
        fileParallelism: workers > 1,
        // Two cores are what there is: vitest alone would leave one to itself.
        maxWorkers: workers,
      },
    })),
  },
});
