/**
 * Tells the API where a pod goes, and the user why it goes nowhere. Bindings that are decided in the same turn of the event
 * loop are sent side by side, so that the store commits them together.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { getCondition, Kinds, keyOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, messageOf, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import type { EventRecorder } from '#lib/controller';

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
    const before = getCondition(pod.status?.conditions, 'PodScheduled');
    if (before?.status === 'False' && before.reason === 'Unschedulable' && before.message === message) return;
    const now = timeText(c.clock.now());
    const condition = {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message,
      lastTransitionTime: before?.status === 'False' ? before.lastTransitionTime : now,
    };
    const body = { metadata: { uid: pod.metadata.uid }, status: { conditions: [condition] } };
    try {
      const o = { subresource: 'status' };
      await this.#client.patch(Kinds.pods, keyOf(pod), { type: 'strategic', body }, c, o);
    } catch (e) {
      if (c.signal.aborted || isKind(e, 'NotFound') || isKind(e, 'Conflict')) return;
      c.log.warn(
        { name: pod.metadata.name, namespace: pod.metadata.namespace, err: messageOf(e) },
        'pod condition not written',
      );
    }
  }
}
