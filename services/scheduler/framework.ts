/**
 * What a plugin is. A plugin looks at the pod and the cluster once (`prepare`) and gives a function to ask about each node,
 * or undefined when it has nothing to say about this pod, which then costs nothing. Pure.
 */
import type { DeepReadonly, PersistentVolume, PersistentVolumeClaim, Service, StorageClass } from '#lib/api';
import type { NodeInfo } from './node-info.ts';
import type { PodInfo } from './pod-info.ts';

/** Why not: in Kubernetes' words, several when several resources lack. Empty = the node will do. */
export type Reasons = readonly string[];

export const FITS: Reasons = [];

/** What may turn an unschedulable pod into a schedulable one. */
export type ClusterEvent =
  | 'node-added'
  | 'node-changed'
  | 'pod-assigned'
  | 'pod-relabelled'
  | 'pod-removed'
  | 'namespace-changed'
  | 'storage-changed';

/** Claims and volumes, with what is promised to pods whose binding is under way. */
export interface StorageView {
  claim(namespace: string, name: string): DeepReadonly<PersistentVolumeClaim> | undefined;
  volume(name: string): DeepReadonly<PersistentVolume> | undefined;
  volumes(): readonly DeepReadonly<PersistentVolume>[];
  storageClass(name: string): DeepReadonly<StorageClass> | undefined;
  /** Where the claim's volume is going to be made. */
  selectedNode(claim: DeepReadonly<PersistentVolumeClaim>): string | undefined;
  /** How many volumes of a driver the node takes, as its CSINode says. */
  volumesMax(nodeName: string, driver: string): number | undefined;
  /** Promised to another claim. */
  isTaken(volume: DeepReadonly<PersistentVolume>, claim: DeepReadonly<PersistentVolumeClaim>): boolean;
}

/** No node will do, for a reason that is the pod's own. */
export interface Refusal {
  readonly refused: string;
}

export interface ClusterSnapshot {
  readonly nodes: readonly NodeInfo[];
  node(name: string): NodeInfo | undefined;
  services(namespace: string): readonly DeepReadonly<Service>[];
  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined;
  readonly storage: StorageView;
}

export interface FilterPlugin {
  readonly name: string;
  /** The pod is tried again when one of these happens. */
  readonly wakesOn: ReadonlySet<ClusterEvent>;
  prepare(p: PodInfo, s: ClusterSnapshot): ((n: NodeInfo) => Reasons) | Refusal | undefined;
}

export interface ScorePlugin {
  readonly name: string;
  readonly weight: number;
  /** Higher is better; `normalize` brings what plugins count to 0..100. */
  prepare(p: PodInfo, s: ClusterSnapshot, feasible: readonly NodeInfo[]): ((n: NodeInfo) => number) | undefined;
  readonly normalize: 'none' | 'to-max' | 'to-max-reversed' | 'to-range';
}

export interface Profile {
  /** In order: a node is asked until the first plugin refuses it. */
  readonly filters: readonly FilterPlugin[];
  readonly scores: readonly ScorePlugin[];
}

export type Decision =
  | { readonly type: 'bind'; readonly node: string }
  | {
      readonly type: 'unschedulable';
      /** Reason -> number of nodes. */
      readonly reasons: ReadonlyMap<string, number>;
      readonly nodeCount: number;
      /** Instead of reasons of nodes. */
      readonly refused?: string;
      /** The plugins that refused a node. */
      readonly refusedBy: readonly FilterPlugin[];
    };
