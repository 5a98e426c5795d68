/** Runs the plan of one Deployment, in the order given, then writes its status. */
import type { DeepReadonly, Pod } from '#lib/api';
import { controllerOf, Kinds, keyOf, keyText, matcherOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Controller, EventRecorder, Outcome, Reconciler } from '#lib/controller';
import { changesOf, DONE, keysFrom, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { controllerIndex } from '../indexes.ts';
import { instantOf } from '../instant.ts';
import { type Caches, observe } from './observe.ts';
import { plan } from './plan.ts';
import type { Rs } from './sets.ts';
import { DeploymentWrites } from './writes.ts';

const WORKERS = 8;

export function startDeploymentController(deps: Deps): Controller {
  const caches: Caches = {
    deployments: deps.informers.informer(Kinds.deployments),
    sets: deps.informers.informer(Kinds.replicasets, { indexes: controllerIndex }),
    pods: deps.informers.informer(Kinds.pods, { indexes: controllerIndex }),
  };
  return startController({
    ...deps,
    name: 'deployment',
    reconciler: new DeploymentReconciler(deps, caches),
    workers: WORKERS,
    sources: [
      objectsOf(caches.deployments),
      keysFrom(caches.sets, (rs) => deploymentsConcernedBy(rs, caches)),
      // Recreate waits for the last old pod to go; nothing else depends on single pods.
      changesOf(caches.pods, (previous, next) => (previous && !next ? deploymentOfPod(previous, caches) : [])),
    ],
  });
}

function deploymentsConcernedBy(rs: Rs, caches: Caches): readonly string[] {
  const namespace = rs.metadata.namespace ?? '';
  const owner = controllerOf(rs);
  if (owner) return owner.kind === 'Deployment' ? [keyText({ namespace, name: owner.name })] : [];
  return caches.deployments
    .list(namespace)
    .filter((d) => matcherOf(d.spec.selector).matches(rs.metadata.labels))
    .map((d) => keyText(keyOf(d)));
}

function deploymentOfPod(pod: DeepReadonly<Pod>, caches: Caches): readonly string[] {
  const owner = controllerOf(pod);
  if (owner?.kind !== 'ReplicaSet') return [];
  const rs = caches.sets.get({ namespace: pod.metadata.namespace ?? '', name: owner.name });
  return rs ? deploymentsConcernedBy(rs, caches) : [];
}

class DeploymentReconciler implements Reconciler {
  readonly #deps: Deps;
  readonly #caches: Caches;
  readonly #events: EventRecorder;
  readonly #writes: DeploymentWrites;

  constructor(deps: Deps, caches: Caches) {
    this.#deps = deps;
    this.#caches = caches;
    this.#events = deps.recorder('deployment-controller');
    this.#writes = new DeploymentWrites(deps, this.#events);
  }

  async reconcile(key: string, c: Ctx): Promise<Outcome> {
    const seen = observe(parseKeyText(key), this.#caches);
    if (!seen) return DONE;
    // Behind our own writes: the informer's next event brings this key back.
    if (!this.#writes.areSeen(seen)) return { afterMs: 1_000 };
    const now = instantOf(this.#deps.clock);
    const { actions, status, wakeAtMs, selectsAll } = plan(seen, now);
    if (selectsAll)
      this.#events.event(
        seen.deployment,
        'Warning',
        'SelectingAll',
        'This deployment is selecting all pods. A non-empty selector is required.',
      );
    // The status goes last, on top of what note-revision wrote.
    let latest = seen.deployment;
    for (const action of actions) latest = await this.#writes.apply(seen, latest, action, c);
    await this.#writes.writeStatus(latest, status, c);
    return wakeAtMs === undefined ? DONE : { afterMs: Math.max(wakeAtMs - now.ms, 1) };
  }
}
