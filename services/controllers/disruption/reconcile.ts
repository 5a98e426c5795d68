/**
 * Keeps the status of PodDisruptionBudgets, by which the API decides on evictions. An eviction spends the status at once; what is
 * counted here follows. Source: pkg/controller/disruption/disruption.go.
 */
import {
  controllerOf,
  type DeepReadonly,
  Kinds,
  type KubeObject,
  keyOf,
  keyText,
  matcherOf,
  nestedValue,
  type ObjectKey,
  type OwnerReference,
  type Pod,
  type PodDisruptionBudget,
} from '#lib/api';
import { type Ctx, isKind, timeText } from '#lib/base';
import {
  type Controller,
  DONE,
  keysFrom,
  type Outcome,
  objectsOf,
  parseKeyText,
  startController,
} from '#lib/controller';
import type { Deps } from '../deps.ts';
import { type Budget, plan, type Scale } from './plan.ts';

const WORKERS = 4;

interface Scalable extends KubeObject {
  readonly spec?: { readonly replicas?: number | undefined };
}

export function startDisruptionController(deps: Deps): Controller {
  const budgets = deps.informers.informer(Kinds.poddisruptionbudgets);
  const pods = deps.informers.informer(Kinds.pods);
  const selected = (budget: Budget): readonly DeepReadonly<Pod>[] => {
    const matcher = matcherOf(budget.spec?.selector);
    return pods.list(budget.metadata.namespace ?? '').filter((p) => matcher.matches(p.metadata.labels));
  };
  const budgetsOf = (o: DeepReadonly<KubeObject>): readonly string[] =>
    budgets
      .list(o.metadata.namespace ?? '')
      .filter((b) => matcherOf(b.spec?.selector).matches(o.metadata.labels))
      .map((b) => keyText(keyOf(b)));
  // A change of replicas changes what percentages mean; which pods are whose, only the pods say.
  const allOfNamespace = (o: DeepReadonly<KubeObject>): readonly string[] =>
    budgets.list(o.metadata.namespace ?? '').map((b) => keyText(keyOf(b)));
  return startController({
    ...deps,
    name: 'disruption',
    workers: WORKERS,
    sources: [
      objectsOf(budgets),
      keysFrom(pods, budgetsOf),
      keysFrom(deps.informers.informer(Kinds.deployments), allOfNamespace),
      keysFrom(deps.informers.informer(Kinds.replicasets), allOfNamespace),
      keysFrom(deps.informers.informer(Kinds.statefulsets), allOfNamespace),
      keysFrom(deps.informers.informer(Kinds.replicationcontrollers), allOfNamespace),
    ],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const budget = budgets.get(parseKeyText(key));
        if (budget === undefined || budget.metadata.deletionTimestamp !== undefined) return DONE;
        const chosen = selected(budget);
        const nowMs = c.clock.now();
        const scale = await scaleOf(chosen, deps, c);
        const { status, againMs } = plan({ budget, pods: chosen, scale, nowMs, nowText: timeText(nowMs) });
        if (status !== undefined) await write(budget, status, deps, c);
        return againMs === undefined ? DONE : { afterMs: againMs };
      },
    },
  });
}

async function write(
  budget: Budget,
  status: NonNullable<PodDisruptionBudget['status']>,
  deps: Deps,
  c: Ctx,
): Promise<void> {
  try {
    await deps.client.update<PodDisruptionBudget>(Kinds.poddisruptionbudgets, { ...budget, status }, c, {
      subresource: 'status',
    });
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
  }
}

/** Of all controllers that the pods have, each counted once. Pods without one are not counted, as Kubernetes does. */
export async function scaleOf(pods: readonly DeepReadonly<Pod>[], deps: ScaleDeps, c: Ctx): Promise<Scale> {
  const replicas = new Map<string, number>();
  for (const pod of pods) {
    const owner = controllerOf(pod);
    if (owner === undefined || replicas.has(owner.uid)) continue;
    const found = await controllerScale(owner, pod.metadata.namespace ?? '', deps, c);
    if (found === undefined) return { problem: `found no controllers for pod "${pod.metadata.name}"` };
    replicas.set(found.uid, found.replicas);
  }
  let sum = 0;
  for (const n of replicas.values()) sum += n;
  return { replicas: sum };
}

type ScaleDeps = Pick<Deps, 'client' | 'customKinds' | 'informers'>;
type Owner = DeepReadonly<OwnerReference>;

interface Found {
  readonly uid: string;
  readonly replicas: number;
}

async function controllerScale(owner: Owner, namespace: string, deps: ScaleDeps, c: Ctx): Promise<Found | undefined> {
  const { name } = owner;
  switch (`${owner.apiVersion}/${owner.kind}`) {
    case 'apps/v1/ReplicaSet': {
      const set = deps.informers.informer(Kinds.replicasets).get({ namespace, name });
      const above = set === undefined ? undefined : controllerOf(set);
      if (above?.kind !== 'Deployment' || set?.metadata.uid !== owner.uid) return found(set, owner);
      return found(deps.informers.informer(Kinds.deployments).get({ namespace, name: above.name }), above);
    }
    case 'apps/v1/StatefulSet':
      return found(deps.informers.informer(Kinds.statefulsets).get({ namespace, name }), owner);
    case 'v1/ReplicationController':
      return found(deps.informers.informer(Kinds.replicationcontrollers).get({ namespace, name }), owner);
    default:
      return await customScale(owner, { namespace, name }, deps, c);
  }
}

/** By the scale subresource of a custom kind. */
async function customScale(owner: Owner, key: ObjectKey, deps: ScaleDeps, c: Ctx): Promise<Found | undefined> {
  const kind = deps.customKinds.byGvk(owner.apiVersion, owner.kind);
  const path = kind?.custom?.scale?.specReplicasPath;
  if (kind === undefined || path === undefined) return undefined;
  const at = kind.namespaced ? key : { ...key, namespace: '' };
  try {
    const object = await deps.client.get(kind, at, c);
    const { value } = nestedValue(object, path);
    if (object.metadata.uid !== owner.uid) return undefined;
    return { uid: owner.uid, replicas: typeof value === 'number' ? value : 0 };
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
    return undefined;
  }
}

/** undefined: it is gone, and another has its name. */
function found(controller: DeepReadonly<Scalable> | undefined, owner: Owner): Found | undefined {
  if (controller?.metadata.uid !== owner.uid) return undefined;
  return { uid: owner.uid, replicas: controller.spec?.replicas ?? 1 };
}
