/** A container that floods its log: the follower gets every line, memory stays where it was, and disk use is bounded. */
import { readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { readLog } from '../../agent/pods/log-file.ts';
import { LogRenderer } from '../../agent/pods/log-lines.ts';
import { writeLines } from '../../agent/pods/streams.ts';
import { RuntimeHost } from './runtime-host.ts';

const LINES = 10_000;
const LINE_BYTES = 1_000;
/** 10 MB each tenth of a second, where the machine can. */
const ROUNDS = 40;
const FILE_BYTES = 10 << 20;
const FILES = 8;

describe('a log flood', () => {
  let host: RuntimeHost;
  beforeAll(async () => {
    host = await RuntimeHost.open('crun');
    const line = (i: number): string => `${String(i).padStart(6, '0')} ${'x'.repeat(LINE_BYTES - 8)}\n`;
    writeFileSync(join(host.rootfs, 'big'), Array.from({ length: LINES }, (_, i) => line(i)).join(''));
  });
  afterAll(() => host.close());

  test('a follower misses nothing, one that stands still costs nothing, the files stay within their bounds', async () => {
    const script = `i=0; while [ $i -lt ${ROUNDS} ]; do cat /big; i=$((i+1)); sleep 0.1; done`;
    const folder = join(host.folder, 'log', 'flood');
    const o = host.container(['sh', '-c', script], {
      log: { path: join(folder, '0.log'), maxBytes: FILE_BYTES, maxFiles: FILES },
    });
    const begin = realClock.monotonic();
    await host.runtime.start(o, host.c);
    const ended = host.exited(o.id).then(() => undefined);
    const before = process.memoryUsage().rss;

    /* A client that takes nothing, beside the one that reads all. */
    const stuck = new PassThrough();
    const slow = writeLines(readLog({ path: o.log.path, follow: true, ended }, host.c), new LogRenderer({}), {
      limitBytes: undefined,
      out: stuck,
    });
    let lines = 0;
    let wrong = 0;
    let longestWaitMs = 0;
    let last = realClock.monotonic();
    const ticker = setInterval(() => {
      longestWaitMs = Math.max(longestWaitMs, realClock.monotonic() - last - 10);
      last = realClock.monotonic();
    }, 10);
    for await (const records of readLog({ path: o.log.path, follow: true, ended }, host.c)) {
      const text = new LogRenderer({}).render(records);
      expect(text.length % LINE_BYTES).toBe(0);
      for (let at = 0; at < text.length; at += LINE_BYTES)
        if (Number(text.toString('latin1', at, at + 6)) !== lines++ % LINES) wrong++;
    }
    clearInterval(ticker);
    const seconds = (realClock.monotonic() - begin) / 1000;
    const grownMb = (process.memoryUsage().rss - before) / 1e6;
    process.stdout.write(
      `${Math.round((lines * LINE_BYTES) / 1e6 / seconds)} MB/s, memory +${Math.round(grownMb)} MB, longest wait ${Math.round(longestWaitMs)} ms\n`,
    );
    expect([lines, wrong]).toEqual([ROUNDS * LINES, 0]);
    expect(grownMb).toBeLessThan(60);
    stuck.destroy();
    await slow;
    const sizes = readdirSync(folder).map((n) => statSync(join(folder, n)).size);
    expect(sizes.length).toBeLessThanOrEqual(FILES);
    for (const size of sizes) expect(size).toBeLessThanOrEqual(FILE_BYTES);
  });

  test('a tail of a whole log takes the time of reading it, not its square', async () => {
    const o = host.container(['sh', '-c', 'cat /big /big /big /big'], {
      log: { path: join(host.folder, 'log', 'tail', '0.log'), maxBytes: 100 << 20, maxFiles: 5 },
    });
    await host.runtime.start(o, host.c);
    await host.exited(o.id);
    const begin = realClock.monotonic();
    let bytes = 0;
    const records = readLog({ path: o.log.path, follow: false, tailLines: 35_000, ended: Promise.resolve() }, host.c);
    for await (const r of records) bytes += new LogRenderer({}).render(r).length;
    expect(bytes).toBe(35_000 * LINE_BYTES);
    expect(realClock.monotonic() - begin).toBeLessThan(10_000);
  });
});
