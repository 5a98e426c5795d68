/**
 * What a pod worker knows and what its plan may ask for. Pure data: `plan.ts` and `phase.ts` decide over it, `worker.ts`
 * and `steps/*` act. A container's attempts are numbered from 0; attempt = restartCount.
 */
import type { Container, DeepReadonly, EphemeralContainer, Pod, ResourceRequirements } from '#lib/api';
import type { ContainerId, ContainerState } from '../runtime/runtime.ts';
import type { ProcessUser } from './user.ts';

export type PodObject = DeepReadonly<Pod>;
export type ContainerSpec = DeepReadonly<Container> | DeepReadonly<EphemeralContainer>;
export type Resources = DeepReadonly<ResourceRequirements>;
export type ContainerRole = 'init' | 'sidecar' | 'app' | 'ephemeral';

/** A problem that keeps a container waiting, in the API's words (state.waiting). */
export interface WaitingReason {
  readonly reason: string;
  readonly message: string;
}

/** One attempt of a container as it is on the node. */
export interface Attempt {
  readonly id: ContainerId;
  readonly attempt: number;
  /** Ends in a row before it that count for the back-off after it; see restart.ts. */
  readonly backOff: number;
  /** Id of the sandbox that it ran in. */
  readonly sandbox: string;
  readonly state: ContainerState;
  readonly image: string;
  readonly imageId: string;
  readonly stopSignal: string;
  /** Of its first process; absent = unknown, of an earlier version's record. */
  readonly user?: ProcessUser | undefined;
  /** Rounds that the pod began by RestartAllContainers before it; absent: none. */
  readonly round?: number | undefined;
  /** Set when the agent ended it (liveness, changed image, postStart failure): the message of the termination. */
  readonly killReason?: string | undefined;
  /** The agent ended it to run what the pod says now (a changed image). */
  readonly isReplaced?: true | undefined;
  /** What its cgroup has: as it was started, or resized since. */
  readonly resources?: Resources | undefined;
  /** Its program was never run: the runtime's message. */
  readonly startError?: string | undefined;
}

export interface EndRequest {
  readonly reason: string;
  readonly graceSeconds?: number | undefined;
  readonly replace?: true | undefined;
}

export interface ContainerObservation {
  readonly latest: Attempt | undefined;
  readonly previous: Attempt | undefined;
  /** Failure of the newest try to start, cleared by a success. */
  readonly waiting: WaitingReason | undefined;
  /** Not before this instant may the next try be made after a failed start or pull. */
  readonly retryAtMs: number;
  /** Startup probe passed, or none. */
  readonly started: boolean;
  /** Readiness probe passes, or none. */
  readonly ready: boolean;
  /** A probe, a hook or a changed image (`replace`) asked for the end of `latest`. */
  readonly endRequested: EndRequest | undefined;
  /** postStart has returned, or there is none. */
  readonly postStarted: boolean;
  /** Number of the first attempt: above 0 when the API knows of attempts whose records are gone (the host was emptied). */
  readonly firstAttempt: number;
}

export type SandboxObservation =
  | { readonly phase: 'absent' }
  | { readonly phase: 'ready'; readonly podIp: string; readonly readyAtMs: number }
  | {
      readonly phase: 'failed';
      readonly message: string;
      readonly retryAtMs: number;
      /** An earlier agent made it, and its address is still held: it is only looked after again. */
      readonly isHeld?: true;
    };

/** Why a pod on this node can not go on (admission on the node, deadline): phase Failed with this reason. */
export interface PodFailure {
  readonly reason: string;
  readonly message: string;
  /** What its containers get to end in, in place of the pod's own. */
  readonly graceSeconds?: number;
  /** The node has never taken it: nothing of it is told but this. */
  readonly isRejection?: true;
  /** The node ends it for the sake of others: condition DisruptionTarget. */
  readonly isDisruption?: true;
}

/** Why the node does not give a pod what the API wants (KEP-1287). */
export interface ResizePending {
  readonly reason: 'Deferred' | 'Infeasible';
  readonly message: string;
}

export interface ResizeObservation {
  /** What the API wants is not allocated. */
  readonly pending: (ResizePending & { readonly generation: number | undefined }) | undefined;
  /** What is allocated is not in force everywhere; `error`: why not yet. */
  readonly progress: { readonly generation: number | undefined; readonly error: string | undefined } | undefined;
  /** The pod's own cgroup has to change. */
  readonly isPodDue: boolean;
  /** After a failure: not before this instant. 0 = no failure. */
  readonly retryAtMs: number;
}

export interface PodObservation {
  readonly sandbox: SandboxObservation;
  readonly containers: Readonly<Record<string, ContainerObservation>>;
  readonly failure: PodFailure | undefined;
  /** When this node first saw the pod. */
  readonly startedAtMs: number;
  /** The terminal phase reached before, which never goes back. */
  readonly terminal: 'Succeeded' | 'Failed' | undefined;
  readonly resize?: ResizeObservation | undefined;
  /** The longest wait before a restart on this node; absent = Kubernetes' default. */
  readonly restartDelayMaxMs?: number | undefined;
}

export type Action =
  | { readonly do: 'makeSandbox' }
  | { readonly do: 'start'; readonly container: string; readonly attempt: number }
  /** Ends the running attempt: preStop, stop signal, grace, SIGKILL. */
  | {
      readonly do: 'stop';
      readonly container: string;
      readonly graceSeconds: number;
      readonly reason: string;
      /** It is ended to be started again with what the pod says now. */
      readonly replace?: true;
    }
  /** Cgroups get what the pod says now. */
  | { readonly do: 'resize' }
  | { readonly do: 'removeSandbox' }
  | { readonly do: 'fail'; readonly failure: PodFailure }
  /** Nothing runs any more and the pod is being deleted: remove every trace and tell the control plane. */
  | { readonly do: 'finish' };

export interface Plan {
  readonly actions: readonly Action[];
  readonly wakeAtMs?: number | undefined;
}

export const EMPTY_OBSERVATION: ContainerObservation = {
  latest: undefined,
  previous: undefined,
  waiting: undefined,
  retryAtMs: 0,
  started: false,
  ready: false,
  endRequested: undefined,
  postStarted: false,
  firstAttempt: 0,
};

export interface RoledContainer {
  readonly role: ContainerRole;
  readonly spec: ContainerSpec;
}

/** All containers of a pod in the order they start. */
export function containersOf(pod: PodObject): readonly RoledContainer[] {
  return [
    ...(pod.spec.initContainers ?? []).map((spec) => ({
      role: spec.restartPolicy === 'Always' ? ('sidecar' as const) : ('init' as const),
      spec,
    })),
    ...pod.spec.containers.map((spec) => ({ role: 'app' as const, spec })),
    ...(pod.spec.ephemeralContainers ?? []).map((spec) => ({ role: 'ephemeral' as const, spec })),
  ];
}

export function observationOf(seen: PodObservation, name: string): ContainerObservation {
  return seen.containers[name] ?? EMPTY_OBSERVATION;
}

export function isRunning(o: ContainerObservation): boolean {
  return o.latest?.state.phase === 'running';
}

export function succeeded(o: ContainerObservation): boolean {
  return o.latest?.state.phase === 'exited' && o.latest.state.exitCode === 0;
}

/** `name_namespace(uid)`: how a pod is named in messages. Source: kubernetes pkg/kubelet/util/format/pod.go. */
export function podText(pod: PodObject): string {
  const { name, namespace, uid } = pod.metadata;
  return `${name}_${namespace ?? ''}(${uid ?? ''})`;
}

/** What people write beside a spec, and what variables and files may be made of. */
export function wordsOf({ metadata: { labels = {}, annotations = {} } }: PodObject): string {
  return JSON.stringify([labels, annotations]);
}
