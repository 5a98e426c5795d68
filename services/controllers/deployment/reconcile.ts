/** Runs the plan of one Deployment, in the order given, then writes its status. */
import type { DeepReadonly, Deployment, DeploymentStatus, Pod, ReplicaSet } from '#lib/api';
import { controllerOf, Kinds, keyOf, keyText, matcherOf, newControllerRef } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf, StatusError } from '#lib/base';
import type { Controller, EventRecorder, Outcome, Reconciler } from '#lib/controller';
import {
  changesOf,
  DONE,
  isEqualJson,
  keysFrom,
  mutableCopy,
  OwnWrites,
  objectsOf,
  parseKeyText,
  startController,
} from '#lib/controller';
import type { Deps } from '../deps.ts';
import { controllerIndex } from '../indexes.ts';
import { instantOf } from '../instant.ts';
import { type Caches, observe } from './observe.ts';
import { type Action, type NewSet, type Observed, plan } from './plan.ts';
import { type Dep, REVISION, type Rs, sizeOf } from './sets.ts';
import { statusOf } from './status.ts';
import { HASH_LABEL, isSameTemplate } from './template.ts';

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
  readonly #writes: OwnWrites;

  constructor(deps: Deps, caches: Caches) {
    this.#deps = deps;
    this.#caches = caches;
    this.#events = deps.recorder('deployment-controller');
    this.#writes = new OwnWrites(deps.clock);
  }

  async reconcile(key: string, c: Ctx): Promise<Outcome> {
    const seen = observe(parseKeyText(key), this.#caches);
    if (!seen) return DONE;
    // Behind our own writes: the informer's next event brings this key back.
    if (![seen.deployment, ...seen.owned].every((o) => this.#writes.isCurrent(o))) return { afterMs: 1_000 };
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
    for (const action of actions) latest = await this.#apply(seen, latest, action, c);
    await this.#writeStatus(latest, status, c);
    return wakeAtMs === undefined ? DONE : { afterMs: Math.max(wakeAtMs - now.ms, 1) };
  }

  /** Gives the Deployment as it is after the action. */
  async #apply(seen: Observed, d: Dep, action: Action, c: Ctx): Promise<Dep> {
    switch (action.type) {
      case 'adopt':
        await this.#adopt(d, action.rs, c);
        return d;
      case 'release': {
        const copy = mutableCopy<ReplicaSet>(action.rs);
        copy.metadata.ownerReferences = (copy.metadata.ownerReferences ?? []).filter((r) => r.uid !== d.metadata.uid);
        await this.#deps.client.update(Kinds.replicasets, copy, c);
        return d;
      }
      case 'create':
        await this.#create(seen, d, action.set, c);
        return d;
      case 'change':
        await this.#change(d, action, c);
        return d;
      case 'note-revision': {
        const annotations = { ...d.metadata.annotations, [REVISION]: action.revision };
        const next = await this.#deps.client.update<Deployment>(
          Kinds.deployments,
          { ...d, metadata: { ...d.metadata, annotations } },
          c,
        );
        this.#writes.wrote(next);
        return next;
      }
      case 'delete':
        await this.#delete(action.rs, c);
        return d;
    }
  }

  async #create(seen: Observed, d: Dep, set: NewSet, c: Ctx): Promise<void> {
    const matchLabels = { ...d.spec.selector?.matchLabels, [HASH_LABEL]: set.hash };
    const template = mutableCopy<Deployment['spec']['template']>(set.template);
    const matchExpressions = d.spec.selector?.matchExpressions;
    try {
      const rs = await this.#deps.client.create<ReplicaSet>(
        Kinds.replicasets,
        {
          metadata: {
            name: set.name,
            namespace: d.metadata.namespace,
            labels: { ...template.metadata?.labels },
            annotations: { ...set.annotations },
            ownerReferences: [newControllerRef(d, Kinds.deployments)],
          },
          spec: {
            replicas: set.replicas,
            ...(d.spec.minReadySeconds === undefined ? {} : { minReadySeconds: d.spec.minReadySeconds }),
            selector: {
              matchLabels,
              ...(matchExpressions
                ? { matchExpressions: mutableCopy<{ key: string; operator: string }[]>(matchExpressions) }
                : {}),
            },
            template,
          },
        },
        c,
      );
      this.#writes.wrote(rs);
      if (set.replicas > 0)
        this.#events.event(
          d,
          'Normal',
          'ScalingReplicaSet',
          `Scaled up replica set ${set.name} from 0 to ${set.replicas}`,
        );
    } catch (e) {
      if (isKind(e, 'AlreadyExists')) return this.#taken(d, set, c);
      await this.#createFailed(seen, d, e, c);
      throw e;
    }
  }

  /** The name is taken: by ourselves a moment ago, or by another template whose hash is the same. */
  async #taken(d: Dep, set: NewSet, c: Ctx): Promise<void> {
    const live = await this.#deps.client.get(
      Kinds.replicasets,
      { namespace: d.metadata.namespace ?? '', name: set.name },
      c,
    );
    if (controllerOf(live)?.uid === d.metadata.uid && isSameTemplate(live.spec.template, d.spec.template)) return;
    const status: DeploymentStatus = {
      ...mutableCopy<DeploymentStatus>(d.status ?? {}),
      collisionCount: (d.status?.collisionCount ?? 0) + 1,
    };
    await this.#writeStatus(d, status, c);
    throw new StatusError('Conflict', `ReplicaSet ${set.name} belongs to something else: trying another hash`);
  }

  async #createFailed(seen: Observed, d: Dep, e: unknown, c: Ctx): Promise<void> {
    const message = `Failed to create new replica set: ${messageOf(e)}`;
    this.#events.event(d, 'Warning', 'ReplicaSetCreateError', message);
    const progress = { fresh: undefined, old: seen.owned, creates: undefined, createFailed: message, isRollout: false };
    await this.#writeStatus(d, statusOf(d, progress, instantOf(this.#deps.clock)).status, c);
  }

  async #change(d: Dep, action: Extract<Action, { type: 'change' }>, c: Ctx): Promise<void> {
    const { rs, replicas, minReadySeconds } = action;
    const before = sizeOf(rs);
    const next = await this.#deps.client.update<ReplicaSet>(
      Kinds.replicasets,
      {
        ...rs,
        metadata: { ...rs.metadata, annotations: { ...rs.metadata.annotations, ...action.annotations } },
        spec: { ...rs.spec, replicas, minReadySeconds },
      },
      c,
    );
    this.#writes.wrote(next);
    if (replicas === before) return;
    const direction = replicas > before ? 'up' : 'down';
    const message = `Scaled ${direction} replica set ${rs.metadata.name} from ${before} to ${replicas}`;
    this.#events.event(d, 'Normal', 'ScalingReplicaSet', message);
  }

  async #adopt(d: Dep, rs: Rs, c: Ctx): Promise<void> {
    const live = await this.#deps.client.get(Kinds.deployments, keyOf(d), c);
    if (live.metadata.uid !== d.metadata.uid || live.metadata.deletionTimestamp !== undefined)
      throw new StatusError('Conflict', `Deployment ${keyText(keyOf(d))} is going: it adopts nothing`);
    const copy = mutableCopy<ReplicaSet>(rs);
    copy.metadata.ownerReferences = [...(copy.metadata.ownerReferences ?? []), newControllerRef(d, Kinds.deployments)];
    await this.#deps.client.update(Kinds.replicasets, copy, c);
  }

  async #delete(rs: Rs, c: Ctx): Promise<void> {
    const preconditions = { uid: rs.metadata.uid, resourceVersion: rs.metadata.resourceVersion };
    try {
      await this.#deps.client.delete(Kinds.replicasets, keyOf(rs), { preconditions }, c);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
  }

  async #writeStatus(d: Dep, status: DeploymentStatus, c: Ctx): Promise<void> {
    if (isEqualJson(d.status, status)) return;
    try {
      const next = await this.#deps.client.update<Deployment>(
        Kinds.deployments,
        { ...d, status: asReadonly(status) },
        c,
        {
          subresource: 'status',
        },
      );
      this.#writes.wrote(next);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
  }
}

function asReadonly(status: DeploymentStatus): DeepReadonly<DeploymentStatus> {
  return status;
}
