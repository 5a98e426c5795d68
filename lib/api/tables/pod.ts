/**
 * The row of a Pod, with the STATUS text that people know from kubectl: not the phase alone but what holds the pod up.
 *
 * The rule in order: the phase, or status.reason; SchedulingGated; the first init container that is not done
 * (Init:1/2, Init:CrashLoopBackOff, Init:ExitCode:3, Init:Signal:9); else the waiting or terminated reason of the first app
 * container that has one; Completed beside a running container is Running or NotReady; deletion shows as Terminating.
 * Source: kubernetes/pkg/printers/internalversion/printers.go, printPod.
 */
import { COLUMNS } from '../gen/columns.ts';
import { Kinds } from '../gen/kinds.ts';
import type { ContainerStatus, Pod } from '../gen/types/core-v1.ts';
import type { TableRowCondition } from '../gen/types/meta-v1.ts';
import { isConditionTrue } from '../meta.ts';
import type { DeepReadonly } from '../object.ts';
import { type CellContext, isSidecar, NONE, orNone, type Printer } from './printer.ts';

export const podPrinter: Printer = {
  kind: Kinds.pods,
  columns: COLUMNS.pod,
  cells: (o, c) => cells(o as DeepReadonly<Pod>, c),
  conditions: (o) => conditions(o as DeepReadonly<Pod>),
};

function cells(pod: DeepReadonly<Pod>, c: CellContext): unknown[] {
  const state = podSummary(pod);
  const { spec, status } = pod;
  const restarts =
    state.restarts > 0 && state.lastRestart !== undefined
      ? `${state.restarts} (${c.age(state.lastRestart)} ago)`
      : `${state.restarts}`;
  const gates = spec?.readinessGates ?? [];
  const passed = gates.filter((g) => isConditionTrue(status?.conditions, g.conditionType)).length;
  return [
    pod.metadata.name,
    `${state.ready}/${state.total}`,
    state.text,
    restarts,
    c.age(pod.metadata.creationTimestamp),
    orNone(status?.podIPs?.[0]?.ip ?? status?.podIP),
    orNone(spec?.nodeName),
    orNone(status?.nominatedNodeName),
    gates.length === 0 ? NONE : `${passed}/${gates.length}`,
  ];
}

export interface PodSummary {
  /** The STATUS column. */
  readonly text: string;
  readonly ready: number;
  readonly total: number;
  readonly restarts: number;
  /** Timestamp of the latest restart that counts, if any. */
  readonly lastRestart: string | undefined;
}

/** What kubectl shows of a pod. Pure. */
export function podSummary(pod: DeepReadonly<Pod>): PodSummary {
  const { spec, status } = pod;
  const initContainers = spec?.initContainers ?? [];
  const total = (spec?.containers ?? []).length + initContainers.filter(isSidecar).length;
  const gated = status?.conditions?.some((x) => x.type === 'PodScheduled' && x.reason === 'SchedulingGated') ?? false;
  const start = gated ? 'SchedulingGated' : status?.reason || status?.phase || '';
  const init = initProgress(pod);
  let text = init.text ?? start;
  let ready = init.readySidecars;
  if (init.text === undefined || isConditionTrue(status?.conditions, 'Initialized')) {
    const app = appProgress(pod, text);
    text = app.text;
    ready += app.ready;
    const restarts = new Restarts(init.sidecars);
    for (const container of status?.containerStatuses ?? []) restarts.add(container);
    return { text: deletionText(pod, text), ready, total, restarts: restarts.count, lastRestart: restarts.last };
  }
  return { text: deletionText(pod, text), ready, total, restarts: init.all.count, lastRestart: init.all.last };
}

/** A sum of restarts and the latest of their instants. */
class Restarts {
  count: number;
  last: string | undefined;

  constructor(start?: { count: number; last: string | undefined }) {
    this.count = start?.count ?? 0;
    this.last = start?.last;
  }

  add(container: DeepReadonly<ContainerStatus>): void {
    this.count += container.restartCount ?? 0;
    const finished = container.lastState?.terminated?.finishedAt;
    if (finished !== undefined && finished !== null && (this.last === undefined || finished > this.last))
      this.last = finished;
  }
}

interface InitProgress {
  /** What the first unfinished init container shows; undefined when all are done. */
  readonly text: string | undefined;
  readonly readySidecars: number;
  readonly all: Restarts;
  readonly sidecars: Restarts;
}

function initProgress(pod: DeepReadonly<Pod>): InitProgress {
  const containers = new Map((pod.spec?.initContainers ?? []).map((x) => [x.name, x]));
  const all = new Restarts();
  const sidecars = new Restarts();
  let readySidecars = 0;
  for (const [i, container] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = isSidecar(containers.get(container.name));
    all.add(container);
    if (sidecar) sidecars.add(container);
    const terminated = container.state?.terminated;
    if (terminated && (terminated.exitCode ?? 0) === 0) continue;
    if (sidecar && container.started === true) {
      if (container.ready) readySidecars++;
      continue;
    }
    const waiting = container.state?.waiting?.reason;
    const text = terminated
      ? `Init:${terminated.reason || endText(terminated)}`
      : waiting && waiting !== 'PodInitializing'
        ? `Init:${waiting}`
        : `Init:${i}/${containers.size}`;
    return { text, readySidecars, all, sidecars };
  }
  return { text: undefined, readySidecars, all, sidecars };
}

/** Walks from the last container to the first, so that the first one that says something has the last word. */
function appProgress(pod: DeepReadonly<Pod>, start: string): { text: string; ready: number } {
  let text = start;
  let ready = 0;
  let hasRunning = false;
  for (const container of (pod.status?.containerStatuses ?? []).toReversed()) {
    const { waiting, terminated, running } = container.state ?? {};
    if (waiting?.reason) text = waiting.reason;
    else if (terminated) text = terminated.reason || endText(terminated);
    else if (container.ready && running) {
      hasRunning = true;
      ready++;
    }
  }
  if (text === 'Completed' && hasRunning)
    text = isConditionTrue(pod.status?.conditions, 'Ready') ? 'Running' : 'NotReady';
  return { text, ready };
}

function endText(terminated: { readonly signal?: number | undefined; readonly exitCode?: number | undefined }): string {
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode ?? 0}`;
}

function deletionText(pod: DeepReadonly<Pod>, text: string): string {
  if (pod.metadata.deletionTimestamp === undefined || pod.metadata.deletionTimestamp === null) return text;
  if (pod.status?.reason === 'NodeLost') return 'Unknown';
  const phase = pod.status?.phase;
  return phase === 'Succeeded' || phase === 'Failed' ? text : 'Terminating';
}

function conditions(pod: DeepReadonly<Pod>): TableRowCondition[] {
  switch (pod.status?.phase) {
    case 'Succeeded':
      return [
        { type: 'Completed', status: 'True', reason: 'Succeeded', message: 'The pod has completed successfully.' },
      ];
    case 'Failed':
      return [{ type: 'Completed', status: 'True', reason: 'Failed', message: 'The pod failed.' }];
    default:
      return [];
  }
}
