import { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Kinds, type KubeObject, kindInfo } from '#lib/api';
import { StatusError, silentLogger, VirtualClock } from '#lib/base';
import type { Revision } from '#lib/store';
import { cachedOf, encodeStored } from '../cache/cached.ts';
import type { CacheEvent } from '../cache/watcher.ts';
import type { WatchItem } from '../handlers/watch.ts';
import { WatchPace } from './watch-pace.ts';
import { sendWatch } from './watch-stream.ts';

const KIND = kindInfo(Kinds.configmaps);
/** Of so many streams. */
const BEAT_MS = 50;

function eventOf(name: string, text = ''): CacheEvent {
  const object = { kind: 'ConfigMap', apiVersion: 'v1', metadata: { name, namespace: 'a' }, data: { text } };
  const cached = cachedOf(
    `/registry/core/configmaps/a/${name}`,
    object as KubeObject,
    encodeStored(object),
    7n as Revision,
  );
  return { type: 'ADDED', cached, previous: undefined, revision: 7n as Revision, atMs: 0, frames: undefined };
}

function eventsItem(...events: CacheEvent[]): WatchItem {
  return { type: 'events', events: events.map((event) => ({ type: event.type, cached: event.cached, event })) };
}

const BOOKMARK: WatchItem = { type: 'bookmark', resourceVersion: '9', initialEventsEnd: true };

/** A stream among 1000, or alone, whose client reads when told to. */
function stream(o: { isAlone?: boolean; isStuck?: boolean } = {}) {
  const clock = new VirtualClock();
  const pace = new WatchPace(clock);
  for (let i = 0; o.isAlone !== true && i < 1_000; i++) pace.open();
  let isStuck = o.isStuck === true;
  const writes: string[] = [];
  const stuck: (() => void)[] = [];
  const socket = new Duplex({
    read: () => undefined,
    write: (bytes: Buffer, _encoding, done) => {
      writes.push(bytes.toString());
      if (isStuck) stuck.push(done);
      else done();
    },
  }) as Socket;
  const res = new ServerResponse(new IncomingMessage(socket));
  res.useChunkedEncodingByDefault = false;
  res.assignSocket(socket);
  // As Node's server does.
  socket.on('drain', () => res.emit('drain'));
  const abort = new AbortController();
  res.once('close', () => abort.abort(new DOMException('the client has gone', 'AbortError')));

  const queue: (WatchItem | Error)[] = [];
  let wake: () => void = () => undefined;
  const state = { taken: 0, isReleased: false, isSent: false };
  const items = async function* (): AsyncIterable<WatchItem> {
    try {
      for (;;) {
        if (abort.signal.aborted) return;
        const item = queue.shift();
        if (item instanceof Error) throw item;
        if (item !== undefined) {
          state.taken++;
          yield item;
          continue;
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
          abort.signal.addEventListener('abort', () => resolve(), { once: true });
        });
      }
    } finally {
      state.isReleased = true;
    }
  };
  const put = async (...more: (WatchItem | Error)[]): Promise<void> => {
    queue.push(...more);
    wake();
    await clock.advance(0);
  };
  const form = { as: 'object', yaml: false } as const;
  const answer = { res, form, pretty: false, acceptsGzip: false, includeObject: 'Metadata', now: () => 0 } as const;
  const c = { signal: abort.signal, clock, log: silentLogger };
  void sendWatch({ ...answer, pace }, KIND, items(), c).then(() => {
    state.isSent = true;
  });
  /** Types and names, in order, behind the headers. */
  const told = (): string[] => {
    const lines = writes
      .join('')
      .split('\r\n\r\n')
      .slice(1)
      .join('')
      .split('\n')
      .filter((l) => l.startsWith('{'));
    return lines.map((l) => {
      const { type, object } = JSON.parse(l) as { type: string; object: Partial<KubeObject> & { message?: string } };
      return `${type} ${object.metadata?.name ?? object.message ?? object.metadata?.resourceVersion}`;
    });
  };
  const read = (): void => {
    isStuck = false;
    for (const done of stuck.splice(0)) done();
  };
  return { clock, writes, state, put, told, abort, res, read };
}

describe('a watch stream', () => {
  test('among many: writes at once when idle, then what a beat brought', async () => {
    const { clock, put, told } = stream();
    await put(eventsItem(eventOf('a')));
    expect(told()).toEqual(['ADDED a']);
    await put(eventsItem(eventOf('b'), eventOf('c')), BOOKMARK);
    await clock.advance(BEAT_MS - 1);
    expect(told()).toEqual(['ADDED a']);
    await clock.advance(1);
    expect(told()).toEqual(['ADDED a', 'ADDED b', 'ADDED c']);
    await clock.advance(BEAT_MS);
    expect(told().at(-1)).toBe('BOOKMARK 9');
  });

  test('alone it waits for nothing', async () => {
    const { put, told, clock } = stream({ isAlone: true });
    await put(eventsItem(eventOf('a')), eventsItem(eventOf('b')), BOOKMARK);
    expect(told()).toEqual(['ADDED a', 'ADDED b', 'BOOKMARK 9']);
    expect(clock.nextAt()).toBeUndefined();
  });

  test.each(['stops', 'loses the client'])('that gathers when the server %s ends by the beat', async (how) => {
    const { clock, put, told, abort, res, state } = stream();
    await put(eventsItem(eventOf('a')));
    await put(eventsItem(eventOf('b')));
    if (how === 'stops') abort.abort(new Error('stopping'));
    else res.destroy();
    await clock.advance(BEAT_MS);
    expect(state).toMatchObject({ isSent: true, isReleased: true });
    expect(told()).toEqual(['ADDED a']);
    expect(how === 'stops' ? res.writableEnded : res.destroyed).toBe(true);
  });

  test('whose client does not read takes nothing more until it does', async () => {
    const { put, told, read, state } = stream({ isAlone: true, isStuck: true });
    await put(eventsItem(eventOf('a', 'x'.repeat(100_000))), eventsItem(eventOf('b')));
    expect(state.taken).toBe(1);
    read();
    await expect.poll(told).toEqual(['ADDED a', 'ADDED b']);
  });

  test.each(['stops', 'loses the client'])('that is not read when the server %s ends at once', async (how) => {
    const { put, abort, res, state } = stream({ isAlone: true, isStuck: true });
    await put(eventsItem(eventOf('a', 'x'.repeat(100_000))));
    if (how === 'stops') abort.abort(new Error('stopping'));
    else res.destroy();
    await expect.poll(() => state).toMatchObject({ isSent: true, isReleased: true });
  });

  test('that is not read for minutes is cut off, and what waited for it is let go', async () => {
    const { clock, put, res, state } = stream({ isAlone: true, isStuck: true });
    await put(eventsItem(eventOf('a', 'x'.repeat(100_000))));
    await clock.advance(5 * 60_000 - 1);
    expect(res.destroyed).toBe(false);
    await clock.advance(1);
    expect(res.destroyed).toBe(true);
    expect(state).toMatchObject({ isSent: true, isReleased: true });
    expect(clock.nextAt()).toBeUndefined();
  });

  test('that is read slowly goes on', async () => {
    const { clock, put, told, read, res } = stream({ isAlone: true, isStuck: true });
    await put(eventsItem(eventOf('a', 'x'.repeat(100_000))), eventsItem(eventOf('b')));
    await clock.advance(4 * 60_000);
    read();
    await expect.poll(told).toEqual(['ADDED a', 'ADDED b']);
    await clock.advance(10 * 60_000);
    expect(res.destroyed).toBe(false);
  });

  test('a large first state goes in pieces, in order', async () => {
    const { put, told, writes } = stream({ isAlone: true });
    const names = Array.from({ length: 20 }, (_, i) => `n${i}`);
    await put(eventsItem(...names.map((n) => eventOf(n, 'x'.repeat(50_000)))));
    await expect.poll(told).toEqual(names.map((n) => `ADDED ${n}`));
    expect(Math.max(...writes.map((w) => w.length))).toBeLessThan(400_000);
  });

  test('what ends it is told by an ERROR, behind what was told before', async () => {
    const { clock, put, told, res } = stream();
    await put(eventsItem(eventOf('a')), new StatusError('Expired', 'too old'));
    await clock.advance(BEAT_MS);
    expect(told()).toEqual(['ADDED a', 'ERROR too old']);
    expect(res.writableEnded).toBe(true);
  });
});
