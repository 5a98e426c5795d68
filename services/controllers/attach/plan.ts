/**
 * Which volumes of drivers are to be attached to a node, and which no more. Pure.
 * Source: kubernetes pkg/controller/volume/attachdetach (reconciler, statusupdater), pkg/volume/csi/csi_attacher.go.
 */
import {
  attachmentName,
  type DeepReadonly,
  isConditionTrue,
  type Node,
  type PersistentVolume,
  type Pod,
  uniqueVolumeName,
  type VolumeAttachment,
} from '#lib/api';

type Attachment = DeepReadonly<VolumeAttachment>;

/** A volume that has to be attached, and the pods of the node that use it. */
export interface WantedVolume {
  readonly volume: DeepReadonly<PersistentVolume>;
  readonly pods: readonly DeepReadonly<Pod>[];
}

export interface AttachWorld {
  readonly nodeName: string;
  readonly node: DeepReadonly<Node> | undefined;
  readonly wanted: readonly WantedVolume[];
  /** Of this node. */
  readonly attachments: readonly Attachment[];
  /** Of the volume, to any node. */
  attachmentsOf(volumeName: string): readonly Attachment[];
  /** Since when it is not wanted; undefined = it was until now. */
  unwantedSinceMs(attachment: string): number | undefined;
  readonly nowMs: number;
}

export type AttachAction =
  | { readonly do: 'attach'; readonly name: string; readonly driver: string; readonly wanted: WantedVolume }
  | { readonly do: 'detach'; readonly attachment: Attachment }
  /** `status.volumesAttached` of the node. Before what is detached, so that nobody mounts it meanwhile. */
  | { readonly do: 'report'; readonly names: readonly string[] }
  /** Another node has it, and it may have one only. */
  | { readonly do: 'refuse'; readonly wanted: WantedVolume };

export interface AttachPlan {
  readonly actions: readonly AttachAction[];
  /** Not wanted, but still in the node's hands. */
  readonly waiting: readonly string[];
  /** Look again then. */
  readonly afterMs: number | undefined;
}

/** As kube-controller-manager's maxWaitForUnmountDuration: then an unhealthy node's volume is taken away. */
export const FORCE_DETACH_MS = 360_000;
const OUT_OF_SERVICE = 'node.kubernetes.io/out-of-service';

export function planAttachments(w: AttachWorld): AttachPlan {
  const wanted = new Map(w.wanted.map((v) => [nameFor(v.volume, w.nodeName), v]));
  const inUse = new Set((w.node?.status?.volumesInUse ?? []).map((name) => attachmentOfUnique(name, w.nodeName)));
  const detach: AttachAction[] = [];
  const waiting: string[] = [];
  let afterMs: number | undefined;
  for (const attachment of w.attachments) {
    const { name, deletionTimestamp } = attachment.metadata;
    const isOurs = attachment.spec.source.persistentVolumeName !== undefined;
    if (!isOurs || wanted.has(name) || deletionTimestamp !== undefined) continue;
    const leftMs = waitMs(w, inUse.has(name) || w.node === undefined, name);
    if (leftMs === 0) detach.push({ do: 'detach', attachment });
    else {
      waiting.push(name);
      if (leftMs !== undefined) afterMs = Math.min(leftMs, afterMs ?? leftMs);
    }
  }
  const known = new Set(w.attachments.map((a) => a.metadata.name));
  const attach: AttachAction[] = [];
  for (const [name, v] of wanted) {
    const driver = v.volume.spec.csi?.driver ?? '';
    if (known.has(name)) continue;
    const isFree = isShared(v.volume) || w.attachmentsOf(v.volume.metadata.name).length === 0;
    attach.push(isFree ? { do: 'attach', name, driver, wanted: v } : { do: 'refuse', wanted: v });
  }
  return { actions: [...report(w, detach), ...detach, ...attach], waiting, afterMs };
}

/** 0 = now; undefined = when the node says that it has let go. */
function waitMs(w: AttachWorld, isInUse: boolean, attachment: string): number | undefined {
  const isOutOfService = w.node?.spec?.taints?.some((t) => t.key === OUT_OF_SERVICE) === true;
  if (!isInUse || isOutOfService) return 0;
  if (w.node !== undefined && isConditionTrue(w.node.status?.conditions, 'Ready')) return undefined;
  const sinceMs = w.unwantedSinceMs(attachment) ?? w.nowMs;
  return Math.max(0, sinceMs + FORCE_DETACH_MS - w.nowMs);
}

function report(w: AttachWorld, detach: readonly AttachAction[]): readonly AttachAction[] {
  if (w.node === undefined) return [];
  const going = new Set(detach.flatMap((a) => (a.do === 'detach' ? [a.attachment.metadata.name] : [])));
  const attached = new Set(
    w.attachments
      .filter((a) => a.status?.attached === true && a.metadata.deletionTimestamp === undefined)
      .map((a) => a.metadata.name)
      .filter((name) => !going.has(name)),
  );
  const before = (w.node.status?.volumesAttached ?? []).map((v) => v.name);
  /* What is attached is named by its volume, or, where that has gone, by what was said before. */
  const candidates = new Set([
    ...before,
    ...(w.node.status?.volumesInUse ?? []),
    ...w.wanted.flatMap(({ volume }) => (volume.spec.csi === undefined ? [] : [uniqueVolumeName(volume.spec.csi)])),
  ]);
  const names = [...candidates].filter((name) => attached.has(attachmentOfUnique(name, w.nodeName))).sort();
  return names.join('\n') === [...before].sort().join('\n') ? [] : [{ do: 'report', names }];
}

function nameFor(volume: DeepReadonly<PersistentVolume>, nodeName: string): string {
  const { driver = '', volumeHandle = '' } = volume.spec.csi ?? {};
  return attachmentName({ driver, volumeHandle }, nodeName);
}

/** '' for what is no volume of a driver. */
function attachmentOfUnique(name: string, nodeName: string): string {
  const match = /^kubernetes\.io\/csi\/([^^]+)\^(.*)$/s.exec(name);
  return match === null ? '' : attachmentName({ driver: match[1] ?? '', volumeHandle: match[2] ?? '' }, nodeName);
}

/** Source: pkg/controller/volume/attachdetach/util IsMultiAttachAllowed. */
export function isShared({ spec }: DeepReadonly<PersistentVolume>): boolean {
  const modes = spec.accessModes ?? [];
  return modes.length === 0 || modes.some((m) => m === 'ReadWriteMany' || m === 'ReadOnlyMany');
}
