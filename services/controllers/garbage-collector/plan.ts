/**
 * What the garbage collector does with one object. Pure.
 *
 * Nothing is deleted unless every owner is known to be absent (asked of the API by uid) or is itself waiting, in foreground
 * deletion, for this object to go. Source: kubernetes pkg/controller/garbagecollector/garbagecollector.go attemptToDeleteItem.
 */
import {
  blockersOf,
  FOREGROUND,
  hasFinalizer,
  type Item,
  isForeground,
  isGoing,
  isOrphaning,
  ORPHAN,
  ownersOf,
} from './graph.ts';

export interface Observed {
  readonly item: Item;
  readonly dependents: readonly Item[];
  /** What is known of each owner that the object names, by uid. */
  readonly owners: ReadonlyMap<string, OwnerState>;
}

/** `unknown`: it could not be found out; nothing may be concluded. */
export type OwnerState = 'solid' | 'absent' | 'waiting' | 'unknown';

export type Action =
  /** Takes these owner references away, by uid. */
  | { readonly type: 'drop-owners'; readonly item: Item; readonly uids: readonly string[] }
  | { readonly type: 'drop-finalizer'; readonly item: Item; readonly finalizer: string }
  | { readonly type: 'delete'; readonly item: Item; readonly policy: 'Background' | 'Foreground' | 'Orphan' }
  /** These are to be looked at. */
  | { readonly type: 'visit'; readonly items: readonly Item[] }
  /** The owner need not wait for this object any more: a circle is broken. */
  | { readonly type: 'unblock'; readonly item: Item };

export function plan(seen: Observed): readonly Action[] {
  const { item, dependents } = seen;
  const uid = item.object.metadata.uid ?? '';
  if (isOrphaning(item))
    return [
      ...dependents.map((d): Action => ({ type: 'drop-owners', item: d, uids: [uid] })),
      { type: 'drop-finalizer', item, finalizer: ORPHAN },
    ];
  const actions: Action[] = [];
  if (isForeground(item)) {
    const blockers = blockersOf(dependents, uid);
    if (blockers.length === 0) return [{ type: 'drop-finalizer', item, finalizer: FOREGROUND }];
    // Those already in foreground deletion see to themselves.
    actions.push({ type: 'visit', items: blockers.filter((d) => !isForeground(d)) });
    return actions;
  }
  if (isGoing(item)) return [];
  return planOwned(seen);
}

function planOwned(seen: Observed): readonly Action[] {
  const { item, dependents } = seen;
  const refs = ownersOf(item);
  const states = refs.map((r) => seen.owners.get(r.uid) ?? 'unknown');
  if (refs.length === 0 || states.includes('unknown')) return [];
  const uidsOf = (...wanted: OwnerState[]): readonly string[] =>
    refs.filter((_, i) => wanted.includes(states[i] ?? 'unknown')).map((r) => r.uid);
  if (states.includes('solid')) {
    const uids = uidsOf('absent', 'waiting');
    return uids.length === 0 ? [] : [{ type: 'drop-owners', item, uids }];
  }
  if (states.includes('waiting') && dependents.length > 0) {
    // A dependent that waits for its own dependents may, further on, wait for this very object.
    const circle: Action[] = dependents.some(isForeground) ? [{ type: 'unblock', item }] : [];
    return [...circle, { type: 'delete', item, policy: 'Foreground' }];
  }
  const policy = hasFinalizer(item, ORPHAN) ? 'Orphan' : hasFinalizer(item, FOREGROUND) ? 'Foreground' : 'Background';
  return [{ type: 'delete', item, policy }];
}
