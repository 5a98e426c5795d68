import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { generateTable } from './generate-table.ts';
import { generateTypes } from './generate-types.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const facts = join(root, '../shared/data');

describe('generate-api', () => {
  test.runIf(existsSync(facts))('regenerating changes nothing (capability: the fact tables of ../shared)', () => {
    const out = mkdtempSync(join(tmpdir(), 'berth-generate-'));
    try {
      generateTypes(facts, out);
      generateTable(facts, out);
      const files = readdirSync(out, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.ts'));
      expect(files.length).toBeGreaterThan(20);
      for (const file of files)
        expect(
          readFileSync(join(out, file), 'utf8') === readFileSync(join(root, 'lib/api/gen', file), 'utf8'),
          file,
        ).toBe(true);
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});
