/**
 * Removes pods whose node does not exist any more: nobody is left to run or to stop them. The Node's absence is asked of the
 * API, and has to last for a while. Source: kubernetes pkg/controller/podgc/gc_controller.go gcOrphaned.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { Kinds, keyOf, keyText, setCondition } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, timeText } from '#lib/base';
import type { Controller, Outcome } from '#lib/controller';
import { changesOf, DONE, delayed, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { BY_NODE, nodeIndex } from '../indexes.ts';
import { isFinished } from '../pod-state.ts';

const QUARANTINE_MS = 5_000;

export function startPodGcController(deps: Deps): Controller {
  const pods = deps.informers.informer(Kinds.pods, { indexes: nodeIndex });
  const nodes = deps.informers.informer(Kinds.nodes);
  return startController({
    ...deps,
    name: 'pod-gc',
    workers: 8,
    sources: [
      delayed(
        changesOf(pods, (previous, next) =>
          next?.spec.nodeName && previous?.spec.nodeName !== next.spec.nodeName ? [keyText(keyOf(next))] : [],
        ),
        QUARANTINE_MS,
      ),
      delayed(
        changesOf(nodes, (previous, next) =>
          previous && !next ? pods.byIndex(BY_NODE, previous.metadata.name).map((p) => keyText(keyOf(p))) : [],
        ),
        QUARANTINE_MS,
      ),
    ],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const pod = pods.get(parseKeyText(key));
        const name = pod?.spec.nodeName;
        if (!pod || !name || nodes.get({ namespace: '', name })) return DONE;
        try {
          await deps.client.get(Kinds.nodes, { namespace: '', name }, c);
        } catch (e) {
          if (!isKind(e, 'NotFound')) throw e;
          await remove(pod, deps, c);
        }
        return DONE;
      },
    },
  });
}

async function remove(pod: DeepReadonly<Pod>, deps: Deps, c: Ctx): Promise<void> {
  const { uid } = pod.metadata;
  try {
    if (!isFinished(pod)) {
      const condition = {
        type: 'DisruptionTarget',
        status: 'True',
        reason: 'DeletionByPodGC',
        message: 'PodGC: node no longer exists',
      };
      const conditions = setCondition(pod.status?.conditions, condition, timeText(c.clock.now()));
      const status = { ...pod.status, phase: 'Failed', conditions };
      await deps.client.update<Pod>(Kinds.pods, { ...pod, status }, c, { subresource: 'status' });
    }
    await deps.client.delete(Kinds.pods, keyOf(pod), { gracePeriodSeconds: 0, preconditions: { uid } }, c);
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
  }
}
