/**
 * Deletes pods whose node is tainted NoExecute beyond what they tolerate. Deletion is graceful: the object stays until its
 * node says that nothing is left, so that nothing ever runs twice under one name; its owner replaces it at once.
 *
 * The unreachable taint counts only while this process itself finds the node silent: what a former leader marked before an
 * outage is no reason to evict anybody after it.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { Kinds, keyOf, keyText, setCondition } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind, timeText } from '#lib/base';
import type { Controller, EventRecorder, Outcome } from '#lib/controller';
import { changesOf, DONE, isEqualJson, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { BY_NODE, nodeIndex } from '../indexes.ts';
import { UNREACHABLE } from '../node-lifecycle/plan.ts';
import { isFinished } from '../pod-state.ts';
import { noExecuteTaints, plan } from './plan.ts';
import { TaintTimes } from './since.ts';

const RECHECK_MS = 500;

export function startTaintEvictionController(deps: Deps, isSilent: (node: string) => boolean): Controller {
  const pods = deps.informers.informer(Kinds.pods, { indexes: nodeIndex });
  const nodes = deps.informers.informer(Kinds.nodes);
  const events = deps.recorder('taint-eviction-controller');
  const times = new TaintTimes();
  const reconcile = async (key: string, c: Ctx): Promise<Outcome> => {
    const pod = pods.get(parseKeyText(key));
    const node = pod?.spec.nodeName ? nodes.get({ namespace: '', name: pod.spec.nodeName }) : undefined;
    if (!pod || !node || isFinished(pod)) return DONE;
    const taints = times.saw(node, c.clock.now());
    const isSure = isSilent(node.metadata.name);
    const counting = taints.filter((m) => m.taint.key !== UNREACHABLE || isSure);
    const next = plan(pod, counting);
    if (next.type === 'stay') return counting.length < taints.length ? { afterMs: RECHECK_MS } : DONE;
    const waitMs = next.atMs - c.clock.now();
    if (waitMs > 0) return { afterMs: counting.length < taints.length ? Math.min(waitMs, RECHECK_MS) : waitMs };
    await evict(pod, events, deps, c);
    return DONE;
  };
  return startController({
    ...deps,
    name: 'taint-eviction',
    workers: 8,
    reconciler: { reconcile },
    sources: [
      changesOf(pods, (previous, next) =>
        next?.spec.nodeName && (!previous || previous.spec.nodeName !== next.spec.nodeName)
          ? [keyText(keyOf(next))]
          : [],
      ),
      changesOf(pods, (previous, next) =>
        previous && next && !isEqualJson(previous.spec.tolerations, next.spec.tolerations)
          ? [keyText(keyOf(next))]
          : [],
      ),
      changesOf(nodes, (previous, next) => {
        if (next) times.saw(next, deps.clock.now());
        else if (previous) times.forget(previous.metadata.name);
        if (!next || isEqualJson(previous && noExecuteTaints(previous), noExecuteTaints(next))) return [];
        return pods.byIndex(BY_NODE, next.metadata.name).map((p) => keyText(keyOf(p)));
      }),
    ],
  });
}

async function evict(pod: DeepReadonly<Pod>, events: EventRecorder, deps: Deps, c: Ctx): Promise<void> {
  const { uid } = pod.metadata;
  const now = timeText(c.clock.now());
  const condition = {
    type: 'DisruptionTarget',
    status: 'True',
    reason: 'DeletionByTaintManager',
    message: 'Taint manager: deleting due to NoExecute taint',
  };
  try {
    const conditions = setCondition(pod.status?.conditions, condition, now);
    await deps.client.update<Pod>(Kinds.pods, { ...pod, status: { ...pod.status, conditions } }, c, {
      subresource: 'status',
    });
    events.event(pod, 'Normal', 'TaintManagerEviction', `Marking for deletion Pod ${keyText(keyOf(pod))}`);
    await deps.client.delete(Kinds.pods, keyOf(pod), { preconditions: { uid } }, c);
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
  }
}
