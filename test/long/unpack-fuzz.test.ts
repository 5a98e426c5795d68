/**
 * Ten minutes (BERTH_FUZZ_MINUTES) of damaged layers, by the helper with sanitizers: test/harness/unpack-fuzz.ts says what is made
 * and what is judged. BERTH_FUZZ_SEED repeats a run. Needs root and gcc.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { realRandom } from '#lib/base';
import { fuzzUnpack, sanitizedHelper } from '../harness/unpack-fuzz.ts';

const MINUTES = Number(process.env['BERTH_FUZZ_MINUTES'] ?? 10);
const SEED = Number(process.env['BERTH_FUZZ_SEED'] ?? realRandom.below(1e9));

test(
  'any layer is unpacked or refused, inside its root',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'berth-unpack-fuzz-'));
    try {
      const work = join(folder, 'work');
      mkdirSync(work);
      const o = { seed: SEED, runs: Number.MAX_SAFE_INTEGER, limitMs: MINUTES * 60_000, folder: work };
      const result = await fuzzUnpack(o, sanitizedHelper(folder));
      process.stdout.write(`unpack fuzz: seed ${SEED}, ${result.unpacked} unpacked, ${result.refused} refused\n`);
      expect(result.failures).toEqual([]);
      expect(result.unpacked).toBeGreaterThan(100);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  (MINUTES + 5) * 60_000,
);
