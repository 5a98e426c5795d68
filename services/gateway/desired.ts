/**
 * What each node needs to know, from one set of informers for all nodes: its own pods, the ConfigMaps, Secrets and
 * ServiceAccounts those pods name, their claims and volumes, released volumes whose data it is to erase, and all Services,
 * EndpointSlices, Nodes, Namespaces, RuntimeClasses and CSIDrivers. Secrets therefore reach only the nodes
 * whose pods name them.
 *
 * Each session has a `Feed`: the changes still to be sent, one per object and always its newest state, so a slow node costs
 * memory for the objects that changed and not for the number of changes. An object is encoded once for all nodes: the bytes
 * are remembered beside the informer's own object for as long as that lives.
 *
 * Invariants: a pod's references are queued before the pod; the feed has been empty once = everything that existed at
 * the start has been sent (the session then sends Synced).
 */
import {
  type DeepReadonly,
  hostOfVolume,
  isToBeErased,
  type KindRef,
  Kinds,
  type KubeObject,
  keyText,
  type Node,
  nodeHost,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
} from '#lib/api';
import { type Informer, type InformerFactory, isEqualJson } from '#lib/controller';
import { referencesOf } from './references.ts';
import { isHostOfVolumes } from './volume-host.ts';

export interface Change {
  readonly type: 'UPSERT' | 'REMOVE';
  readonly resource: string;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly object: Buffer;
}

const BROADCAST = [
  Kinds.nodes,
  Kinds.namespaces,
  Kinds.services,
  Kinds.endpointslices,
  Kinds.runtimeclasses,
  Kinds.csidrivers,
] as const;
const REFERENCED = [
  Kinds.configmaps,
  Kinds.secrets,
  Kinds.serviceaccounts,
  Kinds.persistentvolumes,
  Kinds.persistentvolumeclaims,
  Kinds.volumeattachments,
] as const;
const NONE = Buffer.alloc(0);
export const PODS_BY_NODE = 'nodeName';
const ERASED_BY_HOST = 'erasedByHost';
/** In place of a pod's key: the node needs these volumes for itself. No pod has such a key. */
const ERASURES = 'erasures';

export class DesiredHub implements Disposable {
  readonly pods: Informer<Pod>;
  readonly #claims: Informer<PersistentVolumeClaim>;
  readonly #volumes: Informer<PersistentVolume>;
  readonly #nodes: Informer<Node>;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  readonly #subscriptions: Disposable[] = [];
  readonly #feeds = new Set<Feed>();
  readonly #feedsByNode = new Map<string, Set<Feed>>();
  /** Feeds by the referenced object they need. */
  readonly #needs = new Map<string, Set<Feed>>();
  readonly #bytes = new WeakMap<object, Buffer>();

  constructor(factory: InformerFactory) {
    this.pods = factory.informer(Kinds.pods, { indexes: { [PODS_BY_NODE]: (p) => [p.spec?.nodeName ?? ''] } });
    this.#claims = factory.informer(Kinds.persistentvolumeclaims);
    this.#nodes = factory.informer(Kinds.nodes);
    this.#volumes = factory.informer(Kinds.persistentvolumes, {
      indexes: { [ERASED_BY_HOST]: (v) => (isToBeErased(v) ? [hostOfVolume(v) ?? ''] : []) },
    });
    for (const kind of [...BROADCAST, ...REFERENCED]) this.#open<KubeObject>(factory, kind);
  }

  /** To be called once, when all informers are synced. */
  start(): void {
    for (const kind of BROADCAST)
      this.#follow(kind.resource, (_key, previous, next) => {
        for (const feed of this.#feeds) feed.put(this.#change(kind.resource, previous, next));
      });
    for (const kind of REFERENCED)
      this.#follow(kind.resource, (_key, previous, next) => {
        const { namespace = '', name = '' } = (next ?? previous)?.metadata ?? {};
        const feeds = this.#needs.get(idOf(kind.resource, namespace, name)) ?? [];
        for (const feed of [...feeds]) feed.put(this.#change(kind.resource, previous, next));
      });
    this.#subscriptions.push(
      this.#claims.subscribe((previous, next) => this.#onClaim(previous, next)),
      this.#volumes.subscribe((previous, next) => this.#onVolume(previous, next)),
      this.#nodes.subscribe((previous, next) => this.#onNode(previous, next)),
    );
    this.#subscriptions.push(this.pods.subscribe((previous, next) => this.#onPod(previous, next)));
  }

  /** Queues everything the node needs now and keeps it up to date until disposed. `wake` is called when there is something to send. */
  open(nodeName: string, wake: () => void): Feed {
    const feed = new Feed(nodeName, wake, (f) => this.#close(f));
    this.#feeds.add(feed);
    addTo(this.#feedsByNode, nodeName, feed);
    for (const kind of BROADCAST)
      for (const o of this.#informers.get(kind.resource)?.list() ?? [])
        feed.put(this.#change(kind.resource, undefined, o));
    this.#putErasures(feed);
    for (const pod of this.pods.byIndex(PODS_BY_NODE, nodeName)) this.#putPod(feed, pod);
    return feed;
  }

  [Symbol.dispose](): void {
    for (const s of this.#subscriptions) s[Symbol.dispose]();
    this.#feeds.clear();
  }

  #open<T extends KubeObject>(factory: InformerFactory, kind: KindRef<T>): void {
    this.#informers.set(kind.resource, factory.informer<KubeObject>(kind));
  }

  #follow(
    resource: string,
    fn: (
      key: string,
      previous: DeepReadonly<KubeObject> | undefined,
      next: DeepReadonly<KubeObject> | undefined,
    ) => void,
  ): void {
    const informer = this.#informers.get(resource);
    if (informer === undefined) return;
    const subscription = informer.subscribe((previous, next) => {
      const object = next ?? previous;
      if (object !== undefined) fn(keyOfObject(object), previous, next);
    });
    this.#subscriptions.push(subscription);
  }

  #onPod(previous: DeepReadonly<Pod> | undefined, next: DeepReadonly<Pod> | undefined): void {
    const before = previous?.spec?.nodeName ?? '';
    const now = next?.spec?.nodeName ?? '';
    // A pod is never moved; a name taken again by another pod can still look so.
    if (previous !== undefined && before !== '' && (next === undefined || before !== now))
      for (const feed of this.#feedsByNode.get(before) ?? []) this.#dropPod(feed, previous);
    if (next !== undefined && now !== '') for (const feed of this.#feedsByNode.get(now) ?? []) this.#putPod(feed, next);
  }

  #putPod(feed: Feed, pod: DeepReadonly<Pod>): void {
    const removed = this.#putReferences(feed, keyOfObject(pod), this.#referencesOf(pod));
    feed.put(this.#change('pods', undefined, pod));
    this.#unneed(feed, removed);
  }

  #referencesOf(pod: DeepReadonly<Pod>): string[] {
    const namespace = pod.metadata.namespace ?? '';
    const references = referencesOf(pod, {
      claim: (name) => this.#claims.get({ namespace, name }),
      volume: (name) => this.#volumes.get({ namespace: '', name }),
    });
    return references.map((r) => idOf(r.resource, r.namespace, r.name));
  }

  /** What is new is queued; gives what is needed no more. */
  #putReferences(feed: Feed, key: string, ids: readonly string[]): readonly string[] {
    const { added, removed } = feed.setReferences(key, ids);
    for (const id of added) {
      addTo(this.#needs, id, feed);
      const [resource = '', namespace = '', name = ''] = id.split('/');
      const found = this.#informers.get(resource)?.get({ namespace, name });
      if (found !== undefined) feed.put(this.#change(resource, undefined, found));
    }
    return removed;
  }

  /** A claim gets its volume, or another claim its name: whose pods are here needs the volume too. */
  #onClaim(
    previous: DeepReadonly<PersistentVolumeClaim> | undefined,
    next: DeepReadonly<PersistentVolumeClaim> | undefined,
  ): void {
    const claim = next ?? previous;
    if (claim === undefined || previous?.spec.volumeName === next?.spec.volumeName) return;
    this.#putAgain(idOf(Kinds.persistentvolumeclaims.resource, claim.metadata.namespace ?? '', claim.metadata.name));
  }

  /** What this object names has changed: whose pods need it gets that too. */
  #putAgain(id: string): void {
    for (const feed of [...(this.#needs.get(id) ?? [])])
      for (const pod of this.pods.byIndex(PODS_BY_NODE, feed.nodeName)) {
        const ids = this.#referencesOf(pod);
        if (ids.includes(id)) this.#unneed(feed, this.#putReferences(feed, keyOfObject(pod), ids));
      }
  }

  #onVolume(
    previous: DeepReadonly<PersistentVolume> | undefined,
    next: DeepReadonly<PersistentVolume> | undefined,
  ): void {
    const volume = next ?? previous;
    if (volume?.spec.csi !== undefined && !isEqualJson(previous?.spec.csi, next?.spec.csi))
      this.#putAgain(idOf(Kinds.persistentvolumes.resource, '', volume.metadata.name));
    const isWanted = (v: DeepReadonly<PersistentVolume> | undefined): boolean => v !== undefined && isToBeErased(v);
    if (isWanted(previous) === isWanted(next)) return;
    for (const feed of this.#feeds) this.#putErasures(feed);
  }

  /** Whose volumes are whose changes with what nodes say their host is. */
  #onNode(previous: DeepReadonly<Node> | undefined, next: DeepReadonly<Node> | undefined): void {
    if (previous !== undefined && next !== undefined && nodeHost(previous) === nodeHost(next)) return;
    for (const feed of this.#feeds) this.#putErasures(feed);
  }

  #putErasures(feed: Feed): void {
    const node = this.#nodes.get({ namespace: '', name: feed.nodeName });
    const host = node === undefined ? feed.nodeName : nodeHost(node);
    const volumes = this.#volumes.byIndex(ERASED_BY_HOST, host);
    // All nodes are looked at only where there is something to tell.
    const isOurs =
      volumes.length > 0 && (node === undefined || isHostOfVolumes(feed.nodeName, host, this.#nodes.list()));
    const ids = (isOurs ? volumes : []).map((v) => idOf(Kinds.persistentvolumes.resource, '', v.metadata.name));
    this.#unneed(feed, this.#putReferences(feed, ERASURES, ids));
  }

  #dropPod(feed: Feed, pod: DeepReadonly<Pod>): void {
    const key = keyOfObject(pod);
    feed.put(this.#change('pods', pod, undefined));
    this.#unneed(feed, feed.setReferences(key, []).removed);
  }

  #unneed(feed: Feed, ids: readonly string[]): void {
    for (const id of ids) {
      removeFrom(this.#needs, id, feed);
      const [resource = '', namespace = '', name = ''] = id.split('/');
      feed.put({ type: 'REMOVE', resource, namespace, name, uid: '', object: NONE });
    }
  }

  #close(feed: Feed): void {
    this.#feeds.delete(feed);
    removeFrom(this.#feedsByNode, feed.nodeName, feed);
    for (const id of feed.needs()) removeFrom(this.#needs, id, feed);
  }

  #change(
    resource: string,
    previous: DeepReadonly<KubeObject> | undefined,
    next: DeepReadonly<KubeObject> | undefined,
  ): Change {
    const object = next ?? previous;
    const { namespace = '', name = '', uid = '' } = object?.metadata ?? {};
    if (next === undefined) return { type: 'REMOVE', resource, namespace, name, uid, object: NONE };
    return { type: 'UPSERT', resource, namespace, name, uid, object: this.#encode(next) };
  }

  #encode(object: DeepReadonly<KubeObject>): Buffer {
    const known = this.#bytes.get(object);
    if (known !== undefined) return known;
    // No node's business.
    const metadata = { ...object.metadata, managedFields: undefined };
    const bytes = Buffer.from(JSON.stringify({ ...object, metadata }));
    this.#bytes.set(object, bytes);
    return bytes;
  }
}

/** One session's changes still to be sent. */
export class Feed implements Disposable {
  readonly nodeName: string;
  readonly #wake: () => void;
  readonly #onClose: (f: Feed) => void;
  /** Insertion order is sending order; a newer state takes the place of the older. */
  readonly #waiting = new Map<string, Change>();
  /** What each pod needs, and how many pods need each. */
  readonly #byPod = new Map<string, readonly string[]>();
  readonly #counts = new Map<string, number>();
  #isClosed = false;

  constructor(nodeName: string, wake: () => void, onClose: (f: Feed) => void) {
    this.nodeName = nodeName;
    this.#wake = wake;
    this.#onClose = onClose;
  }

  put(change: Change): void {
    if (this.#isClosed) return;
    const wasEmpty = this.#waiting.size === 0;
    this.#waiting.set(`${change.resource}/${change.namespace}/${change.name}`, change);
    if (wasEmpty) this.#wake();
  }

  take(): Change | undefined {
    for (const [key, change] of this.#waiting) {
      this.#waiting.delete(key);
      return change;
    }
    return undefined;
  }

  needs(): Iterable<string> {
    return this.#counts.keys();
  }

  /** Ids `resource/namespace/name` that are needed now and were not, and the reverse. */
  setReferences(podKey: string, now: readonly string[]): { added: readonly string[]; removed: readonly string[] } {
    const before = this.#byPod.get(podKey) ?? [];
    const added: string[] = [];
    const removed: string[] = [];
    for (const id of now) {
      const count = this.#counts.get(id) ?? 0;
      if (count === 0) added.push(id);
      this.#counts.set(id, count + 1);
    }
    for (const id of before) {
      const count = (this.#counts.get(id) ?? 1) - 1;
      if (count > 0) this.#counts.set(id, count);
      else {
        this.#counts.delete(id);
        removed.push(id);
      }
    }
    if (now.length === 0) this.#byPod.delete(podKey);
    else this.#byPod.set(podKey, now);
    return { added, removed };
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#onClose(this);
    this.#waiting.clear();
  }
}

function idOf(resource: string, namespace: string, name: string): string {
  return `${resource}/${namespace}/${name}`;
}

function keyOfObject(o: DeepReadonly<KubeObject>): string {
  return keyText({ namespace: o.metadata.namespace ?? '', name: o.metadata.name });
}

function addTo(map: Map<string, Set<Feed>>, key: string, feed: Feed): void {
  const set = map.get(key);
  if (set === undefined) map.set(key, new Set([feed]));
  else set.add(feed);
}

function removeFrom(map: Map<string, Set<Feed>>, key: string, feed: Feed): void {
  const set = map.get(key);
  set?.delete(feed);
  if (set?.size === 0) map.delete(key);
}
