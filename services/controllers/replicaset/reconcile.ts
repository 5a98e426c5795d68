/** Runs the plan of one ReplicaSet: adopt and release, then create or delete pods, then status. */
import type { DeepReadonly, ReplicaSet } from '#lib/api';
import { Kinds } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf } from '#lib/base';
import type { Controller, Outcome, Reconciler } from '#lib/controller';
import { changesOf, DONE, Expectations, isEqualJson, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { controllerIndex } from '../indexes.ts';
import { instantOf } from '../instant.ts';
import { isNamespaceGoing } from '../namespace-going.ts';
import { type Caches, observe } from './observe.ts';
import { type Failure, plan, withFailure } from './plan.ts';
import { setsConcernedBy } from './sources.ts';
import { PodWrites } from './writes.ts';

const WORKERS = 8;
/** While the informer does not show our own doing: in case what it should show came and went unseen. */
const RECHECK_MS = 60_000;

export function startReplicaSetController(deps: Deps): Controller {
  const caches: Caches = {
    sets: deps.informers.informer(Kinds.replicasets, { indexes: controllerIndex }),
    pods: deps.informers.informer(Kinds.pods, { indexes: controllerIndex }),
  };
  const expectations = new Expectations(deps.clock);
  const reconciler = new ReplicaSetReconciler(deps, caches, expectations);
  return startController({
    ...deps,
    name: 'replicaset',
    reconciler,
    workers: WORKERS,
    sources: [
      objectsOf(caches.sets),
      changesOf(caches.pods, (previous, next) => setsConcernedBy(previous, next, caches.sets, expectations)),
    ],
  });
}

class ReplicaSetReconciler implements Reconciler {
  readonly #deps: Deps;
  readonly #caches: Caches;
  readonly #expectations: Expectations;
  readonly #writes: PodWrites;

  constructor(deps: Deps, caches: Caches, expectations: Expectations) {
    this.#deps = deps;
    this.#caches = caches;
    this.#expectations = expectations;
    this.#writes = new PodWrites(deps, caches, expectations);
  }

  async reconcile(key: string, c: Ctx): Promise<Outcome> {
    const seen = observe(parseKeyText(key), this.#caches);
    if (!seen) {
      this.#expectations.forget(key);
      return DONE;
    }
    const now = instantOf(this.#deps.clock);
    const { actions, status, wakeAtMs } = plan(seen, now);
    // Without the informer showing what we did last, the numbers are wrong; its next event brings this key back.
    const mayAct = this.#expectations.areMet(key);
    let failure: Failure | undefined;
    let cause: unknown;
    if (mayAct)
      for (const action of actions)
        try {
          await this.#writes.apply(seen.set, action, c);
        } catch (e) {
          // The numbers are made of what is ours: without that nothing is created, and above all nothing deleted.
          if (action.type === 'adopt' || action.type === 'release') throw e;
          cause ??= e;
          if (action.type === 'create') failure ??= { reason: 'FailedCreate', message: messageOf(e) };
          if (action.type === 'delete') failure ??= { reason: 'FailedDelete', message: messageOf(e) };
        }
    // A generation counts as observed when it was acted upon: what waits for that must not find pods still unseen.
    const waiting = { ...status, observedGeneration: seen.set.status?.observedGeneration };
    await this.#writeStatus(seen.set, mayAct ? withFailure(status, failure, now) : waiting, c);
    if (cause !== undefined && !isNamespaceGoing(cause)) throw cause;
    const waitMs = wakeAtMs === undefined ? Number.POSITIVE_INFINITY : Math.max(wakeAtMs - now.ms, 1);
    const afterMs = mayAct ? waitMs : Math.min(waitMs, RECHECK_MS);
    return afterMs === Number.POSITIVE_INFINITY ? DONE : { afterMs };
  }

  async #writeStatus(set: DeepReadonly<ReplicaSet>, status: ReplicaSet['status'], c: Ctx): Promise<void> {
    if (isEqualJson(set.status, status)) return;
    try {
      await this.#deps.client.update<ReplicaSet>(Kinds.replicasets, { ...set, status }, c, {
        subresource: 'status',
      });
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
  }
}
