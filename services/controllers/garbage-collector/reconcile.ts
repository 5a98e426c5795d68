/**
 * Deletes what has lost its owners, and lets owners go that wait for their dependents or leave them behind. Knows every kind
 * that can be listed, watched and deleted, through informers that the other controllers share.
 */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import { allKinds, keyOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind } from '#lib/base';
import type { Controller, Outcome, Source } from '#lib/controller';
import { DONE, mutableCopy, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { type Item, isElsewhere, isForeground, isGoing, isOrphaning, OwnerGraph, ownersOf } from './graph.ts';
import { Owners } from './owners.ts';
import { type Action, plan } from './plan.ts';

const WORKERS = 16;
/** Events are many, own nothing and go by themselves. */
const IGNORED: ReadonlySet<string> = new Set(['events']);

export function collectedKinds(): readonly KindInfo[] {
  const seen = new Set<string>();
  return allKinds().filter((k) => {
    const id = `${k.group}/${k.resource}`;
    const isUsable = ['list', 'watch', 'delete'].every((v) => k.verbs.includes(v));
    if (!isUsable || IGNORED.has(k.resource) || seen.has(id)) return false;
    seen.add(id);
    return true;
  });
}

export function startGarbageCollector(deps: Deps): Controller {
  const graph = new OwnerGraph();
  const owners = new Owners(deps.client, graph, deps.customKinds);
  const state: { visit: (uid: string) => void } = { visit: () => undefined };
  const controller = startController({
    ...deps,
    name: 'garbage-collector',
    workers: WORKERS,
    sources: [
      ...collectedKinds().map((kind) => sourceOf(kind, graph, deps)),
      deps.customKinds.source((kind) => goingSourceOf(kind, graph, deps)),
    ],
    reconciler: {
      async reconcile(uid, c): Promise<Outcome> {
        const item = graph.get(uid);
        if (!item) return DONE;
        const dependents = graph.dependentsOf(uid);
        // Owners matter only for what is not going already.
        const states = isGoing(item) ? new Map() : await owners.statesFor(item, c);
        for (const action of plan({ item, dependents, owners: states })) await apply(action, state.visit, deps, c);
        return DONE;
      },
    },
  });
  state.visit = (uid) => controller.enqueue(uid);
  return controller;
}

function sourceOf(kind: KindInfo, graph: OwnerGraph, deps: Deps): Source {
  const informer = deps.informers.informer(kind);
  return {
    synced: (signal) => informer.synced(signal),
    subscribe: (add) =>
      informer.subscribe((previous, next) => {
        for (const uid of noted(kind, graph, previous, next)) add(uid);
      }),
  };
}

/** A kind that goes takes its objects along, told of or not. */
function goingSourceOf(kind: KindInfo, graph: OwnerGraph, deps: Deps): Source {
  const source = sourceOf(kind, graph, deps);
  return {
    ...source,
    subscribe: (add) => {
      const subscription = source.subscribe(add);
      return {
        [Symbol.dispose]() {
          subscription[Symbol.dispose]();
          for (const gone of deps.informers.informer(kind).list())
            for (const uid of noted(kind, graph, gone, undefined)) add(uid);
        },
      };
    },
  };
}

/** Takes the change into the graph; gives the uids that are to be looked at for it. */
function noted(
  kind: KindInfo,
  graph: OwnerGraph,
  previous: DeepReadonly<KubeObject> | undefined,
  next: DeepReadonly<KubeObject> | undefined,
): readonly string[] {
  const uid = (next ?? previous)?.metadata.uid ?? '';
  if (!next) {
    const gone = graph.get(uid);
    graph.remove(uid);
    return [
      ...graph.dependentsOf(uid).map((d) => d.object.metadata.uid ?? ''),
      ...(gone ? waitingOwners(gone, graph) : []),
    ];
  }
  const before = graph.get(uid);
  const item: Item = { kind, object: next };
  if (before && previous && isSameForOwnership(previous, next)) {
    // The cached object must be the newest all the same: writes are made from it.
    graph.put(item);
    return [];
  }
  const keys: string[] = before ? [...waitingOwners(before, graph)] : [];
  graph.put(item);
  if (isForeground(item) || isOrphaning(item)) keys.push(uid);
  else if (!isGoing(item) && ownersOf(item).some((o) => isDoubtful(graph.get(o.uid), item))) keys.push(uid);
  return keys;
}

/** An owner that the graph does not show, that waits for its dependents to go, or that cannot be one where it is. */
function isDoubtful(owner: Item | undefined, dependent: Item): boolean {
  return !owner || isForeground(owner) || isElsewhere(owner, dependent);
}

/** Owners in foreground deletion: one dependent less may be what they wait for. */
function waitingOwners(item: Item, graph: OwnerGraph): readonly string[] {
  return ownersOf(item)
    .map((o) => o.uid)
    .filter((uid) => {
      const owner = graph.get(uid);
      return owner !== undefined && isForeground(owner);
    });
}

function isSameForOwnership(a: DeepReadonly<KubeObject>, b: DeepReadonly<KubeObject>): boolean {
  const text = (o: DeepReadonly<KubeObject>): string =>
    JSON.stringify([o.metadata.ownerReferences, o.metadata.finalizers, o.metadata.deletionTimestamp]);
  return a.metadata.uid === b.metadata.uid && text(a) === text(b);
}

async function apply(action: Action, visit: (uid: string) => void, deps: Deps, c: Ctx): Promise<void> {
  switch (action.type) {
    case 'visit':
      for (const i of action.items) visit(i.object.metadata.uid ?? '');
      return;
    case 'drop-owners':
      return change(action.item, deps, c, (o) => {
        o.metadata.ownerReferences = (o.metadata.ownerReferences ?? []).filter((r) => !action.uids.includes(r.uid));
      });
    case 'unblock':
      return change(action.item, deps, c, (o) => {
        for (const r of o.metadata.ownerReferences ?? []) r.blockOwnerDeletion = false;
      });
    case 'drop-finalizer':
      return change(action.item, deps, c, (o) => {
        o.metadata.finalizers = (o.metadata.finalizers ?? []).filter((f) => f !== action.finalizer);
      });
    case 'delete': {
      const { uid, resourceVersion } = action.item.object.metadata;
      const options = { propagationPolicy: action.policy, preconditions: { uid, resourceVersion } };
      try {
        await deps.client.delete(action.item.kind, keyOf(action.item.object), options, c);
      } catch (e) {
        if (!isKind(e, 'NotFound')) throw e;
      }
    }
  }
}

/** On the live object, guarded by its revision; nothing happens when it is gone or another one. */
async function change(item: Item, deps: Deps, c: Ctx, edit: (o: KubeObject) => void): Promise<void> {
  try {
    const live = await deps.client.get(item.kind, keyOf(item.object), c);
    if (live.metadata.uid !== item.object.metadata.uid) return;
    const copy = mutableCopy<KubeObject>(live);
    edit(copy);
    await deps.client.update(item.kind, copy, c);
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
  }
}
