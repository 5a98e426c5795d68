/**
 * What a node's conditions and taints should be. Pure.
 *
 * A silent node: Ready and the pressure conditions become Unknown, its pods not ready, and it is tainted unreachable. While
 * more than half of all nodes are silent it is rather us who are cut off: then nothing is marked NoExecute, so that nothing is
 * evicted. A node that is heard speaks for itself: its Ready is left alone. While it says that it is not ready it gets no pods, and
 * keeps those it has for as long as Kubernetes' default toleration: they run on, and here pods tolerate NotReady for seconds only.
 * Source: kubernetes pkg/controller/nodelifecycle/node_lifecycle_controller.go.
 */
import type { DeepReadonly, Node, NodeCondition, Taint } from '#lib/api';
import { getCondition } from '#lib/api';
import type { Instant } from '../instant.ts';

export const NOT_READY = 'node.kubernetes.io/not-ready';
export const UNREACHABLE = 'node.kubernetes.io/unreachable';

/** A node that says so ends its pods itself, in an order that evictions would break: here pods tolerate NotReady for seconds only. */
const SHUTTING_DOWN = 'node is shutting down';

/** Source: kubernetes plugin/pkg/admission/defaulttolerationseconds. */
const UNREADY_TOLERATED_MS = 300_000;

const REPORTED = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];
const PRESSURES: Readonly<Record<string, string>> = {
  MemoryPressure: 'node.kubernetes.io/memory-pressure',
  DiskPressure: 'node.kubernetes.io/disk-pressure',
  PIDPressure: 'node.kubernetes.io/pid-pressure',
  NetworkUnavailable: 'node.kubernetes.io/network-unavailable',
};
const UNSCHEDULABLE = 'node.kubernetes.io/unschedulable';
const MANAGED: ReadonlySet<string> = new Set([NOT_READY, UNREACHABLE, UNSCHEDULABLE, ...Object.values(PRESSURES)]);

export interface Observed {
  readonly node: DeepReadonly<Node>;
  readonly isSilent: boolean;
  /** More than half of the nodes are silent. */
  readonly isCutOff: boolean;
}

export interface Plan {
  /** The whole list, when it has to change. */
  readonly conditions?: readonly NodeCondition[];
  /** The whole list, when it has to change. */
  readonly taints?: readonly Taint[];
  /** `unready`: its pods are to be marked so. `restore`: what was marked so for the node's silence is ready again. */
  readonly pods: 'unready' | 'restore' | 'leave';
}

export function plan(seen: Observed, now: Instant): Plan {
  const { node } = seen;
  const before: readonly NodeCondition[] = (node.status?.conditions ?? []).map((c) => ({ ...c }));
  const conditions = seen.isSilent ? silenced(before, now) : before;
  const isChanged = conditions.some((c, i) => c !== before[i]);
  const taints = taintsOf(seen, conditions, now);
  return {
    ...(isChanged ? { conditions } : {}),
    ...(taints ? { taints } : {}),
    pods: seen.isSilent ? 'unready' : getCondition(conditions, 'Ready')?.status === 'True' ? 'restore' : 'leave',
  };
}

function silenced(before: readonly NodeCondition[], now: Instant): readonly NodeCondition[] {
  const changed = before.map((c) => {
    if (!REPORTED.includes(c.type) || c.status === 'Unknown') return c;
    const message = 'Kubelet stopped posting node status.';
    return { ...c, status: 'Unknown', reason: 'NodeStatusUnknown', message, lastTransitionTime: now.text };
  });
  const missing = REPORTED.filter((type) => !before.some((c) => c.type === type)).map((type) => ({
    type,
    status: 'Unknown',
    reason: 'NodeStatusNeverUpdated',
    message: 'Kubelet never posted node status.',
    lastHeartbeatTime: now.text,
    lastTransitionTime: now.text,
  }));
  return [...changed, ...missing];
}

function taintsOf(seen: Observed, conditions: readonly NodeCondition[], now: Instant): readonly Taint[] | undefined {
  const before = seen.node.spec?.taints ?? [];
  const wanted = wantedTaints(seen, conditions, now);
  const isManaged = (t: DeepReadonly<Taint>): boolean =>
    MANAGED.has(t.key) && (t.effect === 'NoSchedule' || (t.effect === 'NoExecute' && isCondition(t.key)));
  const kept = before.filter((t) => !isManaged(t) || wanted.some((w) => isSame(w, t)));
  const added = wanted
    .filter((w) => !before.some((t) => isSame(w, t)))
    .map((w) => (w.effect === 'NoExecute' ? { ...w, timeAdded: now.text } : w));
  if (added.length === 0 && kept.length === before.length) return undefined;
  return [...kept.map((t) => ({ ...t })), ...added];
}

function wantedTaints(seen: Observed, conditions: readonly NodeCondition[], now: Instant): Taint[] {
  const { status: ready, message = '', lastTransitionTime } = getCondition(conditions, 'Ready') ?? {};
  const wanted: Taint[] = [];
  // Before its first word a node is not ready; nothing runs there that could be evicted.
  if (ready === undefined) wanted.push({ key: NOT_READY, effect: 'NoSchedule' });
  if (ready === 'False') {
    wanted.push({ key: NOT_READY, effect: 'NoSchedule' });
    const sinceMs = lastTransitionTime === undefined ? now.ms : Date.parse(lastTransitionTime);
    if (!message.includes(SHUTTING_DOWN) && now.ms - sinceMs >= UNREADY_TOLERATED_MS)
      wanted.push({ key: NOT_READY, effect: 'NoExecute' });
  }
  if (ready === 'Unknown') {
    wanted.push({ key: UNREACHABLE, effect: 'NoSchedule' });
    const isMarked = (seen.node.spec?.taints ?? []).some((t) => t.key === UNREACHABLE && t.effect === 'NoExecute');
    // Unknown, but not (yet) silent in our own ears: what a former leader marked stays, nothing new is marked.
    if (!seen.isCutOff && (seen.isSilent || isMarked)) wanted.push({ key: UNREACHABLE, effect: 'NoExecute' });
  }
  for (const [type, key] of Object.entries(PRESSURES))
    if (getCondition(conditions, type)?.status === 'True') wanted.push({ key, effect: 'NoSchedule' });
  if (seen.node.spec?.unschedulable === true) wanted.push({ key: UNSCHEDULABLE, effect: 'NoSchedule' });
  return wanted;
}

function isCondition(key: string): boolean {
  return key === NOT_READY || key === UNREACHABLE;
}

function isSame(a: DeepReadonly<Taint>, b: DeepReadonly<Taint>): boolean {
  return a.key === b.key && a.effect === b.effect;
}
