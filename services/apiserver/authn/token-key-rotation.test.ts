import { describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger, VirtualClock } from '#lib/base';
import { isSignedBy, parseJwt, signJwt } from '#lib/pki';
import { MemoryStore } from '#lib/store';
import { StoreTokenKeys } from './store-token-keys.ts';
import { requestTokenKeyRotation, runTokenKeyRotations, TOKEN_KEY_ROTATION_KEY } from './token-key-rotation.ts';

const MINUTE = 60_000;

async function world(servers: number) {
  const clock = new VirtualClock();
  const store = new MemoryStore({ clock });
  const stop = new AbortController();
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
  const own: Ctx = { ...c, signal: stop.signal };
  const all: StoreTokenKeys[] = [];
  for (let i = 0; i < servers; i++) all.push(await StoreTokenKeys.open({ store, clock, log: silentLogger }, c));
  const run = (keys: StoreTokenKeys): void => {
    void keys.run(own).catch(() => undefined);
    void runTokenKeyRotations({ store, keys }, own);
  };
  const ask = (id: string, limitMs = 600_000) => requestTokenKeyRotation(store, { id, limitMs }, c);
  // Their looks would make days of the clock long.
  const end = (): void => stop.abort();
  return { clock, store, c, all, run, ask, end, [Symbol.dispose]: end };
}

/** The clock is moved on until it has settled. */
async function passing<T>(clock: VirtualClock, asked: Promise<T>): Promise<T> {
  const state = { isDone: false };
  const settled = asked.finally(() => {
    state.isDone = true;
  });
  settled.catch(() => undefined);
  for (let i = 0; i < 10_000 && !state.isDone; i++) {
    await clock.advance(100);
    // Keys are made beside the event loop.
    await realClock.sleep(1);
  }
  return await settled;
}

describe('a new key for service account tokens, on request', () => {
  test('one server makes it, all take it up; the old one verifies what it signed until the last of it has ended', async () => {
    using w = await world(3);
    for (const keys of w.all) w.run(keys);
    const [a, b] = w.all;
    if (a === undefined || b === undefined) throw new Error('two servers');
    const old = a.signer();
    const token = parseJwt(signJwt({ sub: 'x' }, old));
    const done = await passing(w.clock, w.ask('one'));
    expect(done).toMatchObject({ previousKid: old.kid });
    expect(done.kid).not.toBe(old.kid);
    await w.clock.advance(MINUTE);
    for (const keys of w.all) expect(keys.verifiers().map((k) => k.kid)).toEqual([old.kid, done.kid]);
    w.end();
    await w.clock.advance(done.signsFromMs - w.clock.now() - 1);
    expect(b.signer().kid).toBe(old.kid);
    await w.clock.advance(1);
    for (const keys of w.all) expect(keys.signer().kid).toBe(done.kid);
    await w.clock.advance(done.previousUntilMs - w.clock.now() - 1);
    const verifier = await b.verifierOf(old.kid, w.c);
    expect(token !== undefined && verifier !== undefined && isSignedBy(token, verifier)).toBe(true);
    await w.clock.advance(1);
    expect(await b.verifierOf(old.kid, w.c)).toBeUndefined();
  });

  test('a server that died after it had made the key: the next one makes none besides', async () => {
    using w = await world(2);
    const [a, b] = w.all;
    if (a === undefined || b === undefined) throw new Error('two servers');
    const made = await a.rotate(w.c, 'one');
    w.run(b);
    expect(await passing(w.clock, w.ask('one'))).toEqual(made);
    expect(b.verifiers()).toHaveLength(2);
  });

  test('while the last key does not sign yet there is no other one; after that there is', async () => {
    using w = await world(1);
    const [a] = w.all;
    if (a === undefined) throw new Error('a server');
    w.run(a);
    await passing(w.clock, w.ask('one'));
    await expect(passing(w.clock, w.ask('two'))).rejects.toMatchObject({
      kind: 'TooManyRequests',
      message: 'the last rotation has not ended: its key does not sign yet',
    });
    await w.clock.advance(10 * MINUTE);
    await passing(w.clock, w.ask('three'));
    expect(a.verifiers()).toHaveLength(3);
  });

  test('with no server the request stands, and who asks again follows it', async () => {
    using w = await world(1);
    const [a] = w.all;
    if (a === undefined) throw new Error('a server');
    await expect(passing(w.clock, w.ask('one', 1_000))).rejects.toMatchObject({ kind: 'DeadlineExceeded' });
    w.run(a);
    const done = await passing(w.clock, w.ask('two'));
    const record = JSON.parse((await w.store.get(TOKEN_KEY_ROTATION_KEY, w.c))?.value.toString() ?? '');
    expect(record).toMatchObject({ id: 'one', outcome: { key: { kid: done.kid } } });
    expect(JSON.stringify(record)).not.toContain('PRIVATE');
    expect(a.verifiers()).toHaveLength(2);
  });
});
