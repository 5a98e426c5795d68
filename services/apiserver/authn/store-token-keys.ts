/**
 * The keys of service account tokens, in one record of the store outside the registry: every API server of the cluster
 * reads the same ones, no watcher ever sees them, and a sealing Store keeps them sealed.
 *
 * ES256 (P-256): tokens are a third shorter than RS256's, and a key is made in a millisecond at the first start.
 * Rotation: a new key is published at once and signs `LEAD_MS` later, when every replica (which reads the record each
 * `REFRESH_MS`, and at an unknown kid) and every relying party has had time to learn it; a key verifies until the longest
 * token it may have signed has ended. Source: kubernetes pkg/serviceaccount/keys.go, openidmetadata.go (kid, kinds of keys).
 */
import { createPrivateKey, createPublicKey, generateKeyPair } from 'node:crypto';
import { promisify } from 'node:util';
import { assert, type Clock, type Ctx, isKind, type Logger, raceAbort, StatusError } from '#lib/base';
import { algorithmsOf, keyIdOf, type NamedKey, type SigningKey, type TokenKeys } from '#lib/pki';
import type { Entry, Store } from '#lib/store';

export const TOKEN_KEYS_KEY = '/berth/service-account-keys';

const LEAD_MS = 10 * 60_000;
const REFRESH_MS = 60_000;
/** Between two readings that unknown key ids cause: those come from anybody. */
const UNKNOWN_KID_MS = 5_000;
/** A year, the longest token, and a day for clocks that differ. */
const KEEP_MS = 366 * 24 * 3_600_000;
const KEYS_MAX = 32;
const WRITE_ATTEMPTS = 8;

/** As stored; times are ms since the epoch. */
interface KeyRecord {
  /** PKCS#8 PEM. */
  readonly privateKey: string;
  readonly signsFrom: number;
  /** Of the rotation that made it. */
  readonly request?: string | undefined;
}

/** What a rotation came to; times are ms since the epoch. */
export interface Rotated {
  readonly kid: string;
  readonly signsFromMs: number;
  readonly previousKid: string;
  /** Until then the previous key verifies what it signed. */
  readonly previousUntilMs: number;
}

interface LoadedKey {
  readonly signing: SigningKey;
  readonly verifying: NamedKey;
  readonly signsFrom: number;
}

const generate = promisify(generateKeyPair);

export class StoreTokenKeys implements TokenKeys {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Logger;
  /** Of this process: a reading serves many, and outlives the request that began it. */
  readonly #own: Ctx;
  /** Oldest first; never empty once open. */
  #keys: readonly LoadedKey[] = [];
  #readAtMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  private constructor(o: { store: Store; clock: Clock; log: Logger }, own: Ctx) {
    this.#own = own;
    this.#store = o.store;
    this.#clock = o.clock;
    this.#log = o.log;
  }

  /** Makes the first key where there is none: of several servers that start together one wins, and all use its key. */
  static async open(o: { store: Store; clock: Clock; log: Logger }, c: Ctx): Promise<StoreTokenKeys> {
    const keys = new StoreTokenKeys(o, c);
    if ((await o.store.get(TOKEN_KEYS_KEY, c)) === undefined) {
      const first = { privateKey: await newPrivateKey(), signsFrom: 0 };
      try {
        await o.store.create(TOKEN_KEYS_KEY, encode([first]), {}, c);
      } catch (e) {
        if (!isKind(e, 'AlreadyExists')) throw e;
      }
    }
    await keys.#read();
    return keys;
  }

  /** Reads the record again and again until the signal aborts; keys that are known stay usable while the store is away. */
  async run(c: Ctx): Promise<void> {
    while (!c.signal.aborted) {
      await this.#clock.sleep(REFRESH_MS, c.signal);
      try {
        await this.#read();
      } catch (err) {
        if (c.signal.aborted) return;
        this.#log.warn({ err }, 'the keys of service account tokens could not be read');
      }
    }
  }

  signer(): SigningKey {
    const now = this.#clock.now();
    const key = this.#keys.findLast((k) => k.signsFrom <= now) ?? this.#keys[0];
    assert(key !== undefined, 'token keys are used before they are open');
    return key.signing;
  }

  verifiers(): readonly NamedKey[] {
    const { kid } = this.signer();
    const all = this.#live().map((k) => k.verifying);
    return [...all.filter((k) => k.kid === kid), ...all.filter((k) => k.kid !== kid)];
  }

  async verifierOf(kid: string, c: Ctx): Promise<NamedKey | undefined> {
    const known = this.#known(kid);
    if (known !== undefined) return known;
    // Who comes while a reading is under way waits for it: it may bring the key.
    const isFresh = this.#clock.monotonic() - this.#readAtMs < UNKNOWN_KID_MS;
    if (isFresh && this.#reading === undefined) return undefined;
    c.signal.throwIfAborted();
    await raceAbort(this.#read(), c.signal);
    return this.#known(kid);
  }

  /**
   * Adds a key that signs in ten minutes. Throws TooManyRequests while an earlier one has not begun to. With the id of a
   * `request`: adds none when that request has its key already.
   */
  async rotate(c: Ctx, request?: string): Promise<Rotated> {
    const privateKey = await newPrivateKey();
    for (let attempt = 1; ; attempt++) {
      const entry = await this.#entry(c);
      const now = this.#clock.now();
      const records = live(decode(entry), now);
      const done = request === undefined ? -1 : records.findIndex((r) => r.request === request);
      if (done >= 0) {
        await this.#read();
        return rotated(records, done);
      }
      if (records.some((r) => r.signsFrom > now))
        throw new StatusError('TooManyRequests', 'the last rotation has not ended: its key does not sign yet');
      if (records.length >= KEYS_MAX)
        throw new StatusError('TooManyRequests', `there are ${KEYS_MAX} keys whose tokens may still be in use`);
      const next = [...records, { privateKey, signsFrom: now + LEAD_MS, request }];
      try {
        await this.#store.update(TOKEN_KEYS_KEY, encode(next), entry.revision, {}, c);
        await this.#read();
        return rotated(next, next.length - 1);
      } catch (e) {
        if (!isKind(e, 'Conflict') || attempt >= WRITE_ATTEMPTS) throw e;
      }
    }
  }

  #known(kid: string): NamedKey | undefined {
    return this.#live().find((k) => k.verifying.kid === kid)?.verifying;
  }

  #live(): readonly LoadedKey[] {
    return live(this.#keys, this.#clock.now());
  }

  /** One reading at a time serves all that wait. */
  async #read(): Promise<void> {
    this.#reading ??= this.#load(this.#own).finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #load(c: Ctx): Promise<void> {
    this.#readAtMs = this.#clock.monotonic();
    const records = decode(await this.#entry(c));
    this.#keys = records.map(load);
  }

  async #entry(c: Ctx): Promise<Entry> {
    const entry = await this.#store.get(TOKEN_KEYS_KEY, c);
    if (entry === undefined)
      throw new StatusError('Unavailable', `${TOKEN_KEYS_KEY} is gone: a server that starts makes new keys`);
    return entry;
  }
}

/** Without keys whose successor has signed for longer than any token lives. */
function live<T extends { readonly signsFrom: number }>(keys: readonly T[], now: number): readonly T[] {
  return keys.filter((_, i) => {
    const successor = keys[i + 1];
    return successor === undefined || successor.signsFrom + KEEP_MS > now;
  });
}

function rotated(records: readonly KeyRecord[], index: number): Rotated {
  const record = records[index];
  assert(record !== undefined, 'a rotation has a key');
  const previous = records[index - 1] ?? record;
  const kidOf = (r: KeyRecord): string => load(r).signing.kid;
  const previousUntilMs = record.signsFrom + KEEP_MS;
  return { kid: kidOf(record), signsFromMs: record.signsFrom, previousKid: kidOf(previous), previousUntilMs };
}

async function newPrivateKey(): Promise<string> {
  const { privateKey } = await generate('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function load(record: KeyRecord): LoadedKey {
  const privateKey = createPrivateKey(record.privateKey);
  const publicKey = createPublicKey(privateKey);
  const kid = keyIdOf(publicKey);
  const [algorithm] = algorithmsOf(publicKey);
  if (algorithm === undefined) throw new StatusError('Internal', `${TOKEN_KEYS_KEY} holds a key that cannot sign`);
  return {
    signing: { kid, algorithm, privateKey },
    verifying: { kid, algorithms: [algorithm], publicKey },
    signsFrom: record.signsFrom,
  };
}

function encode(keys: readonly KeyRecord[]): Buffer {
  return Buffer.from(JSON.stringify({ keys }));
}

function decode(entry: Entry): readonly KeyRecord[] {
  const value = JSON.parse(entry.value.toString('utf8')) as { keys?: readonly KeyRecord[] };
  const keys = value.keys ?? [];
  if (keys.length === 0) throw new StatusError('Internal', `${TOKEN_KEYS_KEY} holds no key`);
  return keys;
}
