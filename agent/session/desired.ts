/**
 * The last known wish, in memory and on disk: what the control plane wants of this node, so that pods run on and come back
 * after a restart while it is away.
 *
 * How it lies there: wish-files.ts. Writes are coalesced per object and run behind; `flush` waits for them. What is new, gone,
 * ended, or asked otherwise is written at once. A pod's status comes back from the API three or four times while it starts, and is
 * written up to a second later: it says what this node has on disk besides.
 *
 * Invariants: `upsert` and `remove` give exactly the changes that consumers must hear: a repeated state gives none, an
 * object replaced under its name (another uid) gives a remove and an upsert. Between `beginSync` and `endSync` nothing is
 * removed that was merely not sent yet; endSync gives the removals of what the control plane no longer names.
 */
import type { KubeObject } from '#lib/api';
import { type Clock, type Logger, messageOf, type Timer } from '#lib/base';
import type { DesiredChange, DesiredResource } from './session.ts';
import { parseObject, WishFiles, type WishFolders } from './wish-files.ts';

const RESOURCES: readonly DesiredResource[] = [
  'nodes',
  'namespaces',
  'services',
  'endpointslices',
  'runtimeclasses',
  'csidrivers',
  'volumeattachments',
  'serviceaccounts',
  'configmaps',
  'secrets',
  'persistentvolumes',
  'persistentvolumeclaims',
  // Last: what pods name is there before they are.
  'pods',
];

export interface SentObject {
  readonly resource: DesiredResource;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly bytes: Buffer;
}

interface Held extends SentObject {
  readonly asked: string | undefined;
}

const WRITES_AT_ONCE = 8;
const STATUS_WAIT_MS = 1_000;

export interface DesiredDeps {
  readonly clock: Clock;
  readonly log: Logger;
}

export class DesiredStore {
  readonly #files: WishFiles;
  readonly #d: DesiredDeps;
  readonly #held = new Map<string, Held>();
  /** Not yet named again since beginSync; undefined = no sync is under way. */
  #unseen: Set<string> | undefined;
  readonly #dirty = new Set<string>();
  /** Of these only the status changed. */
  readonly #soon = new Map<string, Timer>();
  #saving: Promise<void> | undefined;

  private constructor(folders: WishFolders, d: DesiredDeps) {
    this.#files = new WishFiles(folders, d.log);
    this.#d = d;
  }

  static async open(
    folders: WishFolders,
    d: DesiredDeps,
  ): Promise<{ store: DesiredStore; changes: readonly DesiredChange[] }> {
    const store = new DesiredStore(folders, d);
    await store.#files.open(RESOURCES);
    const changes: DesiredChange[] = [];
    for (const resource of RESOURCES) changes.push(...(await store.#load(resource)));
    return { store, changes };
  }

  static isResource(text: string): text is DesiredResource {
    return RESOURCES.some((r) => r === text);
  }

  beginSync(): void {
    this.#unseen = new Set(this.#held.keys());
  }

  endSync(): readonly DesiredChange[] {
    const unseen = this.#unseen ?? new Set();
    this.#unseen = undefined;
    return [...unseen].flatMap((id) => {
      const held = this.#held.get(id);
      return held === undefined ? [] : this.remove(held.resource, held.namespace, held.name);
    });
  }

  upsert(o: SentObject): readonly DesiredChange[] {
    const id = idOf(o);
    this.#unseen?.delete(id);
    const before = this.#held.get(id);
    if (before?.bytes.equals(o.bytes)) return [];
    const object = parseObject(o.bytes);
    if (object === undefined) {
      this.#d.log.error(
        { kind: o.resource, namespace: o.namespace, name: o.name },
        'the gateway sent an unreadable object',
      );
      return [];
    }
    const held = { ...o, asked: askedOf(object) };
    this.#held.set(id, held);
    const isReplaced = before !== undefined && before.uid !== o.uid;
    if (before === undefined || isReplaced || held.asked === undefined || held.asked !== before.asked) this.#save(id);
    else this.#saveSoon(id);
    const replaced = isReplaced ? [removal(before)] : [];
    return [...replaced, { type: 'upsert', resource: o.resource, object }];
  }

  remove(resource: DesiredResource, namespace: string, name: string): readonly DesiredChange[] {
    const id = idOf({ resource, namespace, name });
    this.#unseen?.delete(id);
    const held = this.#held.get(id);
    if (held === undefined) return [];
    this.#held.delete(id);
    this.#save(id);
    return [removal(held)];
  }

  /** Until everything known now is on disk. */
  async flush(): Promise<void> {
    for (const id of [...this.#soon.keys()]) this.#save(id);
    while (this.#saving !== undefined) await this.#saving;
  }

  async #load(resource: DesiredResource): Promise<readonly DesiredChange[]> {
    const changes: DesiredChange[] = [];
    for (const { object, bytes, isWithheld, isExposed } of await this.#files.load(resource)) {
      const { namespace = '', name, uid = '' } = object.metadata;
      const held = { resource, namespace, name, uid, bytes, asked: askedOf(object) };
      this.#held.set(idOf(held), held);
      if (isExposed) this.#save(idOf(held));
      changes.push(
        isWithheld ? { type: 'withheld', resource, namespace, name, uid } : { type: 'upsert', resource, object },
      );
    }
    return changes;
  }

  #saveSoon(id: string): void {
    if (this.#soon.has(id)) return;
    this.#soon.set(
      id,
      this.#d.clock.after(STATUS_WAIT_MS, () => this.#save(id)),
    );
  }

  #save(id: string): void {
    this.#soon.get(id)?.cancel();
    this.#soon.delete(id);
    this.#dirty.add(id);
    this.#saving ??= this.#saveAll();
  }

  async #saveAll(): Promise<void> {
    while (this.#dirty.size > 0) {
      const ids = [...this.#dirty].slice(0, WRITES_AT_ONCE);
      for (const id of ids) this.#dirty.delete(id);
      await Promise.all(ids.map((id) => this.#saveOne(id)));
    }
    // In the same turn as the last look at #dirty: what comes later starts a new round.
    this.#saving = undefined;
  }

  async #saveOne(id: string): Promise<void> {
    try {
      await this.#files.save(id, this.#held.get(id));
    } catch (e) {
      this.#d.log.error({ id, err: messageOf(e) }, 'the wish could not be saved: a restart would miss it');
    }
  }
}

/**
 * The same while nothing but the status and what describes the object has changed; undefined: of such a kind that cannot be told.
 * That a pod has ended is part of it: an agent that did not know would run it again.
 */
function askedOf(object: KubeObject & { status?: unknown }): string | undefined {
  const { generation, deletionTimestamp = '' } = object.metadata;
  const { phase } = (object.status ?? {}) as { phase?: unknown };
  const end = phase === 'Succeeded' || phase === 'Failed' ? phase : '';
  return generation === undefined ? undefined : `${generation} ${deletionTimestamp} ${end}`;
}

/** API names hold neither slashes nor underscores. */
function idOf(o: { resource: string; namespace: string; name: string }): string {
  return `${o.resource}/${encodeURIComponent(o.namespace)}_${encodeURIComponent(o.name)}`;
}

function removal(held: Held): DesiredChange {
  return { type: 'remove', resource: held.resource, namespace: held.namespace, name: held.name, uid: held.uid };
}
