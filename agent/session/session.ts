/**
 * The node's end of the control plane: what the pod workers see of it. The session dials by itself for ever; with no
 * control plane it hands out the last known wish from disk, so that pods run on.
 *
 * Life story: `startSession` first replays the wish saved on disk through `onChange` (then `onSynced('disk')`), then dials.
 * Each connection brings changes through `onChange` and ends its first part with `onSynced('gateway')`; objects that the
 * gateway no longer names have by then been handed out as `remove`. Reports are kept until the gateway has stored them:
 * calling `reportPodStatus` never waits and never fails; only the latest status of a pod is kept.
 */
import type { Readable, Writable } from 'node:stream';
import type { CSINodeDriver, DeepReadonly, Event, KubeObject, Node, NodeStatus, Pod, PodStatus } from '#lib/api';
import type { Clock, Ctx, Logger, Random } from '#lib/base';
import type { NodeStreamRequest } from '#lib/client';

export type DesiredResource =
  | 'pods'
  | 'configmaps'
  | 'secrets'
  | 'serviceaccounts'
  | 'services'
  | 'endpointslices'
  | 'nodes'
  | 'persistentvolumes'
  | 'persistentvolumeclaims'
  | 'namespaces'
  | 'runtimeclasses'
  | 'csidrivers'
  | 'volumeattachments';

export type DesiredChange =
  | { readonly type: 'upsert'; readonly resource: DesiredResource; readonly object: KubeObject }
  | {
      /** `withheld`: it is wanted, but what it says went with the machine's memory (Secrets only; from disk only). */
      readonly type: 'remove' | 'withheld';
      readonly resource: DesiredResource;
      readonly namespace: string;
      readonly name: string;
      readonly uid: string;
    };

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

/** A CSI driver of this node as the control plane is to have it; `driver` undefined = it has gone, name '' = none in particular. */
export interface CsiDriverReport {
  readonly name: string;
  readonly driver: CSINodeDriver | undefined;
  readonly topology: Readonly<Record<string, string>>;
}

export interface ClaimRef {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface ClusterInfo {
  readonly heartbeatIntervalMs: number;
  readonly clusterDomain: string;
  readonly clusterDnsIp: string;
  readonly clusterCidr: string;
  readonly serviceCidr: string;
  readonly podCidr: string;
}

/** PEM. */
export interface SessionCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The node's ends of one exec, attach, logs or port-forward. */
export interface StreamIo {
  readonly stdin: Readable;
  readonly stdout: Writable;
  readonly stderr: Writable;
  onResize(fn: (width: number, height: number) => void): void;
}

export interface SessionDeps {
  /** `host:port`, tried in turn. */
  readonly endpoints: readonly string[];
  readonly nodeName: string;
  /** Read again at each dial, so that a renewed certificate is taken. */
  credentials(): Promise<SessionCredentials>;
  /** Keeps a renewed certificate where `credentials` finds it. Absent = certificates are renewed by somebody else. */
  saveCredentials?(renewed: SessionCredentials): Promise<void>;
  /** For the wish, the epoch; made when absent, mode 0700. */
  readonly folder: string;
  /** Lies in memory, for what must not be on a disk; made when absent, mode 0700. */
  readonly memoryFolder: string;
  readonly bootId: string;
  readonly agentVersion: string;
  /** The Node as this node wants it: name, labels, addresses, capacity, nodeInfo, taints. Asked at each dial. */
  describeNode(): Promise<Node>;
  onChange(changes: readonly DesiredChange[]): void;
  onSynced(from: 'disk' | 'gateway'): void;
  onWelcome?(info: ClusterInfo): void;
  /** The connection has ended: what was said is not live any more, until the next `onSynced('gateway')`. */
  onLost?(): void;
  /** Rejects with StatusError. `c.signal` aborts when the other end has gone. */
  serveStream(request: NodeStreamRequest, io: StreamIo, c: Ctx): Promise<{ exitCode: number }>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface PodTokenRequest {
  readonly pod: PodRef;
  readonly serviceAccount: string;
  /** undefined = the API server. */
  readonly audience: string | undefined;
  readonly expirationSeconds: number;
}

export interface PodToken {
  readonly token: string;
  /** By this node's clock. */
  readonly expiresAtMs: number;
}

export interface Session extends AsyncDisposable {
  readonly connected: boolean;
  /** A token of the pod's service account, bound to the pod. Rejects at once (Unavailable) while there is no connection. */
  serviceAccountToken(o: PodTokenRequest, c: Ctx): Promise<PodToken>;
  /**
   * The image of a static pod is to be in the API (`pod.uid`: the hash that it carries), or, without `source`, is to go
   * (`pod.uid`: its own). Rejects at once (Unavailable) while there is no connection.
   */
  mirrorPod(pod: PodRef, source: DeepReadonly<Pod> | undefined, c: Ctx): Promise<void>;
  /** Written as the node. Rejects at once (Unavailable) while there is no connection. */
  putCsiDriver(report: CsiDriverReport, c: Ctx): Promise<void>;
  /** The volume of the claim has been grown here. Rejects at once (Unavailable) while there is no connection. */
  claimResized(claim: ClaimRef, storage: string, c: Ctx): Promise<void>;
  /** Reports of pods that the gateway has not stored yet. */
  readonly unstored: number;
  reportPodStatus(pod: PodRef, status: PodStatus): void;
  /** The node has nothing left of the pod: its API object may go. Repeated until the gateway has done it. */
  reportPodRemoved(pod: PodRef): void;
  /** The data of a released volume is gone: its API object may go. Repeated until the gateway has done it. */
  reportVolumeErased(volume: { readonly name: string; readonly uid: string }): void;
  reportNodeStatus(status: NodeStatus): void;
  /** Best effort, bounded: a report of what happened, not of what is. */
  event(
    event: Pick<Event, 'involvedObject'> &
      Partial<Omit<Event, 'apiVersion' | 'kind' | 'metadata'>> & { metadata?: { namespace?: string } },
  ): void;
}
