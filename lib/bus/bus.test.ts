import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryBus } from './memory.ts';
import { Subjects, subjectMatches, token } from './subjects.ts';

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('MemoryBus: delivers to matching subscriptions until they are disposed', async () => {
  await using bus = new MemoryBus();
  const seen: string[] = [];
  const subscription = bus.subscribe('berth.events.*', (m) => seen.push(`${m.subject} ${Buffer.from(m.data)}`));
  bus.publish('berth.events.a', 'one');
  bus.publish('berth.events.a.b', 'not this');
  bus.publish('berth.sessions.a', 'nor this');
  await settled();
  subscription[Symbol.dispose]();
  bus.publish('berth.events.a', 'two');
  await settled();
  expect(seen).toEqual(['berth.events.a one']);
});

test('subjectMatches: NATS wildcards', () => {
  const table: [string, string, boolean][] = [
    ['a.b', 'a.b', true],
    ['a.b', 'a.c', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a', false],
    ['a.*', 'a.b.c', false],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['>', 'a', true],
  ];
  for (const [pattern, subject, expected] of table)
    expect(subjectMatches(pattern, subject), `${pattern} ${subject}`).toBe(expected);
});

test('token: any name becomes one token, different names different ones', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.string(), (a, b) => {
      expect(token(a)).toMatch(/^[A-Za-z0-9_%-]+$/);
      expect(token(a) === token(b)).toBe(a === b);
    }),
  );
  expect(subjectMatches(Subjects.allSessions, Subjects.session('node.example.com'))).toBe(true);
});
