/**
 * Replaces the key that seals, while all servers serve. Led: one server of the cluster does it, and whichever leads next goes
 * on where the record says that the last one stopped; every step may be done twice.
 *
 *   requested -> make a key -> wait until every living server has it on disk -> it may seal (permit), the old one may not
 *   (its permit goes) -> seal every value anew -> the old key is retired
 *
 * Nobody can write with a key that another server lacks: the permit of a new key comes after the last ack; a server that
 * appears in between is a member before it reads the record, and is handed the key like the others. Nobody can write with
 * the old key once sealing anew begins, since each write compares its permit: one pass over all values is complete.
 */
import { type Ctx, isKind, messageOf } from '#lib/base';
import type { Fence, Store } from '../store.ts';
import { createIfAbsent, type LocalSealer } from './local-sealer.ts';
import { livingMembers } from './members.ts';
import { reseal } from './reseal.ts';
import {
  abandon,
  beginRotation,
  decodeRecord,
  encodeRecord,
  permitKey,
  promote,
  retire,
  SEALING_RECORD_KEY,
  type SealingRecord,
} from './sealing-record.ts';

export interface RotationOptions {
  /** The unsealed one. */
  readonly store: Store;
  readonly sealer: LocalSealer;
  readonly prefixes: readonly string[];
  readonly fence?: Fence | undefined;
}

const LOOK_MS = 1_000;
const BUSY_MS = 50;
const WAITING_LOG_MS = 10_000;

/** Until the signal aborts. */
export async function runRotations(o: RotationOptions, c: Ctx): Promise<void> {
  let waitedMs = 0;
  while (!c.signal.aborted) {
    let waitMs = LOOK_MS;
    try {
      const step = await rotationStep(o, c);
      if (step.did !== 'nothing') waitMs = BUSY_MS;
      waitedMs = step.did === 'waited' ? waitedMs + BUSY_MS : 0;
      if (step.did === 'waited' && waitedMs % WAITING_LOG_MS === 0)
        c.log.warn({ keyId: step.keyId, members: step.lacking }, 'servers do not have the new key of Secrets yet');
    } catch (e) {
      if (c.signal.aborted) return;
      c.log.warn({ err: messageOf(e) }, 'the rotation of the key of Secrets was interrupted; trying again');
    }
    await c.clock.sleep(waitMs, c.signal).catch(() => undefined);
  }
}

export type RotationStep =
  | { readonly did: 'nothing' | 'made' | 'promoted' | 'abandoned' | 'retired' }
  | { readonly did: 'waited'; readonly keyId: string; readonly lacking: readonly string[] };

/** The one next step that the record asks for. */
export async function rotationStep(o: RotationOptions, c: Ctx): Promise<RotationStep> {
  const entry = await o.store.get(SEALING_RECORD_KEY, c);
  if (entry === undefined) return { did: 'nothing' };
  const record = decodeRecord(entry.value);
  const write = async (next: SealingRecord): Promise<boolean> => {
    try {
      await o.store.update(SEALING_RECORD_KEY, encodeRecord(next), entry.revision, { fence: o.fence }, c);
      await o.sealer.refresh(c);
      return true;
    } catch (e) {
      if (isKind(e, 'Conflict') && e.reason !== 'Fenced') return false; // changed meanwhile: the next step reads it anew
      throw e;
    }
  };
  const made = record.keys.find((k) => k.phase === 'distributing');
  if (made !== undefined) return await distribute(o, record, made.id, write, c);
  if (record.keys.some((k) => k.phase === 'opening')) return await finish(o, record, write, c);
  if (record.requestedAtMs === undefined) return { did: 'nothing' };
  const id = await o.sealer.makeKey(c);
  await write(beginRotation(record, id, c.clock.now()));
  c.log.info({ keyId: id }, 'made a new key of Secrets');
  return { did: 'made' };
}

type Write = (next: SealingRecord) => Promise<boolean>;

async function distribute(
  o: RotationOptions,
  record: SealingRecord,
  id: string,
  write: Write,
  c: Ctx,
): Promise<RotationStep> {
  await o.sealer.lookAfter(c);
  const members = await livingMembers(o.store, c);
  const lacking = members.filter((m) => m.ack?.knows.includes(id) !== true).map((m) => m.id);
  if (!o.sealer.knows(id) && lacking.length === members.length) {
    // Its maker has died with it: nothing was ever sealed with it.
    await write(abandon(record, id, c.clock.now()));
    c.log.warn({ keyId: id }, 'the new key of Secrets was lost with its maker: making another one');
    return { did: 'abandoned' };
  }
  if (lacking.length > 0 || members.length === 0) return { did: 'waited', keyId: id, lacking };
  // Fenced: a leader that slept must not give a permit back that the next one has taken away.
  await createIfAbsent(o.store, permitKey(id), Buffer.from('{}'), c, o.fence);
  if (!(await write(promote(record, id)))) return { did: 'nothing' };
  c.log.info({ keyId: id, members: members.length }, 'a new key seals Secrets');
  return { did: 'promoted' };
}

async function finish(o: RotationOptions, record: SealingRecord, write: Write, c: Ctx): Promise<RotationStep> {
  for (const k of record.keys) if (k.phase === 'opening') await removePermit(o, k.id, c);
  await o.sealer.refresh(c);
  const resealed = await reseal(o, c);
  if (!(await write(retire(record, { resealed, nowMs: c.clock.now() })))) return { did: 'nothing' };
  c.log.info({ resealed }, 'Secrets are sealed with the new key; the old one is retired');
  return { did: 'retired' };
}

async function removePermit(o: RotationOptions, id: string, c: Ctx): Promise<void> {
  const permit = await o.store.get(permitKey(id), c);
  if (permit !== undefined) await o.store.delete(permit.key, permit.revision, { fence: o.fence }, c);
}
