/** The writes of the ReplicaSet controller: what a plan says is done to pods, and noted as expected. */
import type { DeepReadonly, Pod, PodTemplateSpec, ReplicaSet } from '#lib/api';
import { Kinds, keyOf, keyText, newControllerRef } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf, StatusError } from '#lib/base';
import type { EventRecorder, Expectations } from '#lib/controller';
import { forEachLimited, mutableCopy, slowStart } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { isNamespaceGoing } from '../namespace-going.ts';
import type { Caches } from './observe.ts';
import type { Action } from './plan.ts';

/** Creates and deletes of one pass; the rest follows when these are seen. */
const BURST = 500;
const WIDTH = 64;

export class PodWrites {
  readonly #deps: Deps;
  readonly #caches: Caches;
  readonly #expectations: Expectations;
  readonly #events: EventRecorder;

  constructor(deps: Deps, caches: Caches, expectations: Expectations) {
    this.#deps = deps;
    this.#caches = caches;
    this.#expectations = expectations;
    this.#events = deps.recorder('replicaset-controller');
  }

  async apply(set: DeepReadonly<ReplicaSet>, action: Action, c: Ctx): Promise<void> {
    switch (action.type) {
      case 'adopt':
        return this.#adopt(set, action.pod, c);
      case 'release':
        return this.#release(set, action.pod, c);
      case 'create':
        return slowStart(Math.min(action.count, BURST), () => this.#createPod(set, c));
      case 'delete':
        return forEachLimited(action.pods.slice(0, BURST), WIDTH, (pod) => this.#deletePod(set, pod, c));
    }
  }

  async #createPod(set: DeepReadonly<ReplicaSet>, c: Ctx): Promise<void> {
    const template = mutableCopy<PodTemplateSpec>(set.spec.template ?? {});
    const { labels, annotations, finalizers } = template.metadata ?? {};
    try {
      const pod = await this.#deps.client.create(
        Kinds.pods,
        {
          metadata: {
            name: '',
            generateName: `${set.metadata.name}-`,
            namespace: set.metadata.namespace,
            ownerReferences: [newControllerRef(set, Kinds.replicasets)],
            ...(labels ? { labels } : {}),
            ...(annotations ? { annotations } : {}),
            ...(finalizers ? { finalizers } : {}),
          },
          spec: template.spec ?? { containers: [] },
        },
        c,
      );
      const cached = this.#caches.pods.get(keyOf(pod));
      if (cached?.metadata.uid !== pod.metadata.uid)
        this.#expectations.created(keyText(keyOf(set)), pod.metadata.uid ?? '');
      this.#events.event(set, 'Normal', 'SuccessfulCreate', `Created pod: ${pod.metadata.name}`);
    } catch (e) {
      if (!isNamespaceGoing(e)) this.#events.event(set, 'Warning', 'FailedCreate', `Error creating: ${messageOf(e)}`);
      throw e;
    }
  }

  async #deletePod(set: DeepReadonly<ReplicaSet>, pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    const key = keyText(keyOf(set));
    const uid = pod.metadata.uid ?? '';
    this.#expectations.deleted(key, uid);
    try {
      await this.#deps.client.delete(Kinds.pods, keyOf(pod), { preconditions: { uid } }, c);
      this.#events.event(set, 'Normal', 'SuccessfulDelete', `Deleted pod: ${pod.metadata.name}`);
    } catch (e) {
      this.#expectations.sawGone(key, uid);
      if (isKind(e, 'NotFound') || isKind(e, 'Conflict')) return;
      this.#events.event(set, 'Warning', 'FailedDelete', `Error deleting: ${messageOf(e)}`);
      throw e;
    }
  }

  /** The set is read from the API first: one that is gone, or going, must not take pods (they would never be collected). */
  async #adopt(set: DeepReadonly<ReplicaSet>, pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    const live = await this.#deps.client.get(Kinds.replicasets, keyOf(set), c);
    if (live.metadata.uid !== set.metadata.uid || live.metadata.deletionTimestamp !== undefined)
      throw new StatusError('Conflict', `ReplicaSet ${keyText(keyOf(set))} is going: it adopts nothing`);
    const copy = mutableCopy<Pod>(pod);
    copy.metadata.ownerReferences = [
      ...(copy.metadata.ownerReferences ?? []),
      newControllerRef(set, Kinds.replicasets),
    ];
    await this.#deps.client.update(Kinds.pods, copy, c);
  }

  async #release(set: DeepReadonly<ReplicaSet>, pod: DeepReadonly<Pod>, c: Ctx): Promise<void> {
    const copy = mutableCopy<Pod>(pod);
    copy.metadata.ownerReferences = (copy.metadata.ownerReferences ?? []).filter((r) => r.uid !== set.metadata.uid);
    try {
      await this.#deps.client.update(Kinds.pods, copy, c);
    } catch (e) {
      if (!isKind(e, 'NotFound')) throw e;
    }
  }
}
