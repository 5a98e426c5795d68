/**
 * The status of a PodDisruptionBudget: how many of its pods are healthy, how many must be, and so how many may be evicted. Pure.
 * Source: pkg/controller/disruption/disruption.go.
 */
import {
  type Condition,
  type DeepReadonly,
  isConditionTrue,
  type Pod,
  type PodDisruptionBudget,
  semanticEqual,
  setCondition,
} from '#lib/api';
import { isFinished, isTerminating } from '../pod-state.ts';

/** How long an eviction that was allowed may take to show as a deletion timestamp of its pod. */
export const EVICTION_MS = 120_000;

export type Budget = DeepReadonly<PodDisruptionBudget>;
type Status = NonNullable<PodDisruptionBudget['status']>;

/** The replicas that the controllers of the pods want together, or why nobody can say. */
export type Scale = { readonly replicas: number } | { readonly problem: string };

export interface Observed {
  readonly budget: Budget;
  /** Selected by the budget. */
  readonly pods: readonly DeepReadonly<Pod>[];
  readonly scale: Scale;
  readonly nowMs: number;
  readonly nowText: string;
}

export interface Plan {
  /** undefined: as it is stored. */
  readonly status: Status | undefined;
  /** When an eviction that does not come about is forgotten. */
  readonly againMs: number | undefined;
}

export function plan(o: Observed): Plan {
  const { budget } = o;
  const wanted = wantedCounts(o);
  const before = budget.status;
  if ('problem' in wanted) {
    const failed: Condition = {
      lastTransitionTime: o.nowText,
      type: 'DisruptionAllowed',
      status: 'False',
      reason: 'SyncFailed',
      message: wanted.problem,
    };
    const status: Status = {
      expectedPods: 0,
      currentHealthy: 0,
      desiredHealthy: 0,
      ...(before as Status | undefined),
      disruptionsAllowed: 0,
      conditions: [...setCondition(conditionsOf(budget), failed, o.nowText)],
    };
    return { status: unlessSame(status, before), againMs: undefined };
  }
  const { disruptedPods, againMs } = stillDisrupted(o);
  const currentHealthy = o.pods.filter((p) => isHealthy(p) && disruptedPods[p.metadata.name] === undefined).length;
  const spare = Math.max(0, currentHealthy - wanted.desiredHealthy);
  const disruptionsAllowed = wanted.expectedPods > 0 ? spare : 0;
  const condition =
    disruptionsAllowed > 0
      ? { type: 'DisruptionAllowed', status: 'True', reason: 'SufficientPods', message: '' }
      : { type: 'DisruptionAllowed', status: 'False', reason: 'InsufficientPods', message: '' };
  const noted: Condition = {
    ...condition,
    lastTransitionTime: o.nowText,
    observedGeneration: budget.metadata.generation,
  };
  const status: Status = {
    observedGeneration: budget.metadata.generation,
    ...(Object.keys(disruptedPods).length > 0 ? { disruptedPods } : {}),
    disruptionsAllowed,
    currentHealthy,
    desiredHealthy: wanted.desiredHealthy,
    expectedPods: wanted.expectedPods,
    conditions: [...setCondition(conditionsOf(budget), noted, o.nowText)],
  };
  return { status: unlessSame(status, before), againMs };
}

interface Wanted {
  readonly expectedPods: number;
  readonly desiredHealthy: number;
}

function wantedCounts({ budget, pods, scale }: Observed): Wanted | { readonly problem: string } {
  const { minAvailable, maxUnavailable } = budget.spec ?? {};
  if (maxUnavailable !== undefined) {
    if ('problem' in scale) return scale;
    const unavailable = scaled(maxUnavailable, scale.replicas);
    return { expectedPods: scale.replicas, desiredHealthy: Math.max(0, scale.replicas - unavailable) };
  }
  // Says nothing: allows nothing, as in Kubernetes.
  if (minAvailable === undefined) return { expectedPods: 0, desiredHealthy: 0 };
  if (typeof minAvailable !== 'string') return { expectedPods: pods.length, desiredHealthy: minAvailable };
  if ('problem' in scale) return scale;
  return { expectedPods: scale.replicas, desiredHealthy: scaled(minAvailable, scale.replicas) };
}

/** A percentage is rounded up, as Kubernetes does for both fields. */
function scaled(value: number | string, total: number): number {
  return typeof value === 'number' ? value : Math.ceil((Number.parseInt(value, 10) * total) / 100);
}

function isHealthy(pod: DeepReadonly<Pod>): boolean {
  return !isTerminating(pod) && !isFinished(pod) && isConditionTrue(pod.status?.conditions, 'Ready');
}

/** Evictions that were allowed and whose pods do not show it yet. */
function stillDisrupted({ budget, pods, nowMs }: Observed): {
  disruptedPods: Record<string, string>;
  againMs: number | undefined;
} {
  const disruptedPods: Record<string, string> = {};
  let againMs: number | undefined;
  const byName = new Map(pods.map((p) => [p.metadata.name, p]));
  for (const [name, since] of Object.entries(budget.status?.disruptedPods ?? {})) {
    const pod = byName.get(name);
    const leftMs = Date.parse(since) + EVICTION_MS - nowMs;
    if (pod === undefined || isTerminating(pod) || leftMs <= 0) continue;
    disruptedPods[name] = since;
    againMs = Math.min(againMs ?? leftMs, leftMs);
  }
  return { disruptedPods, againMs };
}

function conditionsOf(budget: Budget): readonly Condition[] {
  return (budget.status?.conditions ?? []) as readonly Condition[];
}

function unlessSame(status: Status, before: Budget['status']): Status | undefined {
  return semanticEqual(status, before) ? undefined : status;
}
