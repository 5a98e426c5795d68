/**
 * Which keys seal and open, as all servers of a cluster agree on it: one record in etcd, changed by compare-and-swap. It
 * holds no key, only names of keys. Pure.
 *
 *   distributing --> sealing --> opening --> retired
 *
 * distributing: exists at its maker; is handed to every living server. Nobody seals with it.
 * sealing:      every server that was alive has it on disk. It seals. At most one key is here.
 * opening:      was replaced; its permit goes, its values are sealed anew.
 * retired:      no value needs it. Servers forget it after `RETIRED_KEEP_MS`, so that a backup of etcd from before can be read.
 */
import { StatusError } from '#lib/base';

export const SEALING_PREFIX = '/berth/sealing/';
export const SEALING_RECORD_KEY = `${SEALING_PREFIX}keys`;
/** While it exists, and with this create revision, the key may seal. */
export const permitKey = (id: string): string => `${SEALING_PREFIX}permits/${id}`;

export const RETIRED_KEEP_MS = 30 * 24 * 3_600_000;
const RETIRED_MAX = 32;

export type KeyPhase = 'distributing' | 'sealing' | 'opening' | 'retired';

export interface KeyState {
  readonly id: string;
  readonly phase: KeyPhase;
  readonly createdAtMs: number;
  readonly retiredAtMs?: number | undefined;
}

export interface RotationResult {
  /** The key that all values are sealed with now. */
  readonly keyId: string;
  readonly retired: readonly string[];
  readonly resealed: number;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

export interface SealingRecord {
  readonly version: 1;
  /** Oldest first. */
  readonly keys: readonly KeyState[];
  /** Set by `berth secrets rotate`, cleared when the new key is made. */
  readonly requestedAtMs?: number | undefined;
  readonly startedAtMs?: number | undefined;
  readonly last?: RotationResult | undefined;
}

/** Of a cluster that has none yet: the first key seals. */
export function firstRecord(keys: readonly { id: string; createdAtMs: number }[]): SealingRecord {
  const states = keys.map(({ id, createdAtMs }, i): KeyState => {
    return { id, createdAtMs, phase: i === 0 ? 'sealing' : 'opening' };
  });
  return { version: 1, keys: states.reverse() };
}

export function sealingKeyOf(r: SealingRecord): KeyState | undefined {
  return r.keys.findLast((k) => k.phase === 'sealing');
}

/** A rotation that has begun and not ended, or is asked for. */
export function isRotating(r: SealingRecord): boolean {
  return r.requestedAtMs !== undefined || r.keys.some((k) => k.phase === 'distributing' || k.phase === 'opening');
}

/** One that runs already serves this request as well: it is not asked for twice. */
export function requestRotation(r: SealingRecord, nowMs: number): SealingRecord {
  return isRotating(r) ? r : { ...r, requestedAtMs: nowMs };
}

export function beginRotation(r: SealingRecord, id: string, nowMs: number): SealingRecord {
  const { requestedAtMs: _, ...rest } = r;
  const made: KeyState = { id, phase: 'distributing', createdAtMs: nowMs };
  return { ...rest, keys: [...r.keys, made], startedAtMs: nowMs };
}

/** Its maker died before anybody else had it: another one has to be made. */
export function abandon(r: SealingRecord, id: string, nowMs: number): SealingRecord {
  return { ...r, keys: r.keys.filter((k) => k.id !== id), requestedAtMs: nowMs };
}

export function promote(r: SealingRecord, id: string): SealingRecord {
  const keys = r.keys.map((k): KeyState => {
    if (k.id === id) return { ...k, phase: 'sealing' };
    return k.phase === 'sealing' ? { ...k, phase: 'opening' } : k;
  });
  return { ...r, keys };
}

/** Every value is sealed with the sealing key. */
export function retire(r: SealingRecord, o: { resealed: number; nowMs: number }): SealingRecord {
  const sealing = sealingKeyOf(r);
  if (sealing === undefined) throw new StatusError('Internal', `${SEALING_RECORD_KEY} names no key that seals`);
  const retired = r.keys.filter((k) => k.phase === 'opening').map((k) => k.id);
  const keys = r.keys.map((k): KeyState => {
    return k.phase === 'opening' ? { ...k, phase: 'retired', retiredAtMs: o.nowMs } : k;
  });
  const old = keys.filter((k) => k.phase === 'retired').slice(0, -RETIRED_MAX);
  const { startedAtMs, ...rest } = r;
  const last: RotationResult = {
    keyId: sealing.id,
    retired,
    resealed: o.resealed,
    startedAtMs: startedAtMs ?? o.nowMs,
    endedAtMs: o.nowMs,
  };
  return { ...rest, keys: keys.filter((k) => !old.includes(k)), last };
}

/**
 * Keys of `known` that may go from the disk: their values are all gone, or nothing was ever sealed with them (a rotation that was
 * cut off), and the time to keep them for backups is over.
 */
export function forgettable(
  r: SealingRecord,
  known: readonly { readonly id: string; readonly createdAtMs: number }[],
  nowMs: number,
): ReadonlySet<string> {
  const isOver = (sinceMs: number): boolean => nowMs - sinceMs > RETIRED_KEEP_MS;
  const ids = known.filter((k) => {
    const state = r.keys.find((s) => s.id === k.id);
    if (state === undefined) return isOver(k.createdAtMs);
    return state.phase === 'retired' && isOver(state.retiredAtMs ?? nowMs);
  });
  return new Set(ids.map((k) => k.id));
}

export function encodeRecord(r: SealingRecord): Buffer {
  return Buffer.from(JSON.stringify(r));
}

/** Throws Internal for what is no record of this version. */
export function decodeRecord(bytes: Buffer): SealingRecord {
  const record = JSON.parse(bytes.toString('utf8')) as Partial<SealingRecord>;
  if (record.version !== 1 || !Array.isArray(record.keys))
    throw new StatusError(
      'Internal',
      `${SEALING_RECORD_KEY} has version ${String(record.version)}; this server reads 1`,
    );
  return record as SealingRecord;
}
