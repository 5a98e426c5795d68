/**
 * `berth secrets status|rotate`, on a host of the control plane: which keys seal the Secrets, and a new key for all of them while
 * the servers serve. The command only asks: a server makes the key and does the work, so that it goes on when the command is
 * cut off, and when that server dies.
 */
import { durationText } from '#lib/api';
import { type Ctx, isKind, realClock, Scope, StatusError, silentLogger } from '#lib/base';
import {
  decodeRecord,
  EtcdStore,
  encodeRecord,
  isRotating,
  type Revision,
  requestRotation,
  SEALING_RECORD_KEY,
  type SealingRecord,
  type Store,
  sealedWith,
} from '#lib/store';
import { etcdAccess } from '../etcd-access.ts';
import { findCluster } from '../instance.ts';
import { textTable } from '../output/table.ts';
import { SEALED_PREFIXES } from '../secrets-sealing.ts';

export interface SecretsOptions {
  readonly instance?: string;
  readonly home?: string;
  /** How long `rotate` waits for the end. */
  readonly timeout?: string;
}

interface Out {
  write(text: string): unknown;
}

const LOOK_MS = 200;
const PROGRESS_MS = 2_000;
const WRITE_ATTEMPTS = 8;

export async function secretsStatusCommand(o: SecretsOptions): Promise<number> {
  return await withStore(o, (store, c) => printStatus(store, process.stdout, c));
}

export async function secretsRotateCommand(o: SecretsOptions): Promise<number> {
  const seconds = Number(o.timeout ?? 600);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new StatusError('Invalid', `--timeout ${o.timeout ?? ''}: a number of seconds`);
  return await withStore(o, (store, c) => rotate(store, { limitMs: seconds * 1_000, out: process.stdout }, c));
}

export async function printStatus(store: Store, out: Out, c: Ctx): Promise<number> {
  const { record } = await readRecord(store, c);
  const counts = await sealedWith(store, SEALED_PREFIXES, c);
  const rows = record.keys.map((k) => {
    const age = durationText(Math.max(c.clock.now() - k.createdAtMs, 0));
    return [k.id, k.phase, age, String(counts.get(k.id) ?? 0)];
  });
  for (const other of ['kms', 'unsealed'])
    if (counts.has(other)) rows.push([other, '-', '-', String(counts.get(other) ?? 0)]);
  out.write(textTable([['KEY', 'PHASE', 'AGE', 'VALUES'], ...rows]));
  return 0;
}

/** Asks for a rotation, or follows the one that goes on, and tells what it did. Throws DeadlineExceeded, which ends nothing. */
export async function rotate(store: Store, o: { limitMs: number; out: Out }, c: Ctx): Promise<number> {
  const before = await request(store, o.out, c);
  const end = c.clock.monotonic() + o.limitMs;
  let toldAt = c.clock.monotonic();
  for (;;) {
    const { record } = await readRecord(store, c);
    if (!isRotating(record) && record.last !== undefined && record.last.endedAtMs !== before.last?.endedAtMs) {
      tell(record.last, o.out);
      return 0;
    }
    if (c.clock.monotonic() >= end)
      throw new StatusError(
        'DeadlineExceeded',
        `the rotation has not ended (${await progress(store, record, c)}): the servers go on with it; 'berth secrets status' shows how far`,
      );
    if (c.clock.monotonic() - toldAt >= PROGRESS_MS) {
      toldAt = c.clock.monotonic();
      o.out.write(`${await progress(store, record, c)}\n`);
    }
    await c.clock.sleep(LOOK_MS, c.signal);
  }
}

/** The record as it was when the rotation was asked for. */
async function request(store: Store, out: Out, c: Ctx): Promise<SealingRecord> {
  for (let attempt = 1; ; attempt++) {
    const { record, revision } = await readRecord(store, c);
    if (isRotating(record)) {
      out.write('A rotation goes on already; this is its progress.\n');
      return record;
    }
    try {
      const next = encodeRecord(requestRotation(record, c.clock.now()));
      await store.update(SEALING_RECORD_KEY, next, revision, {}, c);
      return record;
    } catch (e) {
      if (!isKind(e, 'Conflict') || attempt >= WRITE_ATTEMPTS) throw e;
    }
  }
}

function tell(last: NonNullable<SealingRecord['last']>, out: Out): void {
  const took = ((last.endedAtMs - last.startedAtMs) / 1_000).toFixed(1);
  const values = `${last.resealed} ${last.resealed === 1 ? 'value' : 'values'}`;
  out.write(`New key ${last.keyId}: ${values} sealed anew in ${took} s.\n`);
  for (const id of last.retired)
    out.write(
      `Key ${id} is retired: nothing in etcd needs it. Servers keep it for 30 days, for backups of etcd from before.\n`,
    );
  out.write('A server that is off now must be given the key file (pki/secrets.keys) of one that runs.\n');
}

async function progress(store: Store, record: SealingRecord, c: Ctx): Promise<string> {
  if (record.requestedAtMs !== undefined) return 'waiting for a server to make a key; is one running?';
  const sealing = record.keys.findLast((k) => k.phase === 'sealing')?.id ?? '';
  if (record.keys.some((k) => k.phase === 'distributing')) return 'waiting until every server has the new key';
  const counts = await sealedWith(store, SEALED_PREFIXES, c);
  const all = [...counts.values()].reduce((sum, n) => sum + n, 0);
  return `${counts.get(sealing) ?? 0} of ${all} values are sealed with key ${sealing}`;
}

async function readRecord(store: Store, c: Ctx): Promise<{ record: SealingRecord; revision: Revision }> {
  const entry = await store.get(SEALING_RECORD_KEY, c);
  if (entry === undefined)
    throw new StatusError('NotFound', 'no server of this cluster has sealed anything yet: start one first');
  return { record: decodeRecord(entry.value), revision: entry.revision };
}

async function withStore(o: SecretsOptions, fn: (store: Store, c: Ctx) => Promise<number>): Promise<number> {
  const { home, layout } = await findCluster(o);
  if (layout === undefined) throw new StatusError('NotFound', `no cluster below ${home}: 'berth up' makes one`);
  await using scope = new Scope('secrets');
  const c: Ctx = { signal: scope.signal, clock: realClock, log: silentLogger };
  return await fn(scope.own(await EtcdStore.open(await etcdAccess(layout), c)), c);
}
