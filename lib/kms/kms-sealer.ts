/**
 * Seals with data-encryption keys that a KMS plugin wraps. Each server has one of its own at a time, makes it at random, and has
 * it wrapped once; the wrapped key travels in each value's envelope, so that servers need to tell each other nothing. Wrapped
 * keys are unwrapped once and kept, so that reading many values costs one call. Source: KEP-3299.
 *
 * A new key is made when the plugin's key_id changes, and each day. When the plugin has not been healthy for three minutes
 * nothing is sealed any more; what can be opened with keys already unwrapped still is.
 */
import { createHash, randomBytes } from 'node:crypto';
import { type Ctx, messageOf, type Random, StatusError } from '#lib/base';
import { KEY_BYTES, KeyCipher, parseEnvelope, type SealedValue, type Sealer } from '#lib/store';
import type { KmsPlugin, WrappedKey } from './plugin.ts';

export interface KmsSealerOptions {
  readonly plugin: KmsPlugin;
  /** Opens values of the key file, from before the plugin. */
  readonly local?: Sealer | undefined;
  readonly random: Random;
}

interface DataKey {
  readonly cipher: KeyCipher;
  readonly ref: Buffer;
  /** What the plugin called its key when this was wrapped, by `keyId` and by its answer. */
  readonly statusKeyId: string;
  readonly keyId: string;
  readonly madeAtMs: number;
}

const STATUS_MS = 60_000;
const UNHEALTHY_STATUS_MS = 10_000;
const STALE_MS = 3 * 60_000;
const KEY_LIFE_MS = 24 * 3_600_000;
const OPENED_KEYS_MAX = 10_000;

export class KmsSealer implements Sealer {
  readonly #o: KmsSealerOptions;
  /** By digest of the reference; oldest first. */
  readonly #opened = new Map<string, KeyCipher>();
  readonly #opening = new Map<string, Promise<KeyCipher>>();
  #keyId = '';
  #healthyAtMs = Number.NEGATIVE_INFINITY;
  #problem: unknown;
  #current: DataKey | undefined;
  #making: Promise<DataKey> | undefined;

  private constructor(o: KmsSealerOptions) {
    this.#o = o;
  }

  /** Throws Unavailable when the plugin is not healthy: a server that cannot open Secrets does not start. */
  static async open(o: KmsSealerOptions, c: Ctx): Promise<KmsSealer> {
    const sealer = new KmsSealer(o);
    await sealer.#ask(c);
    await sealer.#dataKey(c);
    return sealer;
  }

  /** Asks the plugin how it is, until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    while (!c.signal.aborted) {
      await c.clock
        .sleep(this.#problem === undefined ? STATUS_MS : UNHEALTHY_STATUS_MS, c.signal)
        .catch(() => undefined);
      if (c.signal.aborted) return;
      await this.#ask(c).catch((e: unknown) => c.log.error({ err: messageOf(e) }, 'the KMS plugin is not healthy'));
    }
  }

  /** For /readyz: throws why the plugin is not healthy. */
  requireHealthy(): void {
    if (this.#problem !== undefined) throw this.#problem;
  }

  get keyId(): string {
    return this.#current?.keyId ?? '';
  }

  async seal(storeKey: string, value: Buffer, c: Ctx): Promise<SealedValue> {
    const { cipher, ref } = await this.#dataKey(c);
    return { value: cipher.seal({ provider: 'kms', ref, storeKey, value }) };
  }

  async open(storeKey: string, sealed: Buffer, c: Ctx): Promise<Buffer> {
    const envelope = parseEnvelope(storeKey, sealed);
    if (envelope.provider === 'kms') {
      const cipher = await this.#unwrapped(storeKey, envelope.ref, c);
      try {
        return cipher.open(envelope, storeKey);
      } catch (e) {
        // Perhaps what the plugin gave is not the key: it is asked again next time.
        this.#opened.delete(digestOf(envelope.ref));
        throw e;
      }
    }
    if (this.#o.local !== undefined) return await this.#o.local.open(storeKey, sealed, c);
    throw new StatusError(
      'Internal',
      `${storeKey} was sealed with key ${envelope.ref.toString('utf8')} of a key file, and this server has none: copy it here`,
    );
  }

  isCurrent(storeKey: string, sealed: Buffer): boolean {
    const { provider, ref } = parseEnvelope(storeKey, sealed);
    return provider === 'kms' && decodeRef(storeKey, ref).keyId === this.keyId;
  }

  /** Asks which key the plugin uses, and makes a new data key if that has changed. */
  async refresh(c: Ctx): Promise<void> {
    await this.#ask(c);
    await this.#dataKey(c);
  }

  async #ask(c: Ctx): Promise<void> {
    try {
      this.#keyId = await this.#o.plugin.keyId(c);
      this.#healthyAtMs = c.clock.monotonic();
      this.#problem = undefined;
    } catch (e) {
      this.#problem = e;
      throw e;
    }
  }

  async #dataKey(c: Ctx): Promise<DataKey> {
    const now = c.clock.monotonic();
    if (now - this.#healthyAtMs > STALE_MS) await this.#ask(c);
    const known = this.#current;
    if (known !== undefined && known.statusKeyId === this.#keyId && now - known.madeAtMs < KEY_LIFE_MS) return known;
    // Who asks meanwhile shares it.
    this.#making ??= this.#makeKey(c).finally(() => {
      this.#making = undefined;
    });
    return await this.#making;
  }

  async #makeKey(c: Ctx): Promise<DataKey> {
    const statusKeyId = this.#keyId;
    const key = randomBytes(KEY_BYTES);
    const wrapped = await this.#o.plugin.encrypt(key, this.#o.random.uuid(), c);
    const ref = encodeRef(wrapped);
    const cipher = this.#keep(digestOf(ref), key);
    this.#current = { cipher, ref, statusKeyId, keyId: wrapped.keyId, madeAtMs: c.clock.monotonic() };
    c.log.info({ keyId: wrapped.keyId }, 'made a data key of Secrets');
    return this.#current;
  }

  async #unwrapped(storeKey: string, ref: Buffer, c: Ctx): Promise<KeyCipher> {
    const digest = digestOf(ref);
    const known = this.#opened.get(digest);
    if (known !== undefined) return known;
    let opening = this.#opening.get(digest);
    if (opening === undefined) {
      opening = this.#unwrap(storeKey, ref, digest, c).finally(() => this.#opening.delete(digest));
      this.#opening.set(digest, opening);
    }
    return await opening;
  }

  async #unwrap(storeKey: string, ref: Buffer, digest: string, c: Ctx): Promise<KeyCipher> {
    const key = await this.#o.plugin.decrypt(decodeRef(storeKey, ref), this.#o.random.uuid(), c);
    if (key.byteLength !== KEY_BYTES)
      throw new StatusError('Internal', `the KMS plugin gave ${key.byteLength} bytes for the key of ${storeKey}`);
    return this.#keep(digest, key);
  }

  #keep(digest: string, key: Buffer): KeyCipher {
    const cipher = new KeyCipher(key);
    this.#opened.set(digest, cipher);
    const [oldest] = this.#opened.keys();
    if (this.#opened.size > OPENED_KEYS_MAX && oldest !== undefined) this.#opened.delete(oldest);
    return cipher;
  }
}

function digestOf(ref: Buffer): string {
  return createHash('sha256').update(ref).digest('base64');
}

function encodeRef(w: WrappedKey): Buffer {
  const annotations = Object.entries(w.annotations).map(([name, value]) => [name, value.toString('base64')]);
  return Buffer.from(JSON.stringify([w.keyId, w.ciphertext.toString('base64'), annotations]));
}

function decodeRef(storeKey: string, ref: Buffer): WrappedKey {
  try {
    const [keyId, ciphertext, annotations] = JSON.parse(ref.toString('utf8')) as [string, string, [string, string][]];
    const entries = annotations.map(([name, value]) => [name, Buffer.from(value, 'base64')] as const);
    return { keyId, ciphertext: Buffer.from(ciphertext, 'base64'), annotations: Object.fromEntries(entries) };
  } catch (e) {
    throw new StatusError('Internal', `the value of ${storeKey} cannot be opened: its key reference is damaged`, {
      cause: e,
    });
  }
}
