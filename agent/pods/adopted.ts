/** What an earlier agent left running on this node, by pod: found by the labels of container records and by addresses. */
import type { ContainerId, ContainerRecord, ContainerState } from '../runtime/runtime.ts';
import type { Attempt, Resources } from './model.ts';
import type { ResizeRecord } from './resize.ts';
import { LABELS } from './steps/container.ts';
import { parseUser } from './user.ts';

export type Exited = ContainerState & { phase: 'exited' };

export interface AdoptedPod {
  readonly attempts: Map<string, { readonly latest: Attempt; readonly previous: Attempt | undefined }>;
  /** The address still held, when the sandbox lives. */
  readonly podIp: string | undefined;
  /** Present when it was resized. */
  readonly resize?: ResizeRecord | undefined;
}

/** Groups container records by pod and container, newest attempt first; a pod may also hold nothing but its address. */
export function adoptable(
  records: readonly ContainerRecord[],
  addresses: ReadonlyMap<string, string>,
): Map<string, AdoptedPod> {
  const byPod = new Map<string, Map<string, Attempt[]>>();
  for (const r of records) {
    const uid = r.labels[LABELS.uid];
    const container = r.labels[LABELS.container];
    if (uid === undefined || container === undefined) continue;
    const containers = byPod.get(uid) ?? new Map<string, Attempt[]>();
    byPod.set(uid, containers);
    const attempts = containers.get(container) ?? [];
    containers.set(container, attempts);
    attempts.push({
      id: r.id,
      attempt: Number(r.labels[LABELS.attempt] ?? 0),
      backOff: Number(r.labels[LABELS.backOff] ?? 0),
      sandbox: r.labels[LABELS.sandbox] ?? '',
      round: Number(r.labels[LABELS.round] ?? 0),
      state: r.state,
      image: r.labels[LABELS.image] ?? '',
      imageId: r.labels[LABELS.imageId] ?? '',
      stopSignal: r.labels[LABELS.stopSignal] ?? 'SIGTERM',
      resources: resourcesOf(r.labels[LABELS.resources]),
      user: parseUser(r.labels[LABELS.user]),
    });
  }
  for (const uid of addresses.keys()) if (!byPod.has(uid)) byPod.set(uid, new Map());
  const out = new Map<string, AdoptedPod>();
  for (const [uid, containers] of byPod) {
    const attempts = new Map<string, { latest: Attempt; previous: Attempt | undefined }>();
    for (const [name, list] of containers) {
      list.sort((a, b) => b.attempt - a.attempt || b.state.startedAtMs - a.state.startedAtMs);
      const [latest, previous] = list;
      if (latest !== undefined) attempts.set(name, { latest, previous });
    }
    out.set(uid, { attempts, podIp: addresses.get(uid) });
  }
  return out;
}

/** Undefined when it was started by an agent that did not note it. */
function resourcesOf(label: string | undefined): Resources | undefined {
  try {
    return label === undefined ? undefined : (JSON.parse(label) as Resources);
  } catch {
    /* Damaged: it has what its spec says, as far as anybody knows. */
    return undefined;
  }
}

/** With what a resize has changed since the containers were started. */
export function withResize(pod: AdoptedPod, resize: ResizeRecord | undefined): AdoptedPod {
  if (resize === undefined) return pod;
  for (const [name, { latest, previous }] of pod.attempts)
    pod.attempts.set(name, {
      latest: { ...latest, resources: resize.inForce[latest.id] ?? latest.resources },
      previous,
    });
  return { ...pod, resize };
}

export function idsOf(pod: AdoptedPod): ContainerId[] {
  return [...pod.attempts.values()].flatMap((a) => [a.latest.id, ...(a.previous === undefined ? [] : [a.previous.id])]);
}

/** The end of a container whose pod has no worker yet. */
export function noteEnd(pod: AdoptedPod, id: string, state: Exited): void {
  for (const [name, { latest, previous }] of pod.attempts)
    if (latest.id === id) pod.attempts.set(name, { latest: { ...latest, state }, previous });
}
