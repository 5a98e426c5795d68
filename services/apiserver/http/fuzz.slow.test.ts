/** A short run of what test/long/api-fuzz.test.ts does for minutes. */
import { expect, test } from 'vitest';
import { fuzz } from '../testing/fuzz.ts';

const RUNS = 2_000;
const LIMIT_MS = 4_000;

test('any request is answered, never by a 500, refusals by a Status', async () => {
  expect(await fuzz({ runs: RUNS, limitMs: LIMIT_MS })).toBeGreaterThan(50);
});
