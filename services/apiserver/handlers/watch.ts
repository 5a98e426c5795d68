/**
 * WATCH: where it starts, when it ends, and its bookmarks; the front encodes what comes out.
 * Source: apiserver/pkg/endpoints/handlers/watch.go, storage/cacher/cacher.go Watch, KEP-3157 (WatchList).
 */
import { type Ctx, StatusError, type Timer } from '#lib/base';
import type { WatchQuery } from '#lib/client';
import type { Revision } from '#lib/store';
import type { Filter, SeenEvent, Watcher } from '../cache/watcher.ts';
import type { Core, Target } from '../core.ts';
import { invalidOptions } from './delete.ts';
import { revisionOf } from './list.ts';
import { selectionOf } from './selection.ts';

/** Without timeoutSeconds a watch lives between this and twice this. */
const DEFAULT_SECONDS = 1_800;
const BOOKMARK_MS = 60_000;

export type WatchItem =
  | { readonly type: 'events'; readonly events: readonly SeenEvent[] }
  | { readonly type: 'bookmark'; readonly resourceVersion: string; readonly initialEventsEnd: boolean };

/** The start is checked before the first item: a rejected `open` is a plain HTTP error. */
export async function openWatch(
  core: Core,
  request: Target & { readonly query: WatchQuery },
  c: Ctx,
): Promise<AsyncIterable<WatchItem>> {
  const q = request.query;
  checkQuery(q);
  const selection = selectionOf(core, request, q);
  const filter: Filter = { namespace: request.namespace, matches: selection.matches };
  const start = await startWatcher(core, request, filter, c);
  return run(core, q, start, c);
}

interface Start {
  readonly watcher: Watcher;
  /** sendInitialEvents: the revision of the state that came first, to be told by a bookmark behind it. */
  readonly initialEnd: Revision | undefined;
}

async function startWatcher(
  core: Core,
  request: Target & { query: WatchQuery },
  filter: Filter,
  c: Ctx,
): Promise<Start> {
  const q = request.query;
  const rv = q.resourceVersion ?? '';
  const from = rv === '' || rv === '0' ? undefined : revisionOf(rv);
  if (q.sendInitialEvents === true) {
    if (from !== undefined) await core.cache.reach(from, c);
    if (rv !== '0') await core.cache.consistent(c);
    requireCurrent(core, request);
    const initialEnd = core.cache.revision;
    return { watcher: core.cache.of(request.stored).watchNow(filter, { withState: true }), initialEnd };
  }
  if (from === undefined) {
    if (rv === '') await core.cache.consistent(c);
    requireCurrent(core, request);
    const withState = q.sendInitialEvents === undefined;
    return { watcher: core.cache.of(request.stored).watchNow(filter, { withState }), initialEnd: undefined };
  }
  await core.cache.reach(from, c);
  requireCurrent(core, request);
  return { watcher: core.cache.of(request.stored).watchFrom(from, filter), initialEnd: undefined };
}

/** Watchers end when what is served of their definition changes: one that came to be while this one waited does so at once. */
function requireCurrent(core: Core, { info }: Target): void {
  if (info.custom === undefined || core.kinds.byResource(info.group, info.version, info.resource) === info) return;
  throw new StatusError('Expired', 'the definition of this resource has changed: list again', { reason: 'Expired' });
}

async function* run(core: Core, q: WatchQuery, start: Start, c: Ctx): AsyncIterable<WatchItem> {
  const { watcher } = start;
  const seconds = q.timeoutSeconds !== undefined && q.timeoutSeconds > 0 ? q.timeoutSeconds : defaultSeconds(core);
  const timeUp = core.clock.after(seconds * 1000, () => watcher.end(), { unref: true });
  const withBookmarks = q.allowWatchBookmarks === true;
  let bookmarkTimer: Timer | undefined;
  let isDue = false;
  const rearm = (): void => {
    isDue = false;
    const onDue = (): void => {
      isDue = true;
      watcher.poke();
    };
    bookmarkTimer = core.clock.after(BOOKMARK_MS, onDue, { unref: true });
  };
  if (withBookmarks) rearm();
  let initialEnd = start.initialEnd;
  try {
    if (initialEnd !== undefined) watcher.poke();
    for (;;) {
      const events = await watcher.take(c.signal);
      if (events === undefined) break;
      if (events.length > 0) yield { type: 'events', events };
      if (initialEnd !== undefined) {
        if (withBookmarks) yield { type: 'bookmark', resourceVersion: initialEnd.toString(), initialEventsEnd: true };
        initialEnd = undefined;
      } else if (isDue && watcher.isIdle) {
        yield { type: 'bookmark', resourceVersion: core.cache.revision.toString(), initialEventsEnd: false };
        rearm();
      }
    }
    if (withBookmarks && watcher.isIdle && !c.signal.aborted)
      yield { type: 'bookmark', resourceVersion: core.cache.revision.toString(), initialEventsEnd: false };
  } finally {
    timeUp.cancel();
    bookmarkTimer?.cancel();
    watcher.end();
  }
}

function defaultSeconds(core: Core): number {
  return DEFAULT_SECONDS * (1 + core.random.next());
}

function checkQuery(q: WatchQuery): void {
  const match = q.resourceVersionMatch;
  const refuse = (field: string, why: string): StatusError => invalidOptions(field, `Forbidden: ${why}`, 'ListOptions');
  if (q.sendInitialEvents === undefined) {
    if (match !== undefined)
      throw refuse(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
      );
    return;
  }
  if (match !== 'NotOlderThan')
    throw refuse('resourceVersionMatch', 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan');
}
