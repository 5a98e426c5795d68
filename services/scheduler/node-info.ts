/** A node with the sums over its pods, kept up to date one pod at a time. */
import type { DeepReadonly, Node, Taint } from '#lib/api';
import type { HostPort, PodInfo } from './pod-info.ts';
import { type Amounts, add, amountsOf } from './resources.ts';

/** What plugins see. */
export interface NodeInfo {
  readonly name: string;
  readonly node: DeepReadonly<Node>;
  readonly labels: Readonly<Record<string, string>>;
  readonly taints: readonly DeepReadonly<Taint>[];
  readonly isUnschedulable: boolean;
  readonly allocatable: Amounts;
  readonly requested: Amounts;
  readonly scoredCpuMilli: number;
  readonly scoredMemoryBytes: number;
  /** By uid. */
  readonly pods: ReadonlyMap<string, PodInfo>;
  /** Those of them that state affinity or anti-affinity to other pods. */
  readonly podsWithTerms: ReadonlyMap<string, PodInfo>;
  /** Pods of an owner here that are not on their way out. */
  countOfOwner(ownerUid: string): number;
  readonly hostPorts: readonly HostPort[];
  /** Image name -> bytes. */
  readonly images: ReadonlyMap<string, number>;
}

export class MutableNodeInfo implements NodeInfo {
  readonly name: string;
  #node: DeepReadonly<Node>;
  #allocatable: Amounts = new Map();
  #images: ReadonlyMap<string, number> = new Map();
  readonly #requested = new Map<string, number>();
  readonly #pods = new Map<string, PodInfo>();
  readonly #podsWithTerms = new Map<string, PodInfo>();
  readonly #owners = new Map<string, number>();
  #hostPorts: readonly HostPort[] = [];
  #scoredCpuMilli = 0;
  #scoredMemoryBytes = 0;

  constructor(node: DeepReadonly<Node>) {
    this.name = node.metadata.name;
    this.#node = node;
    this.setNode(node);
  }

  get node(): DeepReadonly<Node> {
    return this.#node;
  }

  get labels(): Readonly<Record<string, string>> {
    return this.#node.metadata.labels ?? {};
  }

  get taints(): readonly DeepReadonly<Taint>[] {
    return this.#node.spec?.taints ?? [];
  }

  get isUnschedulable(): boolean {
    return this.#node.spec?.unschedulable === true;
  }

  get allocatable(): Amounts {
    return this.#allocatable;
  }

  get requested(): Amounts {
    return this.#requested;
  }

  get scoredCpuMilli(): number {
    return this.#scoredCpuMilli;
  }

  get scoredMemoryBytes(): number {
    return this.#scoredMemoryBytes;
  }

  get pods(): ReadonlyMap<string, PodInfo> {
    return this.#pods;
  }

  get podsWithTerms(): ReadonlyMap<string, PodInfo> {
    return this.#podsWithTerms;
  }

  get hostPorts(): readonly HostPort[] {
    return this.#hostPorts;
  }

  get images(): ReadonlyMap<string, number> {
    return this.#images;
  }

  countOfOwner(ownerUid: string): number {
    return this.#owners.get(ownerUid) ?? 0;
  }

  setNode(node: DeepReadonly<Node>): void {
    this.#node = node;
    this.#allocatable = amountsOf(node.status?.allocatable ?? node.status?.capacity);
    const images = new Map<string, number>();
    for (const i of node.status?.images ?? []) for (const n of i.names ?? []) images.set(n, i.sizeBytes ?? 0);
    this.#images = images;
  }

  addPod(p: PodInfo): void {
    this.removePod(p.uid);
    this.#pods.set(p.uid, p);
    if (p.affinity.length + p.antiAffinity.length + p.preferred.length > 0) this.#podsWithTerms.set(p.uid, p);
    this.#count(p, 1);
  }

  /** False when it was not here. */
  removePod(uid: string): boolean {
    const p = this.#pods.get(uid);
    if (!p) return false;
    this.#pods.delete(uid);
    this.#podsWithTerms.delete(uid);
    this.#count(p, -1);
    return true;
  }

  #count(p: PodInfo, sign: 1 | -1): void {
    add(this.#requested, p.requests, sign);
    this.#scoredCpuMilli += sign * p.scoredCpuMilli;
    this.#scoredMemoryBytes += sign * p.scoredMemoryBytes;
    if (!p.isTerminating && p.ownerUid !== '') {
      const n = this.countOfOwner(p.ownerUid) + sign;
      if (n > 0) this.#owners.set(p.ownerUid, n);
      else this.#owners.delete(p.ownerUid);
    }
    if (p.hostPorts.length > 0) this.#hostPorts = [...this.#pods.values()].flatMap((x) => x.hostPorts);
  }
}
