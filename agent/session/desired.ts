/**
 * The last known wish, in memory and on disk: what the control plane wants of this node, so that pods run on and come back
 * after a restart while it is away.
 *
 * How it lies there: wish-files.ts. Writes are coalesced per object and run behind; `flush` waits for them.
 *
 * Invariants: `upsert` and `remove` give exactly the changes that consumers must hear: a repeated state gives none, an
 * object replaced under its name (another uid) gives a remove and an upsert. Between `beginSync` and `endSync` nothing is
 * removed that was merely not sent yet; endSync gives the removals of what the control plane no longer names.
 */
import { type Logger, messageOf } from '#lib/base';
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

interface Held {
  readonly resource: DesiredResource;
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly bytes: Buffer;
}

const WRITES_AT_ONCE = 8;

export class DesiredStore {
  readonly #files: WishFiles;
  readonly #log: Logger;
  readonly #held = new Map<string, Held>();
  /** Not yet named again since beginSync; undefined = no sync is under way. */
  #unseen: Set<string> | undefined;
  readonly #dirty = new Set<string>();
  #saving: Promise<void> | undefined;

  private constructor(folders: WishFolders, log: Logger) {
    this.#files = new WishFiles(folders, log);
    this.#log = log;
  }

  static async open(
    folders: WishFolders,
    log: Logger,
  ): Promise<{ store: DesiredStore; changes: readonly DesiredChange[] }> {
    const store = new DesiredStore(folders, log);
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

  upsert(o: Held): readonly DesiredChange[] {
    const id = idOf(o);
    this.#unseen?.delete(id);
    const before = this.#held.get(id);
    if (before?.bytes.equals(o.bytes)) return [];
    const object = parseObject(o.bytes);
    if (object === undefined) {
      this.#log.error(
        { kind: o.resource, namespace: o.namespace, name: o.name },
        'the gateway sent an unreadable object',
      );
      return [];
    }
    this.#held.set(id, o);
    this.#save(id);
    const replaced = before !== undefined && before.uid !== o.uid ? [removal(before)] : [];
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
    while (this.#saving !== undefined) await this.#saving;
  }

  async #load(resource: DesiredResource): Promise<readonly DesiredChange[]> {
    const changes: DesiredChange[] = [];
    for (const { object, bytes, isWithheld, isExposed } of await this.#files.load(resource)) {
      const { namespace = '', name, uid = '' } = object.metadata;
      const held = { resource, namespace, name, uid, bytes };
      this.#held.set(idOf(held), held);
      if (isExposed) this.#save(idOf(held));
      changes.push(
        isWithheld ? { type: 'withheld', resource, namespace, name, uid } : { type: 'upsert', resource, object },
      );
    }
    return changes;
  }

  #save(id: string): void {
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
      this.#log.error({ id, err: messageOf(e) }, 'the wish could not be saved: a restart would miss it');
    }
  }
}

/** API names hold neither slashes nor underscores. */
function idOf(o: { resource: string; namespace: string; name: string }): string {
  return `${o.resource}/${encodeURIComponent(o.namespace)}_${encodeURIComponent(o.name)}`;
}

function removal(held: Held): DesiredChange {
  return { type: 'remove', resource: held.resource, namespace: held.namespace, name: held.name, uid: held.uid };
}
