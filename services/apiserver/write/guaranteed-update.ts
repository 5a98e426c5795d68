/**
 * Read-modify-write with our own retry: starts from what the cache knows, which may be stale, and only believes a refusal
 * (conflict, not found, no change) once it has been decided on a fresh read. Who loses a race tries again in turn. Equal content writes nothing and keeps the
 * resourceVersion. Source: apiserver/pkg/storage/etcd3/store.go GuaranteedUpdate.
 */
import type { KindInfo, KubeObject, ObjectKey } from '#lib/api';
import { type Ctx, StatusError } from '#lib/base';
import { notFound } from '../api-errors.ts';
import { type Cached, encodeStored, storeKey } from '../cache/cached.ts';
import { isSameContent, isStale, type Storage, type StorageWrite } from '../storage.ts';

export type Change =
  | { readonly action: 'put'; readonly object: KubeObject }
  | { readonly action: 'remove' }
  /** Nothing to write: the answer is the current object. */
  | { readonly action: 'keep' };

export interface UpdateOutcome {
  readonly cached: Cached;
  readonly isRemoved: boolean;
  readonly isWritten: boolean;
}

/** Attempts on a hot object before we give up: at one conflict a round trip, far beyond the request's deadline. */
const ATTEMPTS_MAX = 200;

export interface GuaranteedUpdate extends StorageWrite {
  readonly kind: KindInfo;
  readonly key: ObjectKey;
  readonly dryRun: boolean;
  /** Called again after each lost race; must not change its argument. */
  change(current: Cached): Promise<Change> | Change;
}

/** Throws NotFound when there is no such object. */
export async function guaranteedUpdate(storage: Storage, o: GuaranteedUpdate, c: Ctx): Promise<UpdateOutcome> {
  const atOnce = await tryUpdate(storage, o, 1, c);
  if (atOnce !== undefined) return atOnce;
  using _turn = await storage.turns.take(storeKey(o.kind, o.key), c);
  const inTurn = await tryUpdate(storage, o, ATTEMPTS_MAX, c);
  if (inTurn !== undefined) return inTurn;
  throw new StatusError('DeadlineExceeded', `${o.kind.resource} "${o.key.name}" changes too often to be written`);
}

/** undefined: lost the race `attempts` times. */
async function tryUpdate(
  storage: Storage,
  o: GuaranteedUpdate,
  attempts: number,
  c: Ctx,
): Promise<UpdateOutcome | undefined> {
  let current = storage.latest(o.kind, o.key);
  let isFresh = false;
  const refresh = async (): Promise<Cached> => {
    const found = await storage.current(o.kind, o.key, c);
    if (found === undefined) throw notFound(o.kind, o.key.name);
    isFresh = true;
    return found;
  };
  current ??= await refresh();
  for (let lost = 0; ; ) {
    let change: Change;
    try {
      change = await o.change(current);
    } catch (e) {
      if (isFresh) throw e;
      const fresh = await refresh();
      if (fresh.revision === current.revision) throw e;
      current = fresh;
      continue;
    }
    const bytes = change.action === 'put' ? encodeStored(change.object) : undefined;
    const isSame = change.action === 'put' && bytes !== undefined && isUnchanged(current, change.object, bytes);
    if (change.action === 'keep' || isSame) {
      if (isFresh) return { cached: current, isRemoved: false, isWritten: false };
      const fresh = await refresh();
      if (fresh.revision === current.revision) return { cached: fresh, isRemoved: false, isWritten: false };
      current = fresh;
      continue;
    }
    if (o.dryRun) return dryOutcome(current, change, bytes);
    try {
      if (change.action === 'remove')
        return { cached: await storage.remove(o.kind, current, o, c), isRemoved: true, isWritten: true };
      const next = { object: change.object, bytes: bytes ?? encodeStored(change.object) };
      return { cached: await storage.replace(o.kind, current, next, o, c), isRemoved: false, isWritten: true };
    } catch (e) {
      if (!isStale(e)) throw e;
      if (++lost >= attempts) return undefined;
      current = await refresh();
    }
  }
}

function isUnchanged(current: Cached, object: KubeObject, bytes: Buffer): boolean {
  return bytes.equals(current.bytes) || isSameContent(current.object, object);
}

function dryOutcome(current: Cached, change: Change, bytes: Buffer | undefined): UpdateOutcome {
  if (change.action !== 'put' || bytes === undefined) return { cached: current, isRemoved: true, isWritten: false };
  change.object.metadata.resourceVersion = current.revision.toString();
  return { cached: { ...current, object: change.object, bytes }, isRemoved: false, isWritten: false };
}
