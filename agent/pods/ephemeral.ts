/**
 * Ephemeral containers that this node does not know any more. They are never started a second time, so the status that
 * the API has of one whose record is gone (the host was emptied) is the last word, or it was lost while it ran. Pure.
 * Source: KEP-277; kubernetes pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses, ContainerStatusUnknown).
 */
import type { ContainerStatus, DeepReadonly } from '#lib/api';
import type { ContainerId } from '../runtime/runtime.ts';
import type { Attempt, PodObject } from './model.ts';

const ID_PREFIX = 'berth://';
const LOST_EXIT_CODE = 137;

/** The attempt that the API remembers of ephemeral container `name`, as one that has ended; undefined when none began. */
export function endedBefore(pod: PodObject, name: string, nowMs: number): Attempt | undefined {
  const known = pod.status?.ephemeralContainerStatuses?.find((s) => s.name === name);
  if (known?.containerID === undefined || known.containerID === '') return undefined;
  const { reason, message } = known.state?.terminated ?? {};
  return {
    id: known.containerID.replace(ID_PREFIX, '') as ContainerId,
    attempt: known.restartCount,
    backOff: 0,
    sandbox: '',
    state: stateOf(known, nowMs),
    image: known.image,
    imageId: known.imageID,
    stopSignal: '',
    ...(reason === 'StartError' ? { startError: message ?? '' } : {}),
  };
}

function stateOf({ state }: DeepReadonly<ContainerStatus>, nowMs: number): Attempt['state'] {
  const ended = state?.terminated;
  const begun = state?.running?.startedAt ?? ended?.startedAt;
  const startedAtMs = begun === undefined ? nowMs : Date.parse(begun);
  if (ended === undefined) {
    const unknown = { exitCode: LOST_EXIT_CODE, signal: 0, oomKilled: false, lost: true };
    return { phase: 'exited', ...unknown, startedAtMs, finishedAtMs: nowMs };
  }
  return {
    phase: 'exited',
    exitCode: ended.exitCode,
    signal: ended.signal ?? 0,
    oomKilled: ended.reason === 'OOMKilled',
    startedAtMs,
    finishedAtMs: ended.finishedAt === undefined ? nowMs : Date.parse(ended.finishedAt),
    lost: ended.reason === 'ContainerStatusUnknown',
  };
}
