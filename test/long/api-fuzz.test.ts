/**
 * Ten minutes (BERTH_FUZZ_MINUTES) of arbitrary requests at every verb of every kind: services/apiserver/testing/fuzz.ts says
 * what is asked and what is judged. BERTH_FUZZ_SEED repeats a run.
 */
import { expect, test } from 'vitest';
import { fuzz } from '../../services/apiserver/testing/fuzz.ts';

const MINUTES = Number(process.env['BERTH_FUZZ_MINUTES'] ?? 10);
const SEED = process.env['BERTH_FUZZ_SEED'];

test(
  'any request is answered, never by a 500, refusals by a Status',
  async () => {
    const seed = SEED === undefined ? {} : { seed: Number(SEED) };
    const answered = await fuzz({ runs: Number.MAX_SAFE_INTEGER, limitMs: MINUTES * 60_000, ...seed });
    process.stdout.write(`fuzz: ${answered} requests\n`);
    expect(answered).toBeGreaterThan(100);
  },
  (MINUTES + 5) * 60_000,
);
