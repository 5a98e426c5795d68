/**
 * The PodStatus a node reports: phase, conditions and one entry per container.
 * Source: kubernetes pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses), pkg/kubelet/kuberuntime/convert.go.
 */
import type { ContainerState as ApiState, ContainerStatus, PodStatus } from '#lib/api';
import { timeText } from '#lib/base';
import {
  type Attempt,
  type ContainerObservation,
  type ContainerRole,
  type ContainerSpec,
  containersOf,
  observationOf,
  type PodObject,
  type PodObservation,
  podText,
} from './model.ts';
import { conditionsOf, isContainerReady, phaseOf } from './phase.ts';
import { qosClassOf } from './resources.ts';
import { type RestartPolicy, restartDelayMs, restarts, runsAgain } from './restart.ts';

export interface NodeFacts {
  readonly hostIp: string;
  readonly nowMs: number;
  readonly terminating: boolean;
  /** Termination messages read from disk, by container id. */
  readonly terminationMessages: Readonly<Record<string, string>>;
}

interface StateFacts extends NodeFacts {
  readonly policy: RestartPolicy;
  readonly initsDone: boolean;
  readonly podText: string;
}

export function statusOf(pod: PodObject, seen: PodObservation, facts: NodeFacts): PodStatus {
  const phase = phaseOf(pod, seen, facts);
  const podIp = seen.sandbox.phase === 'ready' ? seen.sandbox.podIp : pod.status?.podIP;
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(pod, seen, phase, timeText(facts.nowMs)),
    hostIP: facts.hostIp,
    hostIPs: [{ ip: facts.hostIp }],
    startTime: pod.status?.startTime ?? timeText(seen.startedAtMs),
    qosClass: pod.status?.qosClass ?? qosClassOf(pod),
  };
  if (pod.metadata.generation !== undefined) status.observedGeneration = pod.metadata.generation;
  if (podIp !== undefined) {
    status.podIP = podIp;
    status.podIPs = [{ ip: podIp }];
  }
  if (seen.failure !== undefined) {
    status.reason = seen.failure.reason;
    status.message = seen.failure.message;
  }
  const lists = { init: [] as ContainerStatus[], app: [] as ContainerStatus[], ephemeral: [] as ContainerStatus[] };
  const policy = (pod.spec.restartPolicy ?? 'Always') as RestartPolicy;
  const initsDone = containersOf(pod).every(
    (c) => c.role !== 'init' || observationOf(seen, c.spec.name).latest?.state.phase === 'exited',
  );
  for (const { role, spec } of containersOf(pod)) {
    const entry = containerStatus(role, spec, seen, { ...facts, policy, initsDone, podText: podText(pod) });
    lists[role === 'sidecar' ? 'init' : role].push(entry);
  }
  if (lists.init.length > 0) status.initContainerStatuses = lists.init;
  status.containerStatuses = lists.app;
  if (lists.ephemeral.length > 0) status.ephemeralContainerStatuses = lists.ephemeral;
  return status;
}

function containerStatus(
  role: ContainerRole,
  spec: ContainerSpec,
  seen: PodObservation,
  o: StateFacts,
): ContainerStatus {
  const seenContainer = observationOf(seen, spec.name);
  const latest = seenContainer.latest;
  const out: ContainerStatus = {
    name: spec.name,
    state: currentState(role, seenContainer, { ...o, container: spec.name, image: spec.image ?? '' }),
    lastState: {},
    ready:
      role === 'init'
        ? latest?.state.phase === 'exited' && latest.state.exitCode === 0
        : isContainerReady(seen, spec.name),
    restartCount: latest?.attempt ?? Math.max(seenContainer.firstAttempt - 1, 0),
    image: latest?.image ?? spec.image ?? '',
    imageID: latest?.imageId ?? '',
  };
  out.started = latest?.state.phase === 'running' && seenContainer.started && seenContainer.postStarted;
  if (latest !== undefined) out.containerID = `berth://${latest.id}`;
  const waitsAfterExit = latest?.state.phase === 'exited' && out.state?.waiting !== undefined;
  const last = waitsAfterExit ? latest : seenContainer.previous;
  if (last?.state.phase === 'exited') out.lastState = { terminated: terminated(last, o.terminationMessages) };
  if (spec.resources?.requests !== undefined) out.allocatedResources = { ...spec.resources.requests };
  if (latest !== undefined && spec.resources !== undefined)
    out.resources = structuredClone(spec.resources) as NonNullable<ContainerStatus['resources']>;
  return out;
}

function currentState(
  role: ContainerRole,
  c: ContainerObservation,
  o: StateFacts & { container: string; image: string },
): ApiState {
  const latest = c.latest;
  if (latest === undefined) {
    if (c.waiting !== undefined) return { waiting: { ...c.waiting } };
    return { waiting: { reason: role === 'app' && !o.initsDone ? 'PodInitializing' : 'ContainerCreating' } };
  }
  if (latest.state.phase === 'running') {
    if (!c.postStarted) return { waiting: { reason: 'ContainerCreating' } };
    return { running: { startedAt: timeText(latest.state.startedAtMs) } };
  }
  const again = !o.terminating && runsAgain(o.policy, role, latest);
  if (again && c.waiting !== undefined) return { waiting: { ...c.waiting } };
  const delay = restartDelayMs(latest, o.image);
  if (again && delay > 0) {
    const message = `back-off ${durationText(delay)} restarting failed container=${o.container} pod=${o.podText}`;
    return { waiting: { reason: 'CrashLoopBackOff', message } };
  }
  /* The policy alone would end it here, and the API lets nothing leave a last state. */
  if (again && !restarts(o.policy, role, latest.state.exitCode)) return { waiting: { reason: 'ContainerCreating' } };
  return { terminated: terminated(latest, o.terminationMessages) };
}

function terminated(a: Attempt, messages: Readonly<Record<string, string>>): NonNullable<ApiState['terminated']> {
  if (a.state.phase !== 'exited') return { exitCode: 0 };
  const reason =
    a.startError !== undefined
      ? 'StartError'
      : a.state.oomKilled
        ? 'OOMKilled'
        : a.state.lost
          ? 'ContainerStatusUnknown'
          : a.state.exitCode === 0
            ? 'Completed'
            : 'Error';
  const message =
    a.startError ??
    messages[a.id] ??
    (a.state.lost ? 'The container ended while nobody could see its exit status' : undefined);
  return {
    exitCode: a.state.exitCode,
    ...(a.state.signal > 0 ? { signal: a.state.signal } : {}),
    reason,
    ...(message === undefined || message === '' ? {} : { message }),
    startedAt: timeText(a.state.startedAtMs),
    finishedAt: timeText(a.state.finishedAtMs),
    containerID: `berth://${a.id}`,
  };
}

/** Go's text of a duration in whole seconds: 10s, 2m40s, 5m0s. */
function durationText(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
