import { appendFile, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { parseLines, readLog } from './log-file.ts';

let folder = '';
let path = '';
const stop = new AbortController();
const c: Ctx = { signal: stop.signal, clock: realClock, log: silentLogger };
const line = (n: number, tag = 'F', stream = 'stdout'): string =>
  `2026-01-01T00:00:${String(n % 60).padStart(2, '0')}.000000000Z ${stream} ${tag} line ${n}\n`;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-log-'));
  path = join(folder, '0.log');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function texts(o: { tailLines?: number; sinceMs?: number }): Promise<string[]> {
  const out: string[] = [];
  for await (const batch of readLog({ path, follow: false, ended: Promise.resolve(), ...o }, c))
    out.push(...batch.map((l) => l.text.toString()));
  return out;
}

describe('readLog', () => {
  test('reads rotated files first, oldest to newest', async () => {
    await writeFile(`${path}.2`, line(1));
    await writeFile(`${path}.1`, line(2));
    await writeFile(path, line(3));
    expect(await texts({})).toEqual(['line 1', 'line 2', 'line 3']);
  });

  test('tail counts full lines over files and keeps the parts of a line together', async () => {
    await writeFile(`${path}.1`, line(1) + line(2));
    await writeFile(path, line(3, 'P') + line(4));
    expect(await texts({ tailLines: 2 })).toEqual(['line 2', 'line 3', 'line 4']);
    expect(await texts({ tailLines: 1 })).toEqual(['line 3', 'line 4']);
    expect(await texts({ tailLines: 0 })).toEqual([]);
    expect(await texts({ tailLines: 99 })).toEqual(['line 1', 'line 2', 'line 3', 'line 4']);
  });

  test('a long file is read in pieces without losing a line', async () => {
    await writeFile(path, Array.from({ length: 20_000 }, (_, i) => line(i)).join(''));
    const all = await texts({});
    expect(all.length).toBe(20_000);
    expect(all[19_999]).toBe('line 19999');
    expect((await texts({ tailLines: 7000 }))[0]).toBe('line 13000');
  });

  test('since leaves out older lines; a missing file is an empty log', async () => {
    expect(await texts({})).toEqual([]);
    await writeFile(path, line(1) + line(5));
    expect(await texts({ sinceMs: Date.parse('2026-01-01T00:00:03Z') })).toEqual(['line 5']);
  });

  test('following continues over a rotation and ends with the container', async () => {
    await writeFile(path, line(1));
    let end = (): void => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const got: string[] = [];
    const reading = (async () => {
      for await (const batch of readLog({ path, follow: true, ended }, c))
        got.push(...batch.map((l) => l.text.toString()));
    })();
    await eventually(() => got.length === 1);
    await appendFile(path, line(2));
    await rename(path, `${path}.1`);
    await writeFile(path, line(3));
    await eventually(() => got.length === 3);
    await appendFile(path, line(4));
    end();
    await reading;
    expect(got).toEqual(['line 1', 'line 2', 'line 3', 'line 4']);
  });
});

describe('parseLines', () => {
  test('keeps an incomplete last line for later, and bytes as they are', () => {
    const bytes = Buffer.concat([
      Buffer.from('2026-01-01T00:00:00Z stderr F '),
      Buffer.from([0xff, 0xfe, 10]),
      Buffer.from('2026'),
    ]);
    const { lines, used } = parseLines(bytes);
    expect(used).toBe(bytes.length - 4);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ stream: 'stderr', isFull: true });
    expect([...(lines[0]?.text ?? [])]).toEqual([0xff, 0xfe]);
  });
});

async function eventually(check: () => boolean): Promise<void> {
  await expect.poll(check).toBe(true);
}
