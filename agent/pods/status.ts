/**
 * The PodStatus a node reports: phase, conditions and one entry per container.
 * Source: kubernetes pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses), pkg/kubelet/kuberuntime/convert.go.
 */
import type { ContainerState as ApiState, ContainerStatus, PodStatus } from '#lib/api';
import { timeText } from '#lib/base';
import { volumeMountStatuses } from '../volumes/recursive-read-only.ts';
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
  succeeded,
} from './model.ts';
import { conditionsOf, isContainerReady, phaseOf } from './phase.ts';
import { resourcesInForce } from './resize-model.ts';
import { qosClassOf } from './resources.ts';
import { type RestartPolicy, restartDelayMs, restarts, runsAgain } from './restart.ts';
import { mayRestartAll } from './restart-all.ts';

export interface NodeFacts {
  readonly hostIp: string;
  readonly nowMs: number;
  readonly terminating: boolean;
  /** Termination messages read from disk, by container id. */
  readonly terminationMessages: Readonly<Record<string, string>>;
  /** Whether the pod's runtime can. */
  readonly recursiveReadOnlyMounts: boolean;
}

/** What a container waits for that has not run yet. Source: kubernetes pkg/kubelet/kubelet_pods.go (defaultWaitingState). */
export function defaultWaitingReason(pod: PodObject): string {
  return (pod.spec.initContainers ?? []).length > 0 ? 'PodInitializing' : 'ContainerCreating';
}

interface RestartFacts {
  readonly policy: RestartPolicy;
  readonly terminating: boolean;
}

interface StateFacts extends NodeFacts, RestartFacts {
  /** Of a container that has not run yet. */
  readonly defaultReason: string;
  readonly restartDelayMaxMs: number | undefined;
  readonly mayRestartAll: boolean;
  readonly podText: string;
}

export function statusOf(pod: PodObject, seen: PodObservation, facts: NodeFacts): PodStatus {
  const phase = phaseOf(pod, seen, facts);
  const startTime = pod.status?.startTime ?? timeText(seen.startedAtMs);
  const qosClass = pod.status?.qosClass ?? qosClassOf(pod);
  if (seen.failure?.isRejection) {
    const { reason, message } = seen.failure;
    const conditions = (pod.status?.conditions ?? []).map((x) => ({ ...x }));
    return { phase, conditions, reason, message: `Pod was rejected: ${message}`, startTime, qosClass };
  }
  const podIp = seen.sandbox.phase === 'ready' ? seen.sandbox.podIp : pod.status?.podIP;
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(pod, seen, phase, timeText(facts.nowMs)),
    hostIP: facts.hostIp,
    hostIPs: [{ ip: facts.hostIp }],
    startTime,
    qosClass,
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
  for (const { role, spec } of containersOf(pod)) {
    const entry = containerStatus(role, spec, seen, {
      ...facts,
      policy,
      defaultReason: defaultWaitingReason(pod),
      podText: podText(pod),
      restartDelayMaxMs: seen.restartDelayMaxMs,
      mayRestartAll: mayRestartAll(pod),
    });
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
    state: currentState(role, spec, seenContainer, o),
    lastState: {},
    ready: isReady(role, spec, seen),
    restartCount: latest?.attempt ?? Math.max(seenContainer.firstAttempt - 1, 0),
    image: latest?.image ?? spec.image ?? '',
    imageID: latest?.imageId ?? '',
  };
  if (role !== 'ephemeral')
    out.started = latest?.state.phase === 'running' && seenContainer.started && seenContainer.postStarted;
  if (latest !== undefined) out.containerID = `berth://${latest.id}`;
  Object.assign(out, mountFacts(spec), processFacts(spec, latest));
  const last = waitsAfterEnd(role, spec, seenContainer, o) ? latest : seenContainer.previous;
  if (last?.state.phase === 'exited') out.lastState = { terminated: terminated(last, o.terminationMessages) };
  if (spec.resources?.requests !== undefined) out.allocatedResources = { ...spec.resources.requests };
  if (latest !== undefined && spec.resources !== undefined)
    out.resources = resourcesInForce(spec.resources, latest.state.phase === 'running' ? latest.resources : undefined);
  if (spec.volumeMounts !== undefined && spec.volumeMounts.length > 0)
    out.volumeMounts = volumeMountStatuses(spec.volumeMounts, o.recursiveReadOnlyMounts);
  return out;
}

/** recursiveReadOnly is said of read-only mounts, and is what this node does. Source: pkg/kubelet/kubelet_pods.go. */
function mountFacts({ volumeMounts = [] }: ContainerSpec): Pick<ContainerStatus, 'volumeMounts'> {
  if (volumeMounts.length === 0) return {};
  return {
    volumeMounts: volumeMounts.map(({ name, mountPath, readOnly }) =>
      readOnly === true ? { name, mountPath, readOnly, recursiveReadOnly: 'Disabled' } : { name, mountPath },
    ),
  };
}

/** As whom it runs, and which signal is to stop it. Source: KEP-3619, KEP-4960. */
function processFacts(spec: ContainerSpec, latest: Attempt | undefined): Pick<ContainerStatus, 'user' | 'stopSignal'> {
  if (latest?.user === undefined) return {};
  const { uid, gid, additionalGids } = latest.user;
  const supplementalGroups = [...new Set([gid, ...additionalGids])];
  const stopSignal = spec.lifecycle?.stopSignal ?? latest.stopSignal;
  return { user: { linux: { uid, gid, supplementalGroups } }, ...(stopSignal === '' ? {} : { stopSignal }) };
}

/** Nothing probes an ephemeral container, and none is ever told of as ready. Source: pkg/kubelet/prober/prober_manager.go. */
function isReady(role: ContainerRole, spec: ContainerSpec, seen: PodObservation): boolean {
  if (role === 'ephemeral') return false;
  return role === 'init' ? succeeded(observationOf(seen, spec.name)) : isContainerReady(seen, spec.name);
}

function currentState(role: ContainerRole, spec: ContainerSpec, c: ContainerObservation, o: StateFacts): ApiState {
  const state = stateNow(role, spec, c, o);
  const { previous } = c;
  /* An init container that runs again in a new sandbox: by the policy it has ended, and the API lets nothing leave that. */
  const isHeld = role === 'init' && o.policy !== 'Always' && !o.mayRestartAll && state.terminated === undefined;
  if (!isHeld || previous?.state.phase !== 'exited' || previous.state.exitCode !== 0) return state;
  return { terminated: terminated(previous, o.terminationMessages) };
}

function stateNow(role: ContainerRole, spec: ContainerSpec, c: ContainerObservation, o: StateFacts): ApiState {
  const latest = c.latest;
  if (latest === undefined) {
    if (c.waiting !== undefined) return { waiting: { ...c.waiting } };
    return { waiting: { reason: o.defaultReason } };
  }
  if (latest.state.phase === 'running') {
    if (!c.postStarted) return { waiting: { reason: 'ContainerCreating' } };
    return { running: { startedAt: timeText(latest.state.startedAtMs) } };
  }
  if (!waitsAfterEnd(role, spec, c, o)) return { terminated: terminated(latest, o.terminationMessages) };
  if (c.waiting !== undefined) return { waiting: { ...c.waiting } };
  const delay = restartDelayMs(latest, spec.image ?? '', o.restartDelayMaxMs);
  if (delay === 0) return { waiting: { reason: 'ContainerCreating' } };
  const message = `back-off ${durationText(delay)} restarting failed container=${spec.name} pod=${o.podText}`;
  return { waiting: { reason: 'CrashLoopBackOff', message } };
}

/**
 * Whether the latest attempt, which has ended, shows as the last state of a container that waits. One that comes back at
 * once shows as terminated, unless its policy alone would end it there: the API lets nothing leave such a state.
 */
function waitsAfterEnd(role: ContainerRole, spec: ContainerSpec, c: ContainerObservation, o: RestartFacts): boolean {
  const { latest, waiting } = c;
  if (latest?.state.phase !== 'exited' || o.terminating || !runsAgain(o.policy, { role, spec }, latest)) return false;
  if (waiting !== undefined || restartDelayMs(latest, spec.image ?? '') > 0) return true;
  return !restarts(o.policy, { role, spec }, latest.state.exitCode);
}

/**
 * The attempt that `kubectl logs --previous` reads: that of `lastState`.
 * Source: kubernetes pkg/kubelet/kubelet_pods.go (validateContainerLogStatus).
 */
export function lastStateAttempt(
  pod: PodObject,
  name: string,
  c: ContainerObservation,
  o: { readonly terminating: boolean },
): Attempt | undefined {
  const found = containersOf(pod).find(({ spec }) => spec.name === name);
  const facts = { policy: (pod.spec.restartPolicy ?? 'Always') as RestartPolicy, terminating: o.terminating };
  const last = found !== undefined && waitsAfterEnd(found.role, found.spec, c, facts) ? c.latest : c.previous;
  return last?.state.phase === 'exited' ? last : undefined;
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
  const lost = a.state.lost ? 'The container could not be located when the pod was terminated' : '';
  const message = a.startError ?? (messages[a.id] || lost);
  return {
    exitCode: a.state.exitCode,
    ...(a.state.signal > 0 ? { signal: a.state.signal } : {}),
    reason,
    ...(message === '' ? {} : { message }),
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
