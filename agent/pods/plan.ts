/**
 * The pure decision of a pod worker: desired pod + what is on the node + now -> actions, and when to look again.
 * Called after every change; each action is safe to repeat after a crash between any two lines.
 * Source: kubernetes pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions), KEP-753 (sidecars).
 */
import {
  type Action,
  type ContainerObservation,
  containersOf,
  isRunning,
  observationOf,
  type Plan,
  type PodObject,
  type PodObservation,
  type RoledContainer,
  succeeded,
} from './model.ts';
import { resizeOf, resizeWork } from './resize-model.ts';
import { type RestartPolicy, restartDelayMs, runsAgain } from './restart.ts';
import { staleContainers } from './restart-all.ts';

const DEFAULT_GRACE_S = 30;
/** Added when preStop used up the grace, and the least a forced deletion gives (kubelet minimumGracePeriodInSeconds). */
export const MINIMUM_GRACE_S = 2;

/** `terminating`: the API object has a deletionTimestamp, or is gone. */
export function plan(pod: PodObject, seen: PodObservation, o: { terminating: boolean; nowMs: number }): Plan {
  if (o.terminating) return planTermination(pod, seen, o.nowMs);
  if (seen.terminal !== undefined || seen.failure !== undefined) return planEnd(pod, seen);
  /* PodSecurity lets such pods off checks that only count on Linux. Source: pkg/kubelet/lifecycle/predicate.go. */
  if (pod.spec.os !== undefined && pod.spec.os.name !== 'linux') {
    const message = "Failed to admit pod as the OS field doesn't match node OS";
    return { actions: [{ do: 'fail', failure: { reason: 'PodOSNotSupported', message } }] };
  }
  const deadline = deadlineMs(pod, seen);
  if (deadline !== undefined && o.nowMs >= deadline) {
    const message = 'Pod was active on the node longer than the specified deadline';
    return { actions: [{ do: 'fail', failure: { reason: 'DeadlineExceeded', message } }] };
  }
  const next = planRun(pod, seen, o.nowMs);
  return deadline === undefined ? next : { ...next, wakeAtMs: Math.min(next.wakeAtMs ?? deadline, deadline) };
}

function deadlineMs(pod: PodObject, seen: PodObservation): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  return seconds === undefined ? undefined : seen.startedAtMs + seconds * 1000;
}

interface Moment {
  readonly policy: RestartPolicy;
  readonly nowMs: number;
  readonly restartDelayMaxMs: number | undefined;
}

function planRun(pod: PodObject, seen: PodObservation, nowMs: number): Plan {
  if (seen.sandbox.phase === 'absent') return { actions: [{ do: 'makeSandbox' }] };
  if (seen.sandbox.phase === 'failed') {
    return nowMs >= seen.sandbox.retryAtMs
      ? { actions: [{ do: 'makeSandbox' }] }
      : { actions: [], wakeAtMs: seen.sandbox.retryAtMs };
  }
  const stale = staleContainers(pod, seen.containers);
  if (stale.length > 0)
    return { actions: stale.map((name) => stopToReplace(name, MINIMUM_GRACE_S, `Stopping container ${name}`)) };
  const resize = resizeWork(pod, seen);
  const retryAtMs = seen.resize?.retryAtMs ?? 0;
  const out = new Collector(graceOf(pod), resize.isDue && retryAtMs === 0);
  const policy = (pod.spec.restartPolicy ?? 'Always') as RestartPolicy;
  const now: Moment = { policy, nowMs, restartDelayMaxMs: seen.restartDelayMaxMs };
  const all = containersOf(pod);
  if (isOver(all, seen, policy)) return planSidecarStop(pod, all, seen);
  if (resize.isDue && !resize.hasRestarts) out.resizeAt(retryAtMs, nowMs);
  const mayRunApps = planInit(all, seen, now, out);
  for (const c of all) {
    if (c.role === 'ephemeral' || (c.role === 'app' && mayRunApps))
      planContainer(c, observationOf(seen, c.spec.name), now, out);
  }
  return out.plan();
}

/** All app containers ended for good, or an init container did without success: what is left is to stop the sidecars. */
function isOver(all: readonly RoledContainer[], seen: PodObservation, policy: RestartPolicy): boolean {
  const endedForGood = (c: RoledContainer): boolean => {
    const { latest } = observationOf(seen, c.spec.name);
    return latest?.state.phase === 'exited' && !runsAgain(policy, c, latest);
  };
  const failed = all.some((c) => c.role === 'init' && endedForGood(c) && !succeeded(observationOf(seen, c.spec.name)));
  return failed || all.every((c) => c.role !== 'app' || endedForGood(c));
}

/** Starts init containers one after the other; true when the app containers may run. */
function planInit(all: readonly RoledContainer[], seen: PodObservation, now: Moment, out: Collector): boolean {
  const appsBegan = all.some((c) => c.role === 'app' && observationOf(seen, c.spec.name).latest !== undefined);
  for (const c of all) {
    if (c.role !== 'init' && c.role !== 'sidecar') continue;
    const o = observationOf(seen, c.spec.name);
    if (c.role === 'sidecar') {
      planContainer(c, o, now, out);
      if (!appsBegan && !(isRunning(o) && o.started && o.postStarted)) return false;
      continue;
    }
    if (appsBegan || succeeded(o)) continue;
    planContainer(c, o, now, out);
    return false;
  }
  return true;
}

function planContainer(c: RoledContainer, o: ContainerObservation, now: Moment, out: Collector): void {
  const { policy, nowMs } = now;
  const name = c.spec.name;
  const latest = o.latest;
  if (latest === undefined) {
    out.startAt(name, o.firstAttempt, o.retryAtMs, nowMs);
    return;
  }
  if (latest.state.phase === 'running') {
    const changed = (c.role === 'app' || c.role === 'sidecar') && latest.image !== c.spec.image;
    if (o.endRequested !== undefined) out.stop(name, o.endRequested.graceSeconds, o.endRequested.reason);
    else if (changed) out.replace(name, `Container ${name} definition changed, will be restarted`);
    else if (resizeOf(c, o) === 'restart') out.replace(name, `Container ${name} resize requires restart`);
    return;
  }
  if (!runsAgain(policy, c, latest)) return;
  const dueMs = latest.state.finishedAtMs + restartDelayMs(latest, c.spec.image ?? '', now.restartDelayMaxMs);
  out.startAt(name, latest.attempt + 1, Math.max(dueMs, o.retryAtMs), nowMs);
}

/** Sidecars stop in reverse order, none is started again; then the phase is terminal and `planEnd` goes on. */
function planSidecarStop(pod: PodObject, all: readonly RoledContainer[], seen: PodObservation): Plan {
  const running = all.filter((c) => c.role === 'sidecar' && isRunning(observationOf(seen, c.spec.name)));
  const last = running.at(-1);
  if (last === undefined) return { actions: [] };
  return { actions: [stopAction(last.spec.name, graceOf(pod), 'Stopping sidecar after the main containers ended')] };
}

/** The pod reached a terminal phase or failed as a whole: nothing of it may run. */
function planEnd(pod: PodObject, seen: PodObservation): Plan {
  const grace = seen.failure?.graceSeconds ?? graceOf(pod);
  const stops = stopAll(pod, seen, grace, 'Stopping container');
  if (stops.length > 0) return { actions: stops };
  return { actions: seen.sandbox.phase === 'absent' ? [] : [{ do: 'removeSandbox' }] };
}

function planTermination(pod: PodObject, seen: PodObservation, nowMs: number): Plan {
  const grace = remainingGrace(pod, nowMs);
  const stops = stopAll(pod, seen, grace, 'Stopping container');
  if (stops.length > 0) return { actions: stops };
  return {
    actions: seen.sandbox.phase === 'absent' ? [{ do: 'finish' }] : [{ do: 'removeSandbox' }, { do: 'finish' }],
  };
}

/** Apps and ephemeral containers together, then sidecars in reverse order. */
function stopAll(pod: PodObject, seen: PodObservation, graceSeconds: number, reason: string): Action[] {
  const running = containersOf(pod).filter((c) => isRunning(observationOf(seen, c.spec.name)));
  const first = running.filter((c) => c.role !== 'sidecar');
  const turn = first.length > 0 ? first : running.slice(-1);
  return turn.map((c) => stopAction(c.spec.name, graceSeconds, `${reason} ${c.spec.name}`));
}

/** Seconds left until deletionTimestamp, which the API server set to deletion + grace. */
export function remainingGrace(pod: PodObject, nowMs: number): number {
  const deletion = pod.metadata.deletionTimestamp;
  if (deletion === undefined) return MINIMUM_GRACE_S;
  const grace = pod.metadata.deletionGracePeriodSeconds ?? graceOf(pod);
  const left = Math.ceil((Date.parse(deletion) - nowMs) / 1000);
  return Math.min(Math.max(left, MINIMUM_GRACE_S), Math.max(grace, MINIMUM_GRACE_S));
}

export function graceOf(pod: PodObject): number {
  return pod.spec.terminationGracePeriodSeconds ?? DEFAULT_GRACE_S;
}

function stopAction(container: string, graceSeconds: number, reason: string): StopAction {
  return { do: 'stop', container, graceSeconds, reason };
}

function stopToReplace(container: string, graceSeconds: number, reason: string): StopAction {
  return { ...stopAction(container, graceSeconds, reason), replace: true };
}

type StopAction = Extract<Action, { do: 'stop' }>;

class Collector {
  readonly #graceSeconds: number;
  readonly #isResizing: boolean;
  readonly #actions: Action[] = [];
  wakeAtMs: number | undefined;

  /** `isResizing`: a container started now would not find its share in the pod's cgroup. */
  constructor(graceSeconds: number, isResizing: boolean) {
    this.#graceSeconds = graceSeconds;
    this.#isResizing = isResizing;
  }

  resizeAt(atMs: number, nowMs: number): void {
    if (atMs <= nowMs) this.#actions.push({ do: 'resize' });
    else this.wakeAtMs = Math.min(this.wakeAtMs ?? atMs, atMs);
  }

  startAt(container: string, attempt: number, atMs: number, nowMs: number): void {
    if (this.#isResizing) return;
    if (atMs <= nowMs) this.#actions.push({ do: 'start', container, attempt });
    else this.wakeAtMs = Math.min(this.wakeAtMs ?? atMs, atMs);
  }

  stop(container: string, graceSeconds: number | undefined, reason: string): void {
    this.#actions.push(stopAction(container, graceSeconds ?? this.#graceSeconds, reason));
  }

  /** Ends it so that it starts again, whatever the policy. */
  replace(container: string, reason: string): void {
    this.#actions.push(stopToReplace(container, this.#graceSeconds, reason));
  }

  plan(): Plan {
    return { actions: this.#actions, wakeAtMs: this.wakeAtMs };
  }
}
