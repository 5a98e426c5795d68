/**
 * The cluster as the scheduler sees it: nodes with their pods, from informer events, plus pods that it has just placed and
 * the API does not show yet ("assumed"). Changed one object at a time, so that a look at it costs nothing.
 *
 * Invariants: a pod counts on at most one node; an assumed pod counts until the informer shows it (bound or gone) or its
 * binding has failed; finished pods hold nothing. Pods of a node that is not known yet wait for it.
 */
import type { DeepReadonly, Namespace, Node, Pod, Service } from '#lib/api';
import type { Informer } from '#lib/controller';
import type { ClusterSnapshot, StorageView } from './framework.ts';
import { MutableNodeInfo, type NodeInfo } from './node-info.ts';
import { type PodInfo, podInfoOf } from './pod-info.ts';

export class Snapshot implements ClusterSnapshot {
  readonly #services: Informer<Service>;
  readonly #namespaces: Informer<Namespace>;
  readonly #nodes = new Map<string, MutableNodeInfo>();
  /** Pods whose node is not known (yet, or any more): node name -> uid -> pod. */
  readonly #homeless = new Map<string, Map<string, PodInfo>>();
  /** uid -> the node it counts on. */
  readonly #placed = new Map<string, string>();
  readonly #assumed = new Set<string>();
  #list: readonly MutableNodeInfo[] | undefined;

  readonly storage: StorageView;

  constructor(services: Informer<Service>, namespaces: Informer<Namespace>, storage: StorageView) {
    this.#services = services;
    this.#namespaces = namespaces;
    this.storage = storage;
  }

  get nodes(): readonly NodeInfo[] {
    this.#list ??= [...this.#nodes.values()];
    return this.#list;
  }

  node(name: string): NodeInfo | undefined {
    return this.#nodes.get(name);
  }

  services(namespace: string): readonly DeepReadonly<Service>[] {
    return this.#services.list(namespace);
  }

  namespaceLabels(namespace: string): Readonly<Record<string, string>> | undefined {
    return this.#namespaces.get({ namespace: '', name: namespace })?.metadata.labels;
  }

  setNode(node: DeepReadonly<Node>): void {
    const known = this.#nodes.get(node.metadata.name);
    if (known) {
      known.setNode(node);
      return;
    }
    const info = new MutableNodeInfo(node);
    this.#nodes.set(info.name, info);
    this.#list = undefined;
    for (const p of this.#homeless.get(info.name)?.values() ?? []) info.addPod(p);
    this.#homeless.delete(info.name);
  }

  removeNode(name: string): void {
    const info = this.#nodes.get(name);
    if (!info) return;
    this.#nodes.delete(name);
    this.#list = undefined;
    if (info.pods.size > 0) this.#homeless.set(name, new Map(info.pods));
  }

  /** A pod as the API shows it; counts when it is bound and not finished. */
  setPod(pod: DeepReadonly<Pod>): void {
    const uid = pod.metadata.uid ?? '';
    const name = pod.spec.nodeName;
    const isFinished = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    if (name && !isFinished) {
      this.#assumed.delete(uid);
      this.#place(podInfoOf(pod), name);
    } else if (!this.#assumed.has(uid) || isFinished) this.removePod(uid);
  }

  removePod(uid: string): void {
    this.#assumed.delete(uid);
    const name = this.#placed.get(uid);
    if (name === undefined) return;
    this.#placed.delete(uid);
    this.#nodes.get(name)?.removePod(uid);
    const homeless = this.#homeless.get(name);
    homeless?.delete(uid);
    if (homeless?.size === 0) this.#homeless.delete(name);
  }

  /** Counts the pod on the node while its binding is under way. */
  assume(p: PodInfo, node: string): void {
    this.#place(p, node);
    this.#assumed.add(p.uid);
  }

  /** The binding has failed. Nothing happens when the API has shown the pod bound meanwhile. */
  forget(uid: string): void {
    if (this.#assumed.has(uid)) this.removePod(uid);
  }

  isAssumed(uid: string): boolean {
    return this.#assumed.has(uid);
  }

  #place(p: PodInfo, name: string): void {
    const before = this.#placed.get(p.uid);
    if (before !== undefined && before !== name) this.removePod(p.uid);
    this.#placed.set(p.uid, name);
    const node = this.#nodes.get(name);
    if (node) {
      node.addPod(p);
      return;
    }
    const homeless = this.#homeless.get(name) ?? new Map<string, PodInfo>();
    homeless.set(p.uid, p);
    this.#homeless.set(name, homeless);
  }
}
