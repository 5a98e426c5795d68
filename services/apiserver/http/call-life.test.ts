import { getEventListeners } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { TimeLimits, VirtualClock } from '#lib/base';
import { CallLife } from './call-life.ts';

const LIMIT_MS = 60_000;

function call(o: { isLong?: boolean; isBehindAnother?: boolean } = {}) {
  const clock = new VirtualClock();
  const socket = new Duplex({ read: () => undefined, write: (_bytes, _encoding, done) => done() }) as Socket;
  const res = new ServerResponse(new IncomingMessage(socket));
  if (o.isBehindAnother !== true) res.assignSocket(socket);
  const server = new AbortController();
  const limits = new TimeLimits(clock, LIMIT_MS);
  const life = new CallLife(res, { isLong: o.isLong === true, limits, stopping: server.signal });
  return { clock, socket, res, server, life };
}

describe('how long a request may go on', () => {
  test('until its client has gone', () => {
    const { life, res } = call();
    res.emit('close');
    expect(life.signal.reason).toMatchObject({ name: 'AbortError' });
  });

  test('once it is over nothing ends it any more', async () => {
    const { life, res, clock } = call();
    res.flushHeaders();
    life.end();
    await clock.advance(2 * LIMIT_MS);
    res.emit('close');
    expect(life.signal.aborted).toBe(false);
    expect(res.destroyed).toBe(false);
    expect(clock.nextAt()).toBeUndefined();
  });

  test('until its time is over: then an answer that is not read is cut off', async () => {
    const { life, res, clock } = call();
    res.flushHeaders();
    await clock.advance(LIMIT_MS - 1);
    expect(life.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(life.signal.reason).toMatchObject({ kind: 'DeadlineExceeded' });
    expect(res.destroyed).toBe(true);
  });

  test('an answer that begins only when the time is over is cut off as late again', async () => {
    const { life, res, clock } = call();
    await clock.advance(LIMIT_MS);
    expect(life.signal.aborted).toBe(true);
    expect(res.destroyed).toBe(false);
    res.flushHeaders();
    await clock.advance(LIMIT_MS - 1);
    expect(res.destroyed).toBe(false);
    await clock.advance(1);
    expect(res.destroyed).toBe(true);
    life.end();
    await clock.advance(LIMIT_MS);
    expect(clock.nextAt()).toBeUndefined();
  });

  test('an answer that waits behind another of its connection ends with the connection', async () => {
    const { socket, res, clock } = call({ isBehindAnother: true });
    res.end(Buffer.alloc(200_000));
    await clock.advance(LIMIT_MS);
    expect(socket.destroyed).toBe(true);
  });

  test('a connection whose answer was taken serves others', async () => {
    const { socket, res, clock } = call();
    res.once('finish', () => res.detachSocket(socket));
    await new Promise<void>((resolve) => res.end('x', resolve));
    await clock.advance(LIMIT_MS);
    expect(socket.destroyed).toBe(false);
  });

  test('a watch has no limit and ends when the server stops, a short request does not', async () => {
    const [watch, short] = [call({ isLong: true }), call()];
    await watch.clock.advance(10 * LIMIT_MS);
    expect(watch.life.signal.aborted).toBe(false);
    for (const { server } of [watch, short]) server.abort(new Error('stopping'));
    expect(watch.life.signal.reason).toEqual(new Error('stopping'));
    expect(short.life.signal.aborted).toBe(false);
  });

  test('a watch that has ended leaves nothing with the server', () => {
    const { life, server } = call({ isLong: true });
    life.end();
    expect(getEventListeners(server.signal, 'abort')).toEqual([]);
  });
});
