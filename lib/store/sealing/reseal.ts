/**
 * Seals anew, in place, every value that is not sealed with the key of now: those of replaced keys, and those from before
 * sealing. Each by compare-and-swap on its revision: what somebody else wrote meanwhile was sealed with the key of now by that
 * write, and what was removed needs nothing. May be cut off anywhere and begun again: what is done is recognized.
 */
import { type Ctx, isKind } from '#lib/base';
import type { Entry, Fence, Store } from '../store.ts';
import { isGuardLost } from './sealed-store.ts';
import type { Sealer } from './sealer.ts';

export interface ResealOptions {
  /** The unsealed one. */
  readonly store: Store;
  readonly sealer: Sealer;
  readonly prefixes: readonly string[];
  /** Of the leader that does this. */
  readonly fence?: Fence | undefined;
  readonly onProgress?: ((resealed: number) => void) | undefined;
}

const PAGE_ENTRIES = 500;
/** Leaves most of a group commit to others. */
const AT_ONCE = 16;

/** How many values were written. When it resolves, no value that existed when it was called is sealed otherwise. */
export async function reseal(o: ResealOptions, c: Ctx): Promise<number> {
  let resealed = 0;
  for (const prefix of o.prefixes) {
    let after: string | undefined;
    for (;;) {
      c.signal.throwIfAborted();
      const page = await o.store.list(prefix, { limit: PAGE_ENTRIES, after }, c);
      const old = page.entries.filter((e) => isOld(o, e));
      for (let i = 0; i < old.length; i += AT_ONCE) {
        const done = await Promise.all(old.slice(i, i + AT_ONCE).map((e) => resealOne(o, e, c)));
        resealed += done.filter((wasWritten) => wasWritten).length;
        o.onProgress?.(resealed);
      }
      after = page.entries.at(-1)?.key;
      if (!page.more || after === undefined) break;
    }
  }
  return resealed;
}

async function resealOne(o: ResealOptions, first: Entry, c: Ctx): Promise<boolean> {
  for (let entry: Entry | undefined = first; entry !== undefined && isOld(o, entry); ) {
    const { key, revision, value } = entry;
    const plain = entry.isSealed === true ? await o.sealer.open(key, value, c) : value;
    const sealed = await o.sealer.seal(key, plain, c);
    try {
      await o.store.update(key, sealed.value, revision, { fence: o.fence, isSealed: true, guard: sealed.guard }, c);
      return true;
    } catch (e) {
      if (isGuardLost(e)) await o.sealer.refresh(c);
      else if (!isKind(e, 'Conflict') || e.reason === 'Fenced') throw e;
      entry = await o.store.get(key, c);
    }
  }
  return false;
}

function isOld(o: ResealOptions, e: Entry): boolean {
  return e.isSealed !== true || !o.sealer.isCurrent(e.key, e.value);
}
