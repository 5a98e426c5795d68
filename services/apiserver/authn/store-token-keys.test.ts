import { describe, expect, test } from 'vitest';
import { type Ctx, silentLogger, VirtualClock } from '#lib/base';
import { isSignedBy, parseJwt, signJwt } from '#lib/pki';
import { MemoryStore } from '#lib/store';
import { StoreTokenKeys, TOKEN_KEYS_KEY } from './store-token-keys.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;

function world() {
  const clock = new VirtualClock();
  const store = new MemoryStore({ clock });
  const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
  const open = () => StoreTokenKeys.open({ store, clock, log: silentLogger }, c);
  return { clock, store, c, open };
}

describe('keys of service account tokens', () => {
  test('servers that start together on one store sign with the same key', async () => {
    const { open, store, c } = world();
    const [a, b] = await Promise.all([open(), open()]);
    expect(a.signer().kid).toBe(b.signer().kid);
    expect(a.verifiers().map((k) => k.kid)).toEqual([a.signer().kid]);
    expect((await open()).signer().kid).toBe(a.signer().kid);
    expect((await store.get(TOKEN_KEYS_KEY, c))?.key.startsWith('/registry/')).toBe(false);
  });

  test('a rotation is published at once and signs ten minutes later; what the old key signed still verifies', async () => {
    const { open, clock, c } = world();
    const [a, b] = [await open(), await open()];
    const old = a.signer();
    const token = parseJwt(signJwt({ sub: 'x' }, old));
    await a.rotate(c);
    expect(a.signer().kid).toBe(old.kid);
    expect(a.verifiers()).toHaveLength(2);
    await expect(a.rotate(c)).rejects.toMatchObject({ kind: 'TooManyRequests' });
    await clock.advance(10 * MINUTE);
    const fresh = a.signer();
    expect(fresh.kid).not.toBe(old.kid);
    expect(a.verifiers()[0]?.kid).toBe(fresh.kid);
    // The other server has not read the record since: an unknown kid makes it do so.
    expect((await b.verifierOf(fresh.kid, c))?.kid).toBe(fresh.kid);
    const verifier = await b.verifierOf(old.kid, c);
    expect(token !== undefined && verifier !== undefined && isSignedBy(token, verifier)).toBe(true);
  });

  test('a key goes when the last token that it may have signed is over', async () => {
    const { open, clock, c } = world();
    const keys = await open();
    const old = keys.signer().kid;
    await keys.rotate(c);
    await clock.advance(10 * MINUTE + 366 * DAY - 1);
    expect(await keys.verifierOf(old, c)).toBeDefined();
    await clock.advance(2);
    expect(await keys.verifierOf(old, c)).toBeUndefined();
    await keys.rotate(c);
    expect(keys.verifiers()).toHaveLength(2);
  });

  test('unknown key ids make one reading in five seconds', async () => {
    const { open, clock, store, c } = world();
    const keys = await open();
    let readings = 0;
    const get = store.get.bind(store);
    store.get = async (key, ctx) => {
      if (key === TOKEN_KEYS_KEY) readings++;
      return await get(key, ctx);
    };
    await clock.advance(5_000);
    for (let i = 0; i < 20; i++) expect(await keys.verifierOf(`forged-${i}`, c)).toBeUndefined();
    expect(readings).toBe(1);
    await clock.advance(5_000);
    await keys.verifierOf('forged', c);
    expect(readings).toBe(2);
  });

  test('the record is read every minute, and a store that is away costs no key', async () => {
    const { open, clock, store } = world();
    const [a, b] = [await open(), await open()];
    const stop = new AbortController();
    const c: Ctx = { signal: stop.signal, clock, log: silentLogger };
    const running = b.run(c).catch((e: unknown) => e);
    await a.rotate(c);
    await clock.advance(MINUTE);
    expect(b.verifiers()).toHaveLength(2);
    store.get = async () => {
      throw new Error('away');
    };
    await clock.advance(10 * MINUTE);
    expect(b.signer().kid).toBe(a.signer().kid);
    stop.abort();
    await running;
  });
});
