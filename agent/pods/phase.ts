/**
 * Container states -> pod phase and conditions. Pure; the phase never goes back from Succeeded or Failed.
 * Source: kubernetes pkg/kubelet/kubelet_pods.go (getPhase), pkg/kubelet/status/generate.go.
 */
import type { PodCondition, PodStatus } from '#lib/api';
import {
  containersOf,
  isRunning,
  observationOf,
  type PodObject,
  type PodObservation,
  type ResizeObservation,
  type SandboxObservation,
  succeeded,
} from './model.ts';
import { type RestartPolicy, runsAgain } from './restart.ts';
import { mayRestartAll, staleContainers } from './restart-all.ts';

export type PodPhase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

export function phaseOf(pod: PodObject, seen: PodObservation, o: { terminating: boolean }): PodPhase {
  if (seen.terminal !== undefined) return seen.terminal;
  const all = containersOf(pod);
  const anyRuns = all.some((c) => c.role !== 'ephemeral' && isRunning(observationOf(seen, c.spec.name)));
  if (seen.failure !== undefined) return anyRuns ? 'Running' : 'Failed';
  const policy = (pod.spec.restartPolicy ?? 'Always') as RestartPolicy;
  const initContainers = all.filter((c) => c.role === 'init');
  const inits = initContainers.map((c) => observationOf(seen, c.spec.name));
  const appContainers = all.filter((c) => c.role === 'app');
  const apps = appContainers.map((c) => observationOf(seen, c.spec.name));
  const endedBadly = initContainers.some((c) => {
    const { latest } = observationOf(seen, c.spec.name);
    return latest?.state.phase === 'exited' && latest.state.exitCode !== 0 && !runsAgain(policy, c, latest);
  });
  if (endedBadly && !anyRuns) return 'Failed';
  const appsBegan = apps.some((a) => a.latest !== undefined);
  if (!appsBegan && inits.some((i) => !succeeded(i))) return o.terminating && !anyRuns ? endedPhase(false) : 'Pending';
  if (apps.some((a) => a.latest === undefined)) return o.terminating && !anyRuns ? endedPhase(false) : 'Pending';
  if (anyRuns) return 'Running';
  const exits = apps.map((a) => (a.latest?.state.phase === 'exited' ? a.latest.state.exitCode : 255));
  if (o.terminating) return endedPhase(exits.every((e) => e === 0));
  const stopped = appContainers.every((c) => {
    const { latest } = observationOf(seen, c.spec.name);
    return latest?.state.phase === 'exited' && !runsAgain(policy, c, latest);
  });
  if (!stopped) return 'Running';
  return endedPhase(exits.every((e) => e === 0));
}

function endedPhase(allZero: boolean): PodPhase {
  return allZero ? 'Succeeded' : 'Failed';
}

/**
 * The conditions this node owns (readiness gates and foreign conditions are kept as they are), with lastTransitionTime
 * moved only when the status changed.
 */
export function conditionsOf(pod: PodObject, seen: PodObservation, phase: PodPhase, nowText: string): PodCondition[] {
  const known = pod.status?.conditions ?? [];
  const terminal = phase === 'Succeeded' || phase === 'Failed';
  const all = containersOf(pod);
  const notInitialised = all.filter(
    (c) =>
      (c.role === 'init' && !succeeded(observationOf(seen, c.spec.name))) ||
      (c.role === 'sidecar' && !observationOf(seen, c.spec.name).started),
  );
  const appsBegan = all.some((c) => c.role === 'app' && observationOf(seen, c.spec.name).latest !== undefined);
  const initialised = appsBegan || notInitialised.length === 0;
  const unready = all
    .filter((c) => (c.role === 'app' || c.role === 'sidecar') && !isContainerReady(seen, c.spec.name))
    .map((c) => c.spec.name);
  const doneReason = phase === 'Succeeded' ? 'PodCompleted' : 'PodFailed';
  const own: Omit<PodCondition, 'lastProbeTime' | 'lastTransitionTime'>[] = [
    condition('PodReadyToStartContainers', hasSandbox(seen.sandbox, known)),
    initialised
      ? condition('Initialized', true, terminal && phase === 'Succeeded' ? 'PodCompleted' : undefined)
      : condition(
          'Initialized',
          false,
          'ContainersNotInitialized',
          `containers with incomplete status: [${notInitialised.map((c) => c.spec.name).join(' ')}]`,
        ),
  ];
  const unreadyMessage = `containers with unready status: [${unready.join(' ')}]`;
  const containersReady = terminal
    ? condition('ContainersReady', false, doneReason)
    : unready.length === 0
      ? condition('ContainersReady', true)
      : condition('ContainersReady', false, 'ContainersNotReady', unreadyMessage);
  own.push(readyCondition(pod, containersReady), containersReady);
  if (mayRestartAll(pod)) own.push(restartingCondition(pod, seen, terminal ? doneReason : undefined));
  if (terminal && seen.failure?.isDisruption)
    own.push(condition('DisruptionTarget', true, 'TerminationByKubelet', seen.failure.message));
  const resize = terminal ? [] : resizeConditions(seen.resize);
  const names = new Set<string>([...own.map((c) => c.type), ...RESIZE_CONDITIONS]);
  const scheduled = known.find((c) => c.type === 'PodScheduled');
  const kept = known.filter((c) => !names.has(c.type) && c.type !== 'PodScheduled');
  const made = own.map((c) => withTime(c, known, nowText, pod.metadata.generation));
  return [
    ...made,
    ...resize.map((c) => withTime(c, known, nowText, c.observedGeneration)),
    withTime(scheduled ?? condition('PodScheduled', true), known, nowText, pod.metadata.generation),
    ...kept,
  ];
}

/** One that an earlier agent had ready, and that stands, is no less ready while this agent looks after it again. */
function hasSandbox(sandbox: SandboxObservation, known: readonly { type: string; status: string }[]): boolean {
  if (sandbox.phase !== 'failed' || sandbox.isHeld !== true) return sandbox.phase === 'ready';
  return known.some((c) => c.type === 'PodReadyToStartContainers' && c.status === 'True');
}

/** Source: KEP-5532, pkg/kubelet/status/generate.go (GenerateAllContainersRestartingCondition). */
function restartingCondition(
  pod: PodObject,
  seen: PodObservation,
  doneReason: string | undefined,
): ReturnType<typeof condition> {
  const type = 'AllContainersRestarting';
  if (doneReason !== undefined) return condition(type, false, doneReason);
  return staleContainers(pod, seen.containers).length === 0
    ? condition(type, false)
    : condition(type, true, 'RestartAllContainersStarted', 'container exited with restart policy rule');
}

const RESIZE_CONDITIONS = ['PodResizePending', 'PodResizeInProgress'] as const;

/** Each is there only while it is true. Source: KEP-1287, pkg/kubelet/status/status_manager.go. */
function resizeConditions(seen: ResizeObservation | undefined): Omit<PodCondition, 'lastTransitionTime'>[] {
  const [pending, inProgress] = RESIZE_CONDITIONS;
  const out: Omit<PodCondition, 'lastTransitionTime'>[] = [];
  const add = (c: Omit<PodCondition, 'lastTransitionTime'>, generation: number | undefined): void => {
    out.push({ ...c, ...(generation === undefined ? {} : { observedGeneration: generation }) });
  };
  if (seen?.pending !== undefined)
    add(condition(pending, true, seen.pending.reason, seen.pending.message), seen.pending.generation);
  if (seen?.progress !== undefined) {
    const { error, generation } = seen.progress;
    add(condition(inProgress, true, error === undefined ? undefined : 'Error', error), generation);
  }
  return out;
}

function readyCondition(
  pod: PodObject,
  containersReady: Omit<PodCondition, 'lastTransitionTime'>,
): Omit<PodCondition, 'lastTransitionTime'> {
  if (containersReady.status !== 'True') return { ...containersReady, type: 'Ready' };
  const failing = (pod.spec.readinessGates ?? []).filter(
    (g) => pod.status?.conditions?.find((c) => c.type === g.conditionType)?.status !== 'True',
  );
  if (failing.length === 0) return condition('Ready', true);
  const message = failing
    .map((g) => `corresponding condition of pod readiness gate "${g.conditionType}" does not exist or is not True.`)
    .join(', ');
  return condition('Ready', false, 'ReadinessGatesNotReady', message);
}

export function isContainerReady(seen: PodObservation, name: string): boolean {
  const o = observationOf(seen, name);
  return isRunning(o) && o.started && o.ready && o.postStarted;
}

function condition(
  type: string,
  ok: boolean,
  reason?: string,
  message?: string,
): Omit<PodCondition, 'lastTransitionTime'> {
  return {
    type,
    status: ok ? 'True' : 'False',
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  };
}

function withTime(
  c: Omit<PodCondition, 'lastTransitionTime'>,
  known: readonly { type: string; status: string; lastTransitionTime?: string | undefined }[],
  nowText: string,
  generation: number | undefined,
): PodCondition {
  const before = known.find((k) => k.type === c.type);
  const lastTransitionTime =
    before?.status === c.status && before.lastTransitionTime !== undefined ? before.lastTransitionTime : nowText;
  return { ...c, lastTransitionTime, ...(generation === undefined ? {} : { observedGeneration: generation }) };
}

export type { PodStatus };
