import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { isKind, seededRandom } from '#lib/base';
import type { WatchClient, WatchEvent, WatchResponse } from '#lib/etcd';
import { context, eventText } from './conformance.ts';
import { KeySpace } from './etcd-keys.ts';
import { watchRange } from './etcd-watch.ts';
import { readRevision, type StoreEvent } from './store.ts';
import { encodeValue } from './value-header.ts';

/** What etcd may answer and one server in a test never does: a member behind the others, a transaction in pieces. */
class ScriptedEtcd {
  readonly starts: string[] = [];
  readonly #streams: PassThrough[] = [];
  readonly #revision: number;

  /** `revision`: of a linearizable read. */
  constructor(revision: number) {
    this.#revision = revision;
  }

  get client(): WatchClient {
    const watch = async function* (this: ScriptedEtcd, startRevision: bigint): AsyncGenerator<WatchResponse> {
      const stream = new PassThrough({ objectMode: true });
      this.#streams.push(stream);
      this.starts.push(String(startRevision));
      yield* stream as AsyncIterable<WatchResponse>;
    };
    return {
      watch: (r) => watch.call(this, r.startRevision),
      range: async () => ({ revision: BigInt(this.#revision), kvs: [], count: 0 }),
    };
  }

  async answer(
    stream: number,
    o: { revision: number; created?: boolean; fragment?: boolean; events?: readonly WatchEvent[] },
  ) {
    await expect.poll(() => this.starts.length).toBeGreaterThan(stream);
    const { revision, created = false, fragment = false, events = [] } = o;
    const common = { compactRevision: 0n, canceled: false, cancelReason: '' };
    this.#streams[stream]?.push({ revision: BigInt(revision), ...common, created, fragment, events });
  }

  end(stream: number): void {
    this.#streams[stream]?.push(null);
  }
}

function put(key: string, mod: number, index: number): WatchEvent {
  return putOf(key, mod, encodeValue(Buffer.from(key), index, false));
}

function putOf(key: string, mod: number, value: Buffer): WatchEvent {
  const modRevision = BigInt(mod);
  return { type: 'put', kv: { key: Buffer.from(key), value, modRevision, createRevision: modRevision, lease: 0n } };
}

function batchesOf(etcd: ScriptedEtcd, from: number): AsyncGenerator<readonly StoreEvent[]> {
  const deps = { clients: { streams: etcd.client }, keys: new KeySpace(''), random: seededRandom(1) };
  return watchRange(deps, { key: Buffer.from('/') }, readRevision(BigInt(from)), context());
}

async function next(batches: AsyncGenerator<readonly StoreEvent[]>): Promise<string[]> {
  const { value } = await batches.next();
  return (value ?? []).map(eventText);
}

test('watchRange: a transaction that comes in fragments is handed out whole', async () => {
  const etcd = new ScriptedEtcd(6);
  const batches = batchesOf(etcd, 4);
  const first = next(batches);
  await etcd.answer(0, { revision: 6, created: true });
  await etcd.answer(0, { revision: 6, fragment: true, events: [put('a', 5, 0), put('b', 6, 0), put('c', 6, 1)] });
  expect(await first).toEqual(['put a=a']);
  const second = next(batches);
  await etcd.answer(0, { revision: 6, fragment: true, events: [put('d', 6, 2)] });
  await etcd.answer(0, { revision: 6, events: [put('e', 6, 3)] });
  expect(await second).toEqual(['put b=b', 'put c=c', 'put d=d', 'put e=e']);
  await batches.return(undefined);
});

test('watchRange: a stream that breaks between fragments begins that transaction again', async () => {
  const etcd = new ScriptedEtcd(6);
  const batches = batchesOf(etcd, 4);
  const first = next(batches);
  await etcd.answer(0, { revision: 6, created: true });
  await etcd.answer(0, { revision: 6, fragment: true, events: [put('a', 5, 0), put('b', 6, 0)] });
  expect(await first).toEqual(['put a=a']);
  const second = next(batches);
  etcd.end(0);
  await etcd.answer(1, { revision: 6, created: true });
  await etcd.answer(1, { revision: 6, events: [put('a', 5, 0), put('b', 6, 0), put('c', 6, 1)] });
  expect(etcd.starts).toEqual(['5', '5']);
  expect(await second).toEqual(['put b=b', 'put c=c']);
  await batches.return(undefined);
});

test('watchRange: a member behind the others is waited for, it has lost no history', async () => {
  const etcd = new ScriptedEtcd(9);
  const batches = batchesOf(etcd, 9);
  const first = next(batches);
  await etcd.answer(0, { revision: 3, created: true });
  await etcd.answer(0, { revision: 10, events: [put('a', 10, 0)] });
  expect(await first).toEqual(['put a=a']);
  await batches.return(undefined);
});

test('watchRange: a store whose newest revision is older than ours was restored from a backup: Expired', async () => {
  const etcd = new ScriptedEtcd(3);
  const batches = batchesOf(etcd, 9);
  const first = next(batches).catch((e: unknown) => e);
  await etcd.answer(0, { revision: 3, created: true });
  expect(isKind(await first, 'Expired')).toBe(true);
});

test('watchRange: what others keep in the same etcd is passed over, but nothing of ours that cannot be read', async () => {
  const etcd = new ScriptedEtcd(9);
  const batches = batchesOf(etcd, 4);
  const foreign = (key: string, mod: number): WatchEvent => putOf(key, mod, Buffer.from('theirs'));
  const first = next(batches);
  await etcd.answer(0, { revision: 9, created: true });
  await etcd.answer(0, { revision: 9, events: [foreign('health', 5), put('/registry/a', 6, 0)] });
  expect(await first).toEqual(['put /registry/a=/registry/a']);
  const second = next(batches).catch((e: unknown) => e);
  await etcd.answer(0, { revision: 9, events: [foreign('/registry/b', 7)] });
  expect(await second).toMatchObject({ kind: 'Internal' });
});
