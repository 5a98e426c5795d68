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

/** Of all controllers that the pods have, each counted once. */
async function scaleOf(pods: readonly DeepReadonly<Pod>[], deps: Deps, c: Ctx): Promise<Scale> {
  const replicas = new Map<string, number>();
  for (const pod of pods) {
    const found = await controllerScale(pod, deps, c);
    if ('problem' in found) return found;
    replicas.set(found.uid, found.replicas);
  }
  let sum = 0;
  for (const n of replicas.values()) sum += n;
  return { replicas: sum };
}

type Found = { readonly uid: string; readonly replicas: number } | { readonly problem: string };

async function controllerScale(pod: DeepReadonly<Pod>, deps: Deps, c: Ctx): Promise<Found> {
  const owner = controllerOf(pod);
  if (owner === undefined) return { problem: `found no controller ref for pod "${pod.metadata.name}"` };
  const namespace = pod.metadata.namespace ?? '';
  const { name } = owner;
  switch (`${owner.apiVersion}/${owner.kind}`) {
    case 'apps/v1/ReplicaSet': {
      const set = deps.informers.informer(Kinds.replicasets).get({ namespace, name });
      const above = set === undefined ? undefined : controllerOf(set);
      if (above?.kind !== 'Deployment') return found(set, name);
      return found(deps.informers.informer(Kinds.deployments).get({ namespace, name: above.name }), above.name);
    }
    case 'apps/v1/StatefulSet':
      return found(deps.informers.informer(Kinds.statefulsets).get({ namespace, name }), name);
    case 'v1/ReplicationController':
      return found(deps.informers.informer(Kinds.replicationcontrollers).get({ namespace, name }), name);
    default:
      return await customScale(owner, { namespace, name }, deps, c);
  }
}

/** By the scale subresource of a custom kind. */
async function customScale(
  owner: { readonly apiVersion: string; readonly kind: string },
  key: ObjectKey,
  deps: Deps,
  c: Ctx,
): Promise<Found> {
  const kind = deps.customKinds.byGvk(owner.apiVersion, owner.kind);
  const path = kind?.custom?.scale?.specReplicasPath;
  if (kind === undefined || path === undefined)
    return { problem: `${owner.kind}.${owner.apiVersion} does not implement the scale subresource` };
  const at = kind.namespaced ? key : { ...key, namespace: '' };
  const object = await deps.client.get(kind, at, c);
  const { value } = nestedValue(object, path);
  return { uid: object.metadata.uid ?? '', replicas: typeof value === 'number' ? value : 0 };
}

function found(owner: DeepReadonly<Scalable> | undefined, name: string): Found {
  if (owner === undefined) return { problem: `the controller "${name}" is not there` };
  return { uid: owner.metadata.uid ?? '', replicas: owner.spec?.replicas ?? 1 };
}
