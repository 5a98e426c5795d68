/** A server's sealing, without the server: for tests of several of them on one store. */
import { type Ctx, realClock, realRandom, Scope, silentLogger } from '#lib/base';
import type { Store } from '../store.ts';
import { parseEnvelope } from './envelope.ts';
import { readKeyFile } from './key-file.ts';
import { LocalSealer } from './local-sealer.ts';
import { type RotationStep, rotationStep } from './rotation.ts';
import { SealedStore } from './sealed-store.ts';
import {
  decodeRecord,
  encodeRecord,
  isRotating,
  requestRotation,
  SEALING_PREFIX,
  SEALING_RECORD_KEY,
  type SealingRecord,
} from './sealing-record.ts';

export const SECRETS = '/registry/core/secrets/';
const PREFIXES = [SECRETS, '/berth/service-account-keys'];
const ROTATION_MS = 20_000;
let members = 0;

export interface ReplicaOptions {
  readonly store: Store;
  readonly path: string;
  readonly keyWaitMs?: number;
  readonly prefixes?: readonly string[];
}

export class Replica implements AsyncDisposable {
  readonly sealed: SealedStore;
  seenEvents = 0;
  readonly #o: ReplicaOptions;
  readonly sealer: LocalSealer;
  readonly #scope = new Scope('replica');
  readonly #c: Ctx = { signal: this.#scope.signal, clock: realClock, log: silentLogger };

  private constructor(o: ReplicaOptions, sealer: LocalSealer) {
    this.#o = o;
    this.sealer = sealer;
    const wake = { wakePrefix: SEALING_PREFIX, onChange: () => sealer.wake() };
    this.sealed = new SealedStore({ store: o.store, sealer, prefixes: o.prefixes ?? PREFIXES, ...wake });
  }

  static async open(o: ReplicaOptions, c: Ctx): Promise<Replica> {
    const { store, path, keyWaitMs } = o;
    const memberId = `member-${members++}`;
    const options = { store, path, memberId, keyWaitMs, random: realRandom, log: silentLogger };
    return new Replica(o, await LocalSealer.open(options, c));
  }

  /** Looks after its keys, as a server does. */
  run(): void {
    this.#scope.spawn('keys', (signal) => this.sealer.run({ ...this.#c, signal }));
    this.#scope.spawn('watch', async (signal) => {
      const c = { ...this.#c, signal };
      for await (const _ of this.sealed.watch(await this.sealed.currentRevision(c), c)) this.seenEvents++;
    });
  }

  /** The others take it for dead. */
  pause(): void {
    void this.sealer[Symbol.asyncDispose]();
  }

  async record(): Promise<SealingRecord> {
    const entry = await this.#o.store.get(SEALING_RECORD_KEY, this.#c);
    return decodeRecord(entry?.value ?? Buffer.from('{}'));
  }

  async request(): Promise<void> {
    const entry = await this.#o.store.get(SEALING_RECORD_KEY, this.#c);
    if (entry === undefined) throw new Error(`${SEALING_PREFIX} is empty`);
    const next = encodeRecord(requestRotation(decodeRecord(entry.value), realClock.now()));
    await this.#o.store.update(SEALING_RECORD_KEY, next, entry.revision, {}, this.#c);
  }

  step(): Promise<RotationStep> {
    const prefixes = this.#o.prefixes ?? PREFIXES;
    return rotationStep({ store: this.#o.store, sealer: this.sealer, prefixes }, this.#c);
  }

  /** Asks for a rotation, leads it, and gives the record at its end. */
  async rotate(): Promise<SealingRecord> {
    await this.request();
    return await this.finish();
  }

  async finish(): Promise<SealingRecord> {
    const end = realClock.monotonic() + ROTATION_MS;
    for (;;) {
      await this.step();
      const record = await this.record();
      if (!isRotating(record)) return record;
      if (realClock.monotonic() > end) throw new Error(`the rotation does not end: ${JSON.stringify(record)}`);
      await realClock.sleep(5);
    }
  }

  async keyIds(): Promise<readonly string[]> {
    return ((await readKeyFile(this.#o.path)) ?? []).map((k) => k.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scope[Symbol.asyncDispose]();
    await this.sealer[Symbol.asyncDispose]();
  }
}

/** How many values below `prefix` are sealed with each key; '' = not sealed. */
export async function sealedWith(store: Store, prefix: string): Promise<Record<string, number>> {
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const out: Record<string, number> = {};
  for (const e of (await store.list(prefix, {}, c)).entries) {
    const id = e.isSealed === true ? parseEnvelope(e.key, e.value).ref.toString() : '';
    out[id] = (out[id] ?? 0) + 1;
  }
  return out;
}
