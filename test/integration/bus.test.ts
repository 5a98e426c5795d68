import { expect, test } from 'vitest';
import { realClock, silentLogger } from '#lib/base';
import { NatsBus } from '#lib/bus';
import { startNats } from '../harness/nats.ts';
import { eventually, freePort } from '../harness/process.ts';

const c = { clock: realClock, log: silentLogger };

test('NatsBus: carries messages between connections', async () => {
  await using nats = await startNats();
  await using one = NatsBus.connect({ servers: [nats.url] }, c);
  await using two = NatsBus.connect({ servers: [nats.url] }, c);
  const seen: string[] = [];
  two.subscribe('berth.events.>', (m) => seen.push(`${m.subject} ${Buffer.from(m.data)}`));
  await eventually(() => one.healthy && two.healthy, 'both connect');
  await eventually(() => {
    one.publish('berth.events.a', 'hello');
    return seen.length > 0;
  }, 'a message arrives');
  expect(seen[0]).toBe('berth.events.a hello');
});

test.each([
  [['--user', 'me', '--pass', '1:p@ss'], { user: 'me', password: '1:p@ss' }],
  [['--auth', 'a-token'], { token: 'a-token' }],
])('NatsBus: shows its credentials, and without the right ones it is not connected: %j', async (args, credentials) => {
  await using nats = await startNats({ args });
  await using right = NatsBus.connect({ servers: [nats.url], credentials }, c);
  await using none = NatsBus.connect({ servers: [nats.url] }, c);
  await using wrong = NatsBus.connect({ servers: [nats.url], credentials: { user: 'me', password: 'other' } }, c);
  await eventually(() => right.healthy, 'who has them connects');
  expect([none.healthy, wrong.healthy]).toEqual([false, false]);
});

test('NatsBus: neither throws nor grows while NATS is away, and goes on by itself when it returns', async () => {
  await using nats = await startNats();
  await using bus = NatsBus.connect({ servers: [nats.url] }, c);
  const seen: string[] = [];
  bus.subscribe('x', (m) => seen.push(Buffer.from(m.data).toString()));
  await eventually(() => bus.healthy, 'it connects');
  await nats.process.kill();
  await eventually(() => !bus.healthy, 'it notices');
  for (let i = 0; i < 5_000; i++) bus.publish('x', `${i}`);
  await nats.process.start();
  await eventually(() => seen.length >= 1_000, 'the newest thousand arrive');
  expect(seen).toEqual(Array.from({ length: 1_000 }, (_, i) => `${4_000 + i}`));
});

test('NatsBus: a server that was never there is no error, and disposing ends the attempts', async () => {
  const port = await freePort();
  const bus = NatsBus.connect({ servers: [`nats://127.0.0.1:${port}`] }, c);
  bus.publish('x', 'lost');
  expect(bus.healthy).toBe(false);
  await bus[Symbol.asyncDispose]();
});
