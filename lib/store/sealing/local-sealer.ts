/**
 * Seals with keys of a key file. Which of them seals is said by the record in etcd (sealing-record.ts), and each sealed write
 * carries a compare on that key's permit: when a rotation takes the permit away, a server that has not heard of it cannot
 * write with the old key any more, however late it is.
 *
 * Life: open -> run (in the background, for as long as the server lives). A server that has no key of the cluster, or lacks one
 * that values are sealed with and gets it from nobody, does not open: it says which key is missing, and where it looked.
 */
import { rm } from 'node:fs/promises';
import { backoffMs, type Clock, type Ctx, isKind, type Logger, messageOf, type Random, StatusError } from '#lib/base';
import type { Fence, HeldKey, Store } from '../store.ts';
import { modRevisionOf } from '../store-errors.ts';
import { KeyCipher, parseEnvelope } from './envelope.ts';
import { type LocalKey, newLocalKey, readKeyFile, writeKeyFile } from './key-file.ts';
import { livingKey, Membership } from './members.ts';
import type { SealedValue, Sealer } from './sealer.ts';
import {
  decodeRecord,
  encodeRecord,
  firstRecord,
  forgettable,
  isRotating,
  permitKey,
  SEALING_RECORD_KEY,
  type SealingRecord,
  sealingKeyOf,
} from './sealing-record.ts';

export interface LocalSealerOptions {
  /** The unsealed one. */
  readonly store: Store;
  readonly path: string;
  /** Of this process, different from every other server's. */
  readonly memberId: string;
  readonly random: Random;
  readonly log: Logger;
  readonly leaseSeconds?: number | undefined;
  /** How long a start, and a value, wait for a key that another server has. Default 10 s. */
  readonly keyWaitMs?: number | undefined;
}

interface Current {
  readonly key: LocalKey;
  readonly guard: Fence;
}

const LEASE_SECONDS = 5;
const KEY_WAIT_MS = 10_000;
const ROUND_MS = 5_000;
const BUSY_ROUND_MS = 200;
const KEY_POLL_MS = 50;
const RETRY = { initialMs: 200, maxMs: 5_000 };

export class LocalSealer implements Sealer, AsyncDisposable {
  readonly #o: LocalSealerOptions;
  readonly #store: Store;
  readonly #membership: Membership;
  /** By id; keys are never changed, and there are few. */
  readonly #ciphers = new Map<string, KeyCipher>();
  #keys: ReadonlyMap<string, LocalKey>;
  #record: SealingRecord;
  #current: Current | undefined;
  #held: HeldKey | undefined;
  #round: Promise<void> | undefined;
  #endNap: (() => void) | undefined;
  #isWoken = false;
  #firstOnDisk = '';

  private constructor(o: LocalSealerOptions, keys: readonly LocalKey[], record: SealingRecord) {
    this.#o = o;
    this.#store = o.store;
    this.#membership = new Membership({ store: o.store, id: o.memberId });
    this.#keys = byId(keys);
    this.#record = record;
  }

  /** Makes the first key where neither file nor record is. Throws Invalid or Unavailable when a key is missing here. */
  static async open(o: LocalSealerOptions, c: Ctx): Promise<LocalSealer> {
    const { keys, record } = await keysAndRecord(o, c);
    const sealer = new LocalSealer(o, keys, record);
    try {
      await sealer.#join(c);
      await sealer.lookAfter(c);
      if (sealer.#missing().length > 0) await sealer.#waitFor(() => sealer.#missing().length === 0, c);
      const [missing] = sealer.#missing();
      if (missing !== undefined) throw sealer.#lacks(missing);
      return sealer;
    } catch (e) {
      await sealer[Symbol.asyncDispose]();
      throw e;
    }
  }

  /** Keeps this server a member, and takes and hands on keys, until the signal aborts. */
  async run(c: Ctx): Promise<void> {
    for (let failures = 0; !c.signal.aborted; ) {
      try {
        await this.#join(c);
        await this.lookAfter(c);
        failures = 0;
      } catch (e) {
        if (c.signal.aborted) return;
        c.log.warn({ err: messageOf(e) }, 'the keys of Secrets could not be looked after; trying again');
        await c.clock
          .sleep(backoffMs(RETRY, Math.min(failures++, 10), this.#o.random), c.signal)
          .catch(() => undefined);
        continue;
      }
      const isBusy = isRotating(this.#record) || this.#missing().length > 0;
      await this.#nap(isBusy ? BUSY_ROUND_MS : ROUND_MS, c);
    }
  }

  /** Something below `SEALING_PREFIX` has changed. */
  wake(): void {
    this.#isWoken = true;
    this.#endNap?.();
  }

  get memberId(): string {
    return this.#membership.id;
  }

  knows(id: string): boolean {
    return this.#keys.has(id);
  }

  /** A new key, on disk when this resolves, that seals nothing yet. */
  async makeKey(c: Ctx): Promise<string> {
    const made = newLocalKey(c.clock.now());
    await this.#learn([made]);
    return made.id;
  }

  async seal(storeKey: string, value: Buffer, c: Ctx): Promise<SealedValue> {
    if (this.#current === undefined) await this.refresh(c);
    if (this.#current === undefined) await this.#waitFor(() => this.#current !== undefined, c);
    if (this.#current === undefined)
      throw new StatusError('Unavailable', `no key may seal ${storeKey} now: ${this.#o.path} and etcd do not agree`);
    const { key, guard } = this.#current;
    const ref = Buffer.from(key.id);
    return { value: this.#cipherOf(key).seal({ provider: 'local', ref, storeKey, value }), guard };
  }

  async open(storeKey: string, sealed: Buffer, c: Ctx): Promise<Buffer> {
    const envelope = parseEnvelope(storeKey, sealed);
    if (envelope.provider !== 'local')
      throw new StatusError(
        'Internal',
        `${storeKey} was sealed by a KMS plugin, and this server has none: name it here ('berth secrets use-kms')`,
      );
    const id = envelope.ref.toString('utf8');
    if (!this.#keys.has(id)) await this.#waitFor(() => this.#keys.has(id), c);
    const key = this.#keys.get(id);
    if (key === undefined) throw this.#lacks(id, storeKey);
    return this.#cipherOf(key).open(envelope, storeKey);
  }

  isCurrent(storeKey: string, sealed: Buffer): boolean {
    const { provider, ref } = parseEnvelope(storeKey, sealed);
    return provider === 'local' && ref.toString('utf8') === this.#current?.key.id;
  }

  async refresh(c: Ctx): Promise<void> {
    const entry = await this.#store.get(SEALING_RECORD_KEY, c);
    if (entry !== undefined) this.#record = decodeRecord(entry.value);
    const sealing = sealingKeyOf(this.#record);
    const key = sealing === undefined ? undefined : this.#keys.get(sealing.id);
    const permit = key === undefined ? undefined : await this.#store.get(permitKey(key.id), c);
    this.#current =
      key === undefined || permit === undefined
        ? undefined
        : { key, guard: { key: permit.key, createRevision: modRevisionOf(permit.revision) } };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#held?.[Symbol.asyncDispose]();
    this.#held = undefined;
  }

  #cipherOf(key: LocalKey): KeyCipher {
    const known = this.#ciphers.get(key.id) ?? new KeyCipher(key.secret);
    this.#ciphers.set(key.id, known);
    return known;
  }

  async #join(c: Ctx): Promise<void> {
    if (this.#held !== undefined && !this.#held.lost.aborted) return;
    await this.#held?.[Symbol.asyncDispose]();
    this.#held = undefined;
    const ttlSeconds = this.#o.leaseSeconds ?? LEASE_SECONDS;
    this.#held = await this.#store.admin.acquire(livingKey(this.memberId), this.memberId, { ttlSeconds }, c);
  }

  /** One round: learns, says and hands on keys. Who asks while one is under way shares it. */
  lookAfter(c: Ctx): Promise<void> {
    this.#round ??= this.#lookAfter(c).finally(() => {
      this.#round = undefined;
    });
    return this.#round;
  }

  async #lookAfter(c: Ctx): Promise<void> {
    await this.refresh(c);
    // Somebody may have copied a file here.
    if (this.#missing().length > 0) await this.#learn((await readKeyFile(this.#o.path)) ?? []);
    await this.#learn(await this.#membership.take(this.#keys, c));
    await this.#forget(c.clock);
    await this.#orderFile();
    const shared = this.#record.keys.findLast((k) => k.phase !== 'retired' && this.#keys.has(k.id));
    const sharedKey = shared === undefined ? undefined : this.#keys.get(shared.id);
    if (sharedKey !== undefined) await this.#membership.say(this.#keys, sharedKey, c);
    const live = this.#record.keys.filter((k) => k.phase !== 'retired').map((k) => k.id);
    await this.#membership.give(live, this.#keys, c);
    if (this.#current === undefined) await this.refresh(c);
  }

  /** On disk first. */
  async #learn(keys: readonly LocalKey[]): Promise<void> {
    const fresh = keys.filter((k) => !this.#keys.has(k.id));
    if (fresh.length === 0) return;
    // Others on this host may have added to the file: nothing of theirs is lost.
    const onDisk = (await readKeyFile(this.#o.path)) ?? [];
    const all = byId([...onDisk, ...this.#keys.values(), ...fresh]);
    await this.#write([...all.values()]);
    this.#keys = all;
    this.#o.log.info({ keys: fresh.map((k) => k.id) }, 'learnt keys of Secrets');
  }

  /** From the file; what this process has read it keeps, as long as it lives: its watch may be behind. */
  async #forget(clock: Clock): Promise<void> {
    const known = [...this.#keys.values()];
    if (forgettable(this.#record, known, clock.now()).size === 0) return;
    const onDisk = (await readKeyFile(this.#o.path)) ?? [];
    const old = forgettable(this.#record, onDisk, clock.now());
    const kept = onDisk.filter((k) => !old.has(k.id));
    if (old.size === 0 || kept.length === 0) return;
    await this.#write(kept);
    this.#o.log.info({ keys: [...old] }, 'forgot retired keys of Secrets');
  }

  /** After a rotation another key comes first. */
  async #orderFile(): Promise<void> {
    const sealing = sealingKeyOf(this.#record)?.id ?? '';
    if (sealing === this.#firstOnDisk || !this.#keys.has(sealing)) return;
    const onDisk = (await readKeyFile(this.#o.path)) ?? [];
    if (onDisk[0]?.id !== sealing) await this.#write(onDisk);
    this.#firstOnDisk = sealing;
  }

  async #write(keys: readonly LocalKey[]): Promise<void> {
    const ordered = this.#ordered(keys);
    await writeKeyFile(this.#o.path, ordered);
    this.#firstOnDisk = ordered[0]?.id ?? '';
  }

  /** The key that seals first. */
  #ordered(keys: readonly LocalKey[]): readonly LocalKey[] {
    const sealing = sealingKeyOf(this.#record)?.id;
    return [...keys.filter((k) => k.id === sealing), ...keys.filter((k) => k.id !== sealing)];
  }

  /** Keys that values may be sealed with, and that are not here. */
  #missing(): readonly string[] {
    const needed = this.#record.keys.filter((k) => k.phase === 'sealing' || k.phase === 'opening');
    return needed.filter((k) => !this.#keys.has(k.id)).map((k) => k.id);
  }

  async #waitFor(isThere: () => boolean, c: Ctx): Promise<void> {
    const end = c.clock.monotonic() + (this.#o.keyWaitMs ?? KEY_WAIT_MS);
    while (!isThere() && c.clock.monotonic() < end) {
      await this.lookAfter(c);
      if (!isThere()) await c.clock.sleep(KEY_POLL_MS, c.signal);
    }
  }

  /** Invalid at a start, whose remedy is an operator's; Internal for a value that cannot be read. */
  #lacks(id: string, storeKey?: string): StatusError {
    return new StatusError(
      storeKey === undefined ? 'Invalid' : 'Internal',
      `${storeKey ?? 'the values of Secrets'} cannot be opened: key ${id} is not in ${this.#o.path}, and no server that has it answers. ` +
        'Start one that has, or copy its key file here (mode 0600)',
    );
  }

  async #nap(ms: number, c: Ctx): Promise<void> {
    if (!this.#isWoken && !c.signal.aborted)
      await new Promise<void>((resolve) => {
        const end = (): void => {
          timer.cancel();
          c.signal.removeEventListener('abort', end);
          this.#endNap = undefined;
          resolve();
        };
        const timer = c.clock.after(ms, end);
        c.signal.addEventListener('abort', end, { once: true });
        this.#endNap = end;
      });
    this.#isWoken = false;
  }
}

async function keysAndRecord(
  o: LocalSealerOptions,
  c: Ctx,
): Promise<{ keys: readonly LocalKey[]; record: SealingRecord }> {
  const onDisk = await readKeyFile(o.path);
  const known = await o.store.get(SEALING_RECORD_KEY, c);
  const record = known === undefined ? await firstStart(o, onDisk, c) : decodeRecord(known.value);
  const keys = (await readKeyFile(o.path)) ?? [];
  if (keys.some((k) => record.keys.some((r) => r.id === k.id))) return { keys, record };
  const wanted = sealingKeyOf(record)?.id ?? 'none';
  throw new StatusError(
    'Invalid',
    `Secrets of this cluster are sealed with key ${wanted}; ${o.path} ${keys.length === 0 ? 'is not there' : 'holds none of its keys'}. ` +
      'Copy the key file of a server that runs (mode 0600)',
  );
}

/** Of several servers that start together one makes the record; the others throw their key away and take that one's. */
async function firstStart(
  o: LocalSealerOptions,
  onDisk: readonly LocalKey[] | undefined,
  c: Ctx,
): Promise<SealingRecord> {
  const keys = onDisk ?? [newLocalKey(c.clock.now())];
  if (onDisk === undefined) await writeKeyFile(o.path, keys);
  const record = firstRecord(keys);
  const id = keys[0]?.id ?? '';
  // The permit is there before the record: whoever reads the record finds it.
  await createIfAbsent(o.store, permitKey(id), Buffer.from('{}'), c);
  if (await createIfAbsent(o.store, SEALING_RECORD_KEY, encodeRecord(record), c)) return record;
  const theirs = await o.store.get(SEALING_RECORD_KEY, c);
  if (theirs === undefined) throw new StatusError('Unavailable', `${SEALING_RECORD_KEY} was removed`);
  const made = decodeRecord(theirs.value);
  if (onDisk === undefined && !made.keys.some((k) => k.id === id)) await rm(o.path, { force: true });
  return made;
}

export async function createIfAbsent(
  store: Store,
  key: string,
  value: Buffer,
  c: Ctx,
  fence?: Fence | undefined,
): Promise<boolean> {
  try {
    await store.create(key, value, { fence }, c);
    return true;
  } catch (e) {
    if (!isKind(e, 'AlreadyExists')) throw e;
    return false;
  }
}

function byId(keys: readonly LocalKey[]): ReadonlyMap<string, LocalKey> {
  return new Map(keys.map((k) => [k.id, k]));
}
