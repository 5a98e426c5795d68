/**
 * The servers of a cluster that seal with keys of their own: who lives (a leased key each), which keys each has on disk (its
 * ack), and boxes in which one hands a key to another. Everything here may be done twice, and by several at once.
 */
import { type Ctx, isKind } from '#lib/base';
import type { Store } from '../store.ts';
import { type BoxPair, closeBox, isMemberProof, type KeyBox, memberProof, newBoxPair, openBox } from './key-box.ts';
import type { LocalKey } from './key-file.ts';
import { SEALING_PREFIX } from './sealing-record.ts';

const LIVING_PREFIX = `${SEALING_PREFIX}members/`;
const ACK_PREFIX = `${SEALING_PREFIX}acks/`;
const BOX_PREFIX = `${SEALING_PREFIX}boxes/`;
/** Of what a server that died leaves behind; one that etcd has not heard of for so long gets no key from others. */
const LEFT_SECONDS = 3_600;
const ACK_AGAIN_MS = 20 * 60_000;

interface Ack {
  readonly publicKey: string;
  /** Ids of the keys that are on this member's disk. */
  readonly knows: readonly string[];
  readonly sharedId: string;
  readonly proof: string;
}

export interface Member {
  readonly id: string;
  /** undefined while it has not said. */
  readonly ack: Ack | undefined;
}

export function livingKey(memberId: string): string {
  return `${LIVING_PREFIX}${memberId}`;
}

export async function livingMembers(store: Store, c: Ctx): Promise<readonly Member[]> {
  const living = await store.list(LIVING_PREFIX, {}, c);
  const byId = await acks(store, c);
  return living.entries.map((e) => {
    const id = e.key.slice(LIVING_PREFIX.length);
    return { id, ack: byId.get(id) };
  });
}

async function acks(store: Store, c: Ctx): Promise<ReadonlyMap<string, Ack | undefined>> {
  const { entries } = await store.list(ACK_PREFIX, {}, c);
  return new Map(entries.map((e) => [e.key.slice(ACK_PREFIX.length), ackOf(decode(e.value))]));
}

/** One member's own part. */
export class Membership {
  readonly id: string;
  readonly #store: Store;
  readonly #pair: BoxPair = newBoxPair();
  #said = '';
  #saidAtMs = 0;

  constructor(o: { store: Store; id: string }) {
    this.#store = o.store;
    this.id = o.id;
  }

  /** `shared`: the key that proves that we belong here. */
  async say(keys: ReadonlyMap<string, LocalKey>, shared: LocalKey, c: Ctx): Promise<void> {
    const ack: Ack = {
      publicKey: this.#pair.publicKey,
      knows: [...keys.keys()].sort(),
      sharedId: shared.id,
      proof: memberProof(shared, this.id, this.#pair.publicKey),
    };
    const text = JSON.stringify(ack);
    const now = c.clock.monotonic();
    if (text === this.#said && now - this.#saidAtMs < ACK_AGAIN_MS) return;
    await put(this.#store, ACK_PREFIX + this.id, text, c);
    this.#said = text;
    this.#saidAtMs = now;
  }

  /** Keys that others have handed to us. `known`: those that a box may be closed with. */
  async take(known: ReadonlyMap<string, LocalKey>, c: Ctx): Promise<readonly LocalKey[]> {
    const prefix = `${BOX_PREFIX}${this.id}/`;
    const out: LocalKey[] = [];
    for (const e of (await this.#store.list(prefix, {}, c)).entries) {
      const id = e.key.slice(prefix.length);
      const box = boxOf(decode(e.value));
      const shared = box === undefined ? undefined : known.get(box.sharedId);
      if (known.has(id) || box === undefined || shared === undefined) continue;
      const key = openBox(box, { id, memberId: this.id, own: this.#pair, shared });
      if (key !== undefined) out.push(key);
    }
    return out;
  }

  /**
   * Hands each of `ids` to each member that lacks it and proves that it belongs here. Also to those whose lease is over: one that
   * was cut off for a while finds the key when it is back.
   */
  async give(ids: readonly string[], known: ReadonlyMap<string, LocalKey>, c: Ctx): Promise<void> {
    for (const [id, ack] of await acks(this.#store, c)) {
      if (id === this.id || ack === undefined) continue;
      const shared = known.get(ack.sharedId);
      if (shared === undefined || !isMemberProof(shared, { memberId: id, ...ack })) continue;
      for (const keyId of ids) {
        const key = known.get(keyId);
        if (key === undefined || ack.knows.includes(keyId)) continue;
        const box = closeBox(key, { memberId: id, memberKey: ack.publicKey, shared });
        await create(this.#store, `${BOX_PREFIX}${id}/${keyId}`, JSON.stringify(box), c);
      }
    }
  }
}

/** The newest wins: one writer a key. */
async function put(store: Store, key: string, text: string, c: Ctx): Promise<void> {
  const value = Buffer.from(text);
  const known = await store.get(key, c);
  if (known === undefined) await store.create(key, value, { ttlSeconds: LEFT_SECONDS }, c);
  else await store.update(key, value, known.revision, { ttlSeconds: LEFT_SECONDS }, c);
}

async function create(store: Store, key: string, text: string, c: Ctx): Promise<void> {
  try {
    await store.create(key, Buffer.from(text), { ttlSeconds: LEFT_SECONDS }, c);
  } catch (e) {
    if (!isKind(e, 'AlreadyExists')) throw e;
  }
}

/** Whoever may write to etcd may have written nonsense: it counts as nothing said. */
function decode(bytes: Buffer): object | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'));
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined; // nothing said
  }
}

function ackOf(o: object | undefined): Ack | undefined {
  const { publicKey, knows, sharedId, proof } = (o ?? {}) as Partial<Ack>;
  if (typeof publicKey !== 'string' || typeof sharedId !== 'string' || typeof proof !== 'string') return undefined;
  return Array.isArray(knows) ? { publicKey, knows, sharedId, proof } : undefined;
}

function boxOf(o: object | undefined): KeyBox | undefined {
  const { publicKey, sharedId, sealed, createdAtMs } = (o ?? {}) as Partial<KeyBox>;
  if (typeof publicKey !== 'string' || typeof sharedId !== 'string' || typeof sealed !== 'string') return undefined;
  return typeof createdAtMs === 'number' ? { publicKey, sharedId, sealed, createdAtMs } : undefined;
}
