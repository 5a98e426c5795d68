/**
 * Volumes of pods on one node: each volume of a pod becomes one folder (or file) of the host that containers bind.
 *
 * Idea: everything a pod owns lies below `folder/<pod uid>/`, and what must never touch a disk (secrets, tokens, projected
 * and downward files) lies in ONE tmpfs of the node, made at the first use: a tmpfs for each volume would cost a mount for
 * each pod. Only `emptyDir: {medium: Memory}` gets a tmpfs of its own, because it carries a size limit.
 *
 * Order: `prepare` for each volume before the pod's first container (idempotent: call it again after a restart), `subPath`
 * for each volumeMount that has one, `update` when a ConfigMap, Secret or the pod's own metadata changed, `cleanup` when the
 * pod's last container is gone. Errors carry Kubernetes' words (`configmap "x" not found`), kind NotFound or Invalid; the
 * caller makes a FailedMount event of them and tries again.
 * Source: kubernetes pkg/volume/*, pkg/kubelet/volumemanager.
 */
import type { ConfigMap, DeepReadonly, PersistentVolume, PersistentVolumeClaim, Pod, Secret } from '#lib/api';
import { type Ctx, StatusError, toStatusError } from '#lib/base';

/** A volume could not be made ready: the pod's event says FailedMount. */
export class MountFailure extends StatusError {}

/** In the kubelet's words; a cancel stays one. */
export function setUpFailure(volumeName: string, e: unknown): unknown {
  const { kind, message } = toStatusError(e);
  if (kind === 'Cancelled') return e;
  return new MountFailure(kind, `MountVolume.SetUp failed for volume "${volumeName}" : ${message}`, { cause: e });
}

/** Where file volumes take their contents from; the agent's caches implement it. */
export interface VolumeSources {
  configMap(namespace: string, name: string): DeepReadonly<ConfigMap> | undefined;
  secret(namespace: string, name: string): DeepReadonly<Secret> | undefined;
  claim(namespace: string, name: string): DeepReadonly<PersistentVolumeClaim> | undefined;
  persistentVolume(name: string): DeepReadonly<PersistentVolume> | undefined;
  /** A token bound to the pod. Called at prepare and again by `update` once 80 % of its life is over. */
  serviceAccountToken(
    o: { pod: DeepReadonly<Pod>; audience: string | undefined; expirationSeconds: number },
    c: Ctx,
  ): Promise<{ token: string; expiresAtMs: number }>;
  /** `status.allocatable` of this node: the default of resourceFieldRef limits. */
  nodeAllocatable(): Readonly<Record<string, string>>;
}

export interface PreparedVolume {
  /** Absolute path to bind into containers. */
  readonly hostPath: string;
  /** True for configMap, secret, projected, downwardAPI and claims taken so: read-only whatever the volumeMount says. */
  readonly readOnly: boolean;
  /** Made for this pod alone, with the ids that its user namespace has outside; others carry the ids that it has inside. */
  readonly hasPodIds?: boolean | undefined;
}

export interface SubPathRequest {
  readonly pod: DeepReadonly<Pod>;
  readonly volumeName: string;
  readonly containerName: string;
  /** Index of the volumeMount in the container: it names the bind. */
  readonly mountIndex: number;
  /** Already expanded (subPathExpr). */
  readonly subPath: string;
}

export interface Volumes {
  /**
   * Makes those ready that wait for others than this node (volumes of CSI drivers), which may take minutes: to be called where
   * that keeps nobody else waiting. Their `prepare` comes after it, and does not wait. Idempotent.
   */
  prepareRemote(pod: DeepReadonly<Pod>, c: Ctx): Promise<void>;
  /** Makes the volume `volumeName` of `pod.spec.volumes` ready. Idempotent. */
  prepare(o: { pod: DeepReadonly<Pod>; volumeName: string }, c: Ctx): Promise<PreparedVolume>;
  /** A path inside a prepared volume, pinned by a bind mount so that a later symlink cannot lead out of the volume. */
  subPath(o: SubPathRequest, c: Ctx): Promise<PreparedVolume>;
  /** Writes changed contents of every file volume of the pod (the `..data` swap). Nothing changed = nothing written. */
  update(pod: DeepReadonly<Pod>, c: Ctx): Promise<void>;
  /** True when a file volume (or env is the caller's business) of the pod takes from this object. */
  uses(pod: DeepReadonly<Pod>, kind: 'ConfigMap' | 'Secret', name: string): boolean;
  /** When `update` should run again for the pod because of a token (ms since the epoch, 0 = now); undefined = only on changes. */
  nextUpdateAtMs(pod: DeepReadonly<Pod>): number | undefined;
  /** The pod's emptyDirs on disk; those in memory are not among them. */
  emptyDirs(pod: DeepReadonly<Pod>): readonly { readonly name: string; readonly path: string }[];
  /** Unmounts and removes everything of the pod. Idempotent; works for pods that this process never saw. */
  cleanup(podUid: string, c: Ctx): Promise<void>;
  /** Uids of pods that have anything on disk: for the reconcile at start. */
  podsOnDisk(c: Ctx): Promise<readonly string[]>;
}
