import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { readLog } from './log-file.ts';
import { LogRenderer, parseLines } from './log-lines.ts';
import { writeLines } from './streams.ts';

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

async function texts(o: { tailLines?: number } = {}): Promise<string[]> {
  const out: string[] = [];
  for await (const records of readLog({ path, follow: false, ended: Promise.resolve(), ...o }, c))
    out.push(...parseLines(records).lines.map((l) => l.text.toString()));
  return out;
}

/** What a follower has got so far, and its end. */
function following(o: { tailLines?: number; onBatch?: () => Promise<void> } = {}) {
  let end = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const got: string[] = [];
  const reading = (async () => {
    for await (const records of readLog({ path, follow: true, ended, tailLines: o.tailLines }, c)) {
      got.push(...parseLines(records).lines.map((l) => l.text.toString()));
      await o.onBatch?.();
    }
  })();
  return { got, end, reading };
}

/** As the supervisor does it (agent/native/log.c). */
async function rotate(files: number): Promise<void> {
  for (let i = files - 1; i >= 1; i--)
    await rename(i === 1 ? path : `${path}.${i - 1}`, `${path}.${i}`).catch(() => undefined); // not all are there yet
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

  test('a tail in a file of many pieces, with parts of lines, damage and an unfinished record', async () => {
    const records = Array.from({ length: 30_000 }, (_, i) => (i % 3 === 0 ? line(i, 'P') : line(i)));
    records[29_000] = 'no record at all\n';
    await writeFile(path, `${records.join('')}2026-01-01T00:00`);
    const all = await texts();
    expect(all).toHaveLength(30_000);
    for (const tailLines of [1, 2, 19, 700, 12_345, 20_000, 99_999]) {
      const tail = await texts({ tailLines });
      expect(tail).toEqual(all.slice(-tail.length));
      const full = records.slice(-tail.length).filter((r) => !/ P /.test(r)).length;
      expect(full).toBe(Math.min(tailLines, records.filter((r) => !/ P /.test(r)).length));
      /* It begins with a line's first part. */
      expect(tail.length === 30_000 || !/ P /.test(records.at(-tail.length - 1) ?? '')).toBe(true);
    }
  });

  test('a missing file is an empty log', async () => {
    expect(await texts()).toEqual([]);
  });

  test('what is written while it is read is left to the next reader', async () => {
    await writeFile(path, line(1));
    const seen: string[] = [];
    for await (const records of readLog({ path, follow: false, ended: Promise.resolve() }, c)) {
      seen.push(...parseLines(records).lines.map((l) => l.text.toString()));
      await appendFile(path, line(2));
    }
    expect(seen).toEqual(['line 1']);
  });

  test.each([
    { most: 2, least: 6 },
    { most: Number.POSITIVE_INFINITY, least: 2 },
  ])('files that are rotated while it reads, $most times, are neither lost nor doubled', async ({ most, least }) => {
    for (let round = 0; round < 30; round++) {
      await rm(folder, { recursive: true, force: true });
      await mkdir(folder);
      let n = 0;
      const begin = async (): Promise<void> => writeFile(path, line(n++) + line(n++));
      for (let i = 0; i < 4; i++) {
        await begin();
        await rotate(5);
      }
      await begin();
      let isOver = false;
      const rotating = (async () => {
        for (let i = 0; i < most && !isOver; i++) {
          await rotate(5);
          await begin();
        }
      })();
      const numbers = (await texts()).map((t) => Number(t.slice(5)));
      isOver = true;
      await rotating;
      expect(numbers.length).toBeGreaterThanOrEqual(least);
      expect(numbers).toEqual(numbers.map((_, i) => (numbers[0] ?? 0) + i));
    }
  });

  test('following continues over a rotation and ends with the container', async () => {
    await writeFile(path, line(1));
    const { got, end, reading } = following();
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

  test('following misses no file of several rotations between two looks', async () => {
    await writeFile(path, line(1));
    let turns = 0;
    const { got, end, reading } = following({
      onBatch: async () => {
        if (turns++ > 0) return;
        /* It does not look meanwhile. */
        await appendFile(path, line(2));
        for (let n = 3; n <= 6; n++) {
          await rotate(6);
          await writeFile(path, line(n));
        }
        end();
      },
    });
    await reading;
    expect(got).toEqual(['line 1', 'line 2', 'line 3', 'line 4', 'line 5', 'line 6']);
  });

  test('a follower that was lapped goes on with the oldest file that is left; one file kept means the new one', async () => {
    await writeFile(path, line(1));
    let turns = 0;
    const { got, end, reading } = following({
      onBatch: async () => {
        if (turns++ > 0) return;
        for (let n = 2; n <= 9; n++) {
          await rotate(3);
          await writeFile(path, line(n));
        }
        end();
      },
    });
    await reading;
    expect(got).toEqual(['line 1', 'line 7', 'line 8', 'line 9']);
  });

  test('a tail of nothing follows from here', async () => {
    await writeFile(path, line(1));
    const { got, end, reading } = following({ tailLines: 0 });
    // What is written before the reader has found the end is none of its lines.
    let last = 1;
    await expect
      .poll(async () => {
        if (got.length === 0) await appendFile(path, line(++last));
        return got.length > 0;
      })
      .toBe(true);
    end();
    await reading;
    const first = last - got.length + 1;
    expect(first).toBeGreaterThan(1);
    expect(got).toEqual(got.map((_, i) => `line ${first + i}`));
  });

  test('a client that stands still is not read for: nothing is taken but what it takes', async () => {
    await writeFile(path, Array.from({ length: 200_000 }, (_, i) => line(i)).join(''));
    let written = 0;
    const write = (chunk: Buffer): void => {
      written += chunk.length;
    };
    const stuck = new Writable({ highWaterMark: 1, write });
    let pulled = 0;
    async function* counted() {
      for await (const records of readLog({ path, follow: true, ended: Promise.resolve() }, c)) {
        pulled += records.length;
        yield records;
      }
    }
    const writing = writeLines(counted(), new LogRenderer({}), { limitBytes: undefined, out: stuck });
    await realClock.sleep(100);
    expect(written).toBeGreaterThan(0);
    expect(pulled).toBeLessThan(300_000);
    stuck.destroy();
    await writing;
  });

  test('limitBytes cuts within a line', async () => {
    await writeFile(path, line(1) + line(2));
    const out = new PassThrough();
    const records = readLog({ path, follow: false, ended: Promise.resolve() }, c);
    await writeLines(records, new LogRenderer({}), { limitBytes: 10, out });
    expect(String(out.read())).toBe('line 1\nlin');
  });
});

describe('LogRenderer', () => {
  const render = (records: string, o: ConstructorParameters<typeof LogRenderer>[0]): string =>
    new LogRenderer(o).render(Buffer.from(records)).toString();

  test('time once a line, streams chosen, parts joined, damage as it is', () => {
    const records = `${line(1, 'P')}${line(2)}${line(3, 'F', 'stderr')}damaged\n`;
    const time = (n: number): string => `2026-01-01T00:00:0${n}.000000000Z`;
    expect(render(records, {})).toBe('line 1line 2\nline 3\ndamaged\n');
    expect(render(records, { timestamps: true })).toBe(`${time(1)} line 1line 2\n${time(3)} line 3\ndamaged\n`);
    expect(render(records, { stream: 'Stderr' })).toBe('line 3\n');
    expect(render(records, { stream: 'Stdout' })).toBe('line 1line 2\ndamaged\n');
  });

  test('since leaves out older lines, whatever the form of their times', () => {
    const sinceMs = Date.parse('2026-01-01T00:00:03Z');
    expect(render(line(1) + line(3) + line(5), { sinceMs })).toBe('line 3\nline 5\n');
    expect(render('2026-01-01T00:00:02Z stdout F a\n2026-01-01T00:00:04Z stdout F b\n', { sinceMs })).toBe('b\n');
  });

  test('records that end nowhere, are empty or all blanks do no harm', () => {
    for (const text of [
      '\n',
      ' \n',
      '  \n',
      'x stdout\n',
      'x stdout F\n',
      'x stdout F \n',
      'x stdxyz F a\n',
      `${' '.repeat(99)}\n`,
    ])
      expect(render(text, { timestamps: true }).length).toBeLessThanOrEqual(text.length);
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
