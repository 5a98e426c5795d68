import { expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { Filters } from '../http/filters.ts';
import { microsOf } from '../http/timestamps.ts';
import type { EngineEvent } from '../parts.ts';
import { Events } from './events.ts';
import { EVENT_FILTERS, matches } from './filter.ts';

const clock = new VirtualClock(1_700_000_000_123);
const context = (signal = new AbortController().signal): Ctx => ({ signal, clock, log: silentLogger });

const start: EngineEvent = {
  type: 'container',
  action: 'start',
  id: 'abcdef0123',
  attributes: { image: 'alpine:3', name: 'web', tier: 'front' },
};
const connect: EngineEvent = { type: 'network', action: 'connect', id: 'n1', attributes: { name: 'bridge' } };

test('events: fields below 1.52, nanoseconds that grow though the clock stands still', () => {
  const events = new Events(clock);
  using following = events.follow({ since: 0 }, context());
  events.emit(start);
  events.emit(connect);
  events.emit({ type: 'image', action: 'pull', id: 'alpine:3', attributes: { name: 'alpine' } });
  const lines = events.follow({ since: 0 }, context()).past.map((e) => e.line);
  expect(lines).toEqual([
    '{"status":"start","id":"abcdef0123","from":"alpine:3","Type":"container","Action":"start","Actor":{"ID":"abcdef0123","Attributes":{"image":"alpine:3","name":"web","tier":"front"}},"scope":"local","time":1700000000,"timeNano":1700000000123000000}\n',
    '{"Type":"network","Action":"connect","Actor":{"ID":"n1","Attributes":{"name":"bridge"}},"scope":"local","time":1700000000,"timeNano":1700000000123001000}\n',
    '{"status":"pull","id":"alpine:3","Type":"image","Action":"pull","Actor":{"ID":"alpine:3","Attributes":{"name":"alpine"}},"scope":"local","time":1700000000,"timeNano":1700000000123002000}\n',
  ]);
  expect(following.next.size).toBe(3);
});

test('events: the last 256 are kept; the past is given only to those who name a time, both ends included', async () => {
  const events = new Events(clock);
  for (let i = 0; i < 300; i++) events.emit({ ...start, action: `a${i}` });
  const all = events.follow({ since: 0 }, context()).past;
  expect(all.map((e) => e.event.action)).toEqual(Array.from({ length: 256 }, (_, i) => `a${i + 44}`));
  expect(events.follow({}, context()).past).toEqual([]);
  const [since, until] = [all[10]?.micros, all[12]?.micros];
  expect(events.follow({ since, until }, context()).past).toHaveLength(3);
  expect(events.follow({ until }, context()).past).toHaveLength(13);
});

test('events: one that reads too slowly is ended, the others go on; who goes away is forgotten', async () => {
  const events = new Events(clock);
  const slow = events.follow({}, context());
  const abort = new AbortController();
  const fast = events.follow({}, context(abort.signal));
  for (let i = 0; i < 1025; i++) {
    events.emit(start);
    await fast.next.next();
  }
  expect(events.followers).toBe(1);
  const drain = async (): Promise<void> => {
    for await (const _ of slow.next);
  };
  await expect(drain()).rejects.toThrow('too slow');
  abort.abort();
  expect(events.followers).toBe(0);
  expect((await fast.next.next()).done).toBe(true);
});

test.each<[Record<string, string[]>, EngineEvent, boolean]>([
  [{}, start, true],
  [{ type: ['container'] }, start, true],
  [{ type: ['network'] }, start, false],
  [{ container: ['abc'] }, start, true],
  [{ container: ['we'] }, start, true],
  [{ container: ['other'] }, start, false],
  [{ container: ['web'] }, connect, false],
  [{ network: ['bri'] }, connect, true],
  [{ event: ['start'] }, start, true],
  [{ event: ['star'] }, start, false],
  [{ event: ['exec_create'] }, { ...start, action: 'exec_create: sh -c x' }, true],
  [{ event: ['exec_create: sh'] }, { ...start, action: 'exec_create: sh -c x' }, false],
  [{ event: ['health_status'] }, { ...start, action: 'health_status: healthy' }, true],
  [{ event: ['health_status: healthy'] }, { ...start, action: 'health_status: healthy' }, true],
  [{ image: ['alpine'] }, start, true],
  [{ image: ['alpine:3'] }, start, true],
  [{ image: ['alpine:4'] }, start, false],
  [{ image: ['reg:5000/a'] }, { ...start, attributes: { image: 'reg:5000/a:v1' } }, true],
  [{ label: ['tier=front'] }, start, true],
  [{ label: ['tier', 'name=web'] }, start, true],
  [{ label: ['tier=back'] }, start, false],
  [{ scope: ['swarm'] }, start, false],
  [{ type: ['container', 'network'], event: ['start', 'connect'] }, connect, true],
])('event filter %j', (asked, event, is) => {
  expect(matches(event, Filters.parse(JSON.stringify(asked), EVENT_FILTERS))).toBe(is);
});

test('times of clients: seconds with or without a fraction', () => {
  expect(microsOf('1700000000')).toBe(1_700_000_000_000_000);
  expect(microsOf('1700000000.5')).toBe(1_700_000_000_500_000);
  expect(microsOf('1700000000.123456789')).toBe(1_700_000_000_123_456);
  expect([microsOf(''), microsOf(undefined)]).toEqual([undefined, undefined]);
  expect(() => microsOf('yesterday')).toThrow('failed to parse value as time');
});
