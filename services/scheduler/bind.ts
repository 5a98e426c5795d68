/**
 * Tells the API where a pod goes, and the user why it goes nowhere. Bindings that are decided in the same turn of the event
 * loop are sent side by side, so that the store commits them together.
 */
import type { DeepReadonly, Pod, PodStatus } from '#lib/api';
import { getCondition, Kinds, keyOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import type { EventRecorder } from '#lib/controller';

const ATTEMPTS_MAX = 5;

export class Binder {
  readonly #client: Client;
  readonly #events: EventRecorder;

  constructor(client: Client, events: EventRecorder) {
    this.#client = client;
    this.#events = events;
  }

  /** Throws what the API answers; Conflict and NotFound mean that the pod is not waiting any more. */
  async bind(pod: DeepReadonly<Pod>, node: string, c: Ctx): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name, namespace, uid },
      target: { apiVersion: 'v1', kind: 'Node', name: node },
    };
    await this.#client.createSub(Kinds.pods, keyOf(pod), 'binding', binding, c);
    this.#events.event(pod, 'Normal', 'Scheduled', `Successfully assigned ${namespace}/${name} to ${node}`);
  }

  /** Event FailedScheduling and condition PodScheduled=False. Failures are logged: the next try tells again. */
  async tellUnschedulable(pod: DeepReadonly<Pod>, message: string, c: Ctx): Promise<void> {
    this.#events.event(pod, 'Warning', 'FailedScheduling', message);
    try {
      await this.#markUnschedulable(pod, message, c);
    } catch (e) {
      if (c.signal.aborted || isKind(e, 'NotFound')) return;
      c.log.warn(
        { name: pod.metadata.name, namespace: pod.metadata.namespace, err: messageOf(e) },
        'pod condition not written',
      );
    }
  }

  /** Guarded by the revision: the pod may be bound while this is on its way, and must not be called unscheduled after. */
  async #markUnschedulable(pod: DeepReadonly<Pod>, message: string, c: Ctx): Promise<void> {
    let latest = pod;
    for (let attempt = 0; ; attempt++) {
      const status = unscheduled(latest, message, timeText(c.clock.now()));
      if (status === undefined) return;
      const { uid, resourceVersion } = latest.metadata;
      const body = { metadata: { uid, resourceVersion }, status };
      try {
        await this.#client.patch(Kinds.pods, keyOf(pod), { type: 'strategic', body }, c, { subresource: 'status' });
        return;
      } catch (e) {
        if (!isKind(e, 'Conflict') || attempt >= ATTEMPTS_MAX) throw e;
      }
      latest = await this.#client.get(Kinds.pods, keyOf(pod), c);
      if (latest.metadata.uid !== uid) return;
    }
  }
}

/** undefined when the pod has a node or says so already. */
function unscheduled(pod: DeepReadonly<Pod>, message: string, now: string): PodStatus | undefined {
  const before = getCondition(pod.status?.conditions, 'PodScheduled');
  const isSaid = before?.status === 'False' && before.reason === 'Unschedulable' && before.message === message;
  if (pod.spec.nodeName || isSaid) return undefined;
  const lastTransitionTime = before?.status === 'False' ? before.lastTransitionTime : now;
  const condition = { type: 'PodScheduled', status: 'False', reason: 'Unschedulable', message, lastTransitionTime };
  return { conditions: [condition] };
}
