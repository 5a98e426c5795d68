import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { realClock } from '#lib/base';
import { gathered } from './gathered.ts';

const SMALL = 500;
const bodyOf = (i: number): Buffer => Buffer.alloc(SMALL, i);

/** As a socket gives them: some in each turn of the loop. */
async function send(body: PassThrough, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    if (!body.write(bodyOf(i))) await new Promise<void>((resolve) => body.once('drain', resolve));
    if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  body.end();
}

describe('a body in pieces that are worth a turn', () => {
  test('many small ones come as few, every byte in its place', async () => {
    const body = new PassThrough();
    const sent = send(body, 2_000);
    const pieces: Buffer[] = [];
    for await (const piece of gathered(body, realClock)) pieces.push(piece);
    await sent;
    const all = Buffer.concat(pieces);
    expect(all.equals(Buffer.concat(Array.from({ length: 2_000 }, (_, i) => bodyOf(i))))).toBe(true);
    expect(pieces.length).toBeLessThan(500);
    expect(Math.min(...pieces.map((p) => p.length))).toBeGreaterThan(0);
  });

  test('one that comes alone does not wait for others', async () => {
    const body = new PassThrough();
    const pieces = gathered(body, realClock);
    const first = pieces.next();
    body.write('alone');
    expect((await first).value?.toString()).toBe('alone');
    const second = pieces.next();
    body.end();
    expect(await second).toEqual({ value: undefined, done: true });
    const empty = new PassThrough();
    empty.end();
    expect(await gathered(empty, realClock).next()).toEqual({ value: undefined, done: true });
  });

  test('who does not take makes the sender wait', async () => {
    const body = new PassThrough();
    const pieces = gathered(body, realClock);
    const first = pieces.next();
    body.write('x');
    await first;
    let sent = 0;
    const filling = (async () => {
      for (; sent < 10_000; sent++) {
        if (!body.write(Buffer.alloc(10_000))) await new Promise<void>((resolve) => body.once('drain', resolve));
      }
    })();
    await realClock.sleep(50);
    expect(sent * 10_000).toBeLessThan(1_000_000);
    let bytes = 0;
    while (bytes < 100_000_000) bytes += (await pieces.next()).value?.length ?? 0;
    await filling;
    expect(bytes).toBe(100_000_000);
  });

  test('what it ends with is thrown, after what came; who leaves early ends it', async () => {
    const body = new PassThrough();
    const pieces = gathered(body, realClock);
    const first = pieces.next();
    body.write('begun');
    await new Promise((resolve) => setImmediate(resolve));
    body.destroy(new Error('cut off'));
    expect((await first).value?.toString()).toBe('begun');
    await expect(pieces.next()).rejects.toThrow('cut off');
    const left = new PassThrough();
    const more = gathered(left, realClock);
    const one = more.next();
    left.write('x');
    await one;
    await more.return();
    expect(left.destroyed).toBe(true);
  });
});
