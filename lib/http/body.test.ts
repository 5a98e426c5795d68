import type { IncomingMessage } from 'node:http';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { readBody } from './body.ts';

function request(headers: Record<string, string> = {}): { req: IncomingMessage; stream: PassThrough } {
  const stream = new PassThrough();
  return { req: Object.assign(stream, { headers }) as unknown as IncomingMessage, stream };
}

describe('reading a body', () => {
  test('all of it, in one piece or several, or nothing', async () => {
    for (const pieces of [['abc'], ['a', 'b', 'c'], []]) {
      const { req, stream } = request();
      const body = readBody(req, 3);
      for (const p of pieces) stream.write(p);
      stream.end();
      expect((await body).toString()).toBe(pieces.join(''));
    }
  });

  test('one byte too many is refused at once and the stream lives on', async () => {
    const { req, stream } = request();
    const body = readBody(req, 3);
    stream.write('abcd');
    await expect(body).rejects.toMatchObject({ kind: 'TooLarge' });
    expect(stream.destroyed).toBe(false);
    expect(stream.listenerCount('data')).toBe(0);
  });

  test('what follows a body that was too long is taken off the connection, and may fail', async () => {
    const { req, stream } = request();
    const body = readBody(req, 3);
    stream.write('abcd');
    await expect(body).rejects.toMatchObject({ kind: 'TooLarge' });
    for (let i = 0; i < 10; i++) stream.write(Buffer.alloc(stream.writableHighWaterMark));
    await new Promise((r) => setImmediate(r));
    expect(stream.readableLength + stream.writableLength).toBe(0);
    // Thrown by the stream when nobody listens.
    const closed = new Promise((resolve) => stream.once('close', resolve));
    stream.destroy(new Error('ECONNRESET'));
    await closed;
  });

  test('an announced length that is too much is refused before a byte came', async () => {
    await expect(readBody(request({ 'content-length': '4' }).req, 3)).rejects.toMatchObject({ kind: 'TooLarge' });
  });

  test.each(['with an error', 'without'])('a client that goes away %s is a bad request', async (how) => {
    const { req, stream } = request();
    const body = readBody(req, 3);
    stream.write('a');
    stream.destroy(how === 'without' ? undefined : new Error('ECONNRESET'));
    await expect(body).rejects.toMatchObject({ kind: 'BadRequest', message: 'the request body ended early' });
    await expect(readBody(req, 3)).rejects.toMatchObject({ kind: 'BadRequest' });
  });

  test('one that was read to its end before is empty', async () => {
    const { req, stream } = request();
    stream.end('abc');
    await readBody(req, 3);
    expect((await readBody(req, 3)).length).toBe(0);
  });
});
