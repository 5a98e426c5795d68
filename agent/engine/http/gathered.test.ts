import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, expect, test, vi } from 'vitest';
import { realClock } from '#lib/base';
import { gathered } from './gathered.ts';

const FREE = { clock: realClock, signal: new AbortController().signal };
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
    for await (const piece of gathered(body, FREE)) pieces.push(piece);
    await sent;
    const all = Buffer.concat(pieces);
    expect(all.equals(Buffer.concat(Array.from({ length: 2_000 }, (_, i) => bodyOf(i))))).toBe(true);
    expect(pieces.length).toBeLessThan(500);
    expect(Math.min(...pieces.map((p) => p.length))).toBeGreaterThan(0);
  });

  test('one that comes alone does not wait for others', async () => {
    const body = new PassThrough();
    const pieces = gathered(body, FREE);
    const first = pieces.next();
    body.write('alone');
    expect((await first).value?.toString()).toBe('alone');
    const second = pieces.next();
    body.end();
    expect(await second).toEqual({ value: undefined, done: true });
    const empty = new PassThrough();
    empty.end();
    expect(await gathered(empty, FREE).next()).toEqual({ value: undefined, done: true });
  });

  test('who does not take makes the sender wait', async () => {
    const body = new PassThrough();
    const pieces = gathered(body, FREE);
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

  test('what it ends with is thrown, after what came; nothing that comes after a reader that left is kept, or thrown', async () => {
    const body = new PassThrough();
    const pieces = gathered(body, FREE);
    const first = pieces.next();
    body.write('begun');
    await new Promise((resolve) => setImmediate(resolve));
    body.destroy(new Error('cut off'));
    expect((await first).value?.toString()).toBe('begun');
    await expect(pieces.next()).rejects.toThrow('cut off');
    const left = new PassThrough();
    const more = gathered(left, FREE);
    const one = more.next();
    left.write('x');
    await one;
    await more.return();
    await send(left, 2_000);
    expect(left.readableLength).toBe(0);
    expect(left.listenerCount('data')).toBe(0);
    left.destroy(new Error('cut off later'));
    await new Promise((resolve) => left.once('close', resolve));
  });

  test('pieces of a byte are held by their number', async () => {
    const body = new PassThrough({ highWaterMark: 1 });
    const pieces = gathered(body, FREE);
    const first = pieces.next();
    body.write('x');
    await first;
    for (let i = 0; i < 50_000; i++) body.write('y');
    await realClock.sleep(20);
    expect(body.readableLength + body.writableLength).toBeGreaterThan(40_000);
    let bytes = 0;
    while (bytes < 50_000) bytes += (await pieces.next()).value?.length ?? 0;
    expect(bytes).toBe(50_000);
    await pieces.return();
  });

  test('who waits for a client that says nothing ends with the signal', async () => {
    const stop = new AbortController();
    const body = new PassThrough();
    const next = gathered(body, { clock: realClock, signal: stop.signal }).next();
    stop.abort(new Error('cancelled'));
    await expect(next).rejects.toThrow('cancelled');
    expect(body.listenerCount('data')).toBe(0);
  });

  test('a request that is left early is answered, and its connection takes the next one', async () => {
    await using server = createServer(async (req, res) => {
      for await (const piece of gathered(req, FREE)) if (piece.length > 0) break;
      res.statusCode = 400;
      res.end('damaged');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const client = connect(port, '127.0.0.1');
    let answers = '';
    client.on('data', (text) => {
      answers += String(text);
    });
    for (const bytes of [5_000_000, 500]) {
      client.write(`POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${bytes}\r\n\r\n`);
      client.write(Buffer.alloc(bytes));
    }
    await vi.waitFor(() => expect(answers.match(/HTTP\/1.1 400/g)).toHaveLength(2), { timeout: 10_000 });
    client.destroy();
  });
});
