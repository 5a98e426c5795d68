/**
 * `berth secrets status|rotate|use-kms`, on a host of the control plane: which keys seal the Secrets, and a new key for all of them while
 * the servers serve. The command only asks: a server makes the key and does the work, so that it goes on when the command is
 * cut off, and when that server dies.
 */
import { durationText } from '#lib/api';
import { type Ctx, isKind, realClock, realRandom, Scope, StatusError, silentLogger } from '#lib/base';
import { connectKms, KMS_RECORD_KEY } from '#lib/kms';
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
import { type ClusterLayout, writeLayout } from '../layout.ts';
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
  return await withStore(o, (store, _, c) => printStatus(store, process.stdout, c));
}

export async function secretsRotateCommand(o: SecretsOptions): Promise<number> {
  const seconds = Number(o.timeout ?? 600);
  if (!Number.isInteger(seconds) || seconds < 1)
    throw new StatusError('Invalid', `--timeout ${o.timeout ?? ''}: a number of seconds`);
  const limitMs = seconds * 1_000;
  return await withStore(o, (store, layout, c) =>
    rotate(store, { limitMs, out: process.stdout, mode: layout.kms === undefined ? 'local' : 'kms' }, c),
  );
}

export async function printStatus(store: Store, out: Out, c: Ctx): Promise<number> {
  const record = await store
    .get(SEALING_RECORD_KEY, c)
    .then((e) => (e === undefined ? NO_KEYS : decodeRecord(e.value)));
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

/** Of a cluster whose Secrets a KMS plugin seals. */
const NO_KEYS: SealingRecord = { version: 1, keys: [] };

interface Rotation {
  readonly limitMs: number;
  readonly out: Out;
  readonly mode: 'local' | 'kms';
}

/** Asks for a rotation, or follows the one that goes on, and tells what it did. Throws DeadlineExceeded, which ends nothing. */
export async function rotate(store: Store, o: Rotation, c: Ctx): Promise<number> {
  const before = await request(store, o, c);
  const end = c.clock.monotonic() + o.limitMs;
  let toldAt = c.clock.monotonic();
  for (;;) {
    const { record } = await readRecord(store, o.mode, c);
    if (!isRotating(record) && record.last !== undefined && record.last.endedAtMs !== before.last?.endedAtMs) {
      tell(record.last, o);
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
async function request(store: Store, o: Rotation, c: Ctx): Promise<SealingRecord> {
  for (let attempt = 1; ; attempt++) {
    const { key, record, revision } = await readRecord(store, o.mode, c);
    if (isRotating(record)) {
      o.out.write('A rotation goes on already; this is its progress.\n');
      return record;
    }
    try {
      const next = encodeRecord(requestRotation(record, c.clock.now()));
      if (revision === undefined) await store.create(key, next, {}, c);
      else await store.update(key, next, revision, {}, c);
      return record;
    } catch (e) {
      if (!(isKind(e, 'Conflict') || isKind(e, 'AlreadyExists')) || attempt >= WRITE_ATTEMPTS) throw e;
    }
  }
}

function tell(last: NonNullable<SealingRecord['last']>, { out, mode }: Rotation): void {
  const took = ((last.endedAtMs - last.startedAtMs) / 1_000).toFixed(1);
  const values = `${last.resealed} ${last.resealed === 1 ? 'value' : 'values'}`;
  if (mode === 'kms') {
    out.write(`${values} sealed anew under key ${last.keyId} of the KMS plugin in ${took} s.\n`);
    return;
  }
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

async function readRecord(
  store: Store,
  mode: Rotation['mode'],
  c: Ctx,
): Promise<{ key: string; record: SealingRecord; revision: Revision | undefined }> {
  const key = mode === 'kms' ? KMS_RECORD_KEY : SEALING_RECORD_KEY;
  const entry = await store.get(key, c);
  if (entry !== undefined) return { key, record: decodeRecord(entry.value), revision: entry.revision };
  if (mode === 'kms') return { key, record: NO_KEYS, revision: undefined };
  throw new StatusError('NotFound', 'no server of this cluster has sealed anything yet: start one first');
}

/** Checks the plugin, then names it in the layout: servers use it from their next start on. */
export async function secretsUseKmsCommand(endpoint: string, o: SecretsOptions): Promise<number> {
  return await withStore(o, async (_, layout, c) => {
    await checkKms(endpoint, c);
    await writeLayout({ ...layout, kms: { endpoint } });
    process.stdout.write(
      `The KMS plugin at ${endpoint} wraps and unwraps. Servers of this host use it from their next start on ('berth down', 'berth up'); ` +
        "do the same on every host of the control plane, then 'berth secrets rotate'. Keep pki/secrets.keys until that has ended.\n",
    );
    return 0;
  });
}

/** Throws when it is not healthy, or does not give back what it was given. */
export async function checkKms(endpoint: string, c: Ctx): Promise<void> {
  await using plugin = connectKms({ endpoint });
  await plugin.keyId(c);
  const probe = Buffer.from(realRandom.hex(32), 'hex');
  const wrapped = await plugin.encrypt(probe, realRandom.uuid(), c);
  if (!(await plugin.decrypt(wrapped, realRandom.uuid(), c)).equals(probe))
    throw new StatusError('Invalid', `the KMS plugin at ${endpoint} does not give back what it was given`);
}

/** etcd as it is: what is sealed stays sealed. */
export async function withStore(
  o: SecretsOptions,
  fn: (store: Store, layout: ClusterLayout, c: Ctx) => Promise<number>,
): Promise<number> {
  const { home, layout } = await findCluster(o);
  if (layout === undefined) throw new StatusError('NotFound', `no cluster below ${home}: 'berth up' makes one`);
  await using scope = new Scope('secrets');
  const c: Ctx = { signal: scope.signal, clock: realClock, log: silentLogger };
  return await fn(scope.own(await EtcdStore.open(await etcdAccess(layout), c)), layout, c);
}
