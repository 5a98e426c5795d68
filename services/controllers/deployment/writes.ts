/** The writes of the Deployment controller: each action of a plan, and the status. Every one is guarded by a revision or uid. */
import type { DeepReadonly, Deployment, DeploymentStatus, ReplicaSet } from '#lib/api';
import { controllerOf, Kinds, keyOf, keyText, newControllerRef } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf, StatusError } from '#lib/base';
import type { EventRecorder } from '#lib/controller';
import { isEqualJson, mutableCopy, OwnWrites } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { instantOf } from '../instant.ts';
import type { Action, NewSet, Observed } from './plan.ts';
import { type Dep, REVISION, type Rs, sizeOf } from './sets.ts';
import { statusOf } from './status.ts';
import { HASH_LABEL, isSameTemplate } from './template.ts';

export class DeploymentWrites {
  readonly #deps: Deps;
  readonly #events: EventRecorder;
  readonly #writes: OwnWrites;

  constructor(deps: Deps, events: EventRecorder) {
    this.#deps = deps;
    this.#events = events;
    this.#writes = new OwnWrites(deps.clock);
  }

  /** Whether the informers show everything that was written. */
  areSeen(seen: Observed): boolean {
    return [seen.deployment, ...seen.owned].every((o) => this.#writes.isCurrent(o));
  }

  /** Gives the Deployment as it is after the action. */
  async apply(seen: Observed, d: Dep, action: Action, c: Ctx): Promise<Dep> {
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
    await this.writeStatus(d, status, c);
    throw new StatusError('Conflict', `ReplicaSet ${set.name} belongs to something else: trying another hash`);
  }

  async #createFailed(seen: Observed, d: Dep, e: unknown, c: Ctx): Promise<void> {
    const message = `Failed to create new replica set: ${messageOf(e)}`;
    this.#events.event(d, 'Warning', 'ReplicaSetCreateError', message);
    const progress = { fresh: undefined, old: seen.owned, creates: undefined, createFailed: message, isRollout: false };
    await this.writeStatus(d, statusOf(d, progress, instantOf(this.#deps.clock)).status, c);
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

  async writeStatus(d: Dep, status: DeploymentStatus, c: Ctx): Promise<void> {
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
