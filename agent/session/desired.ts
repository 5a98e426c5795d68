/**
 * The last known wish, in memory and on disk: what the control plane wants of this node, so that pods run on and come back
 * after a restart while it is away.
 *
 * One file per object, `<folder>/<resource>/<namespace>_<name>.json` (a hash when that is too long), 0600 (Secrets are among
 * them), replaced atomically. Not fsynced: it must survive a crash of the agent, and after a crash of the machine no
 * container runs on; a file that does not parse is skipped. Writes are coalesced per object and run behind; `flush` waits
 * for them.
 *
 * Invariants: `upsert` and `remove` give exactly the changes that consumers must hear: a repeated state gives none, an
 * object replaced under its name (another uid) gives a remove and an upsert. Between `beginSync` and `endSync` nothing is
 * removed that was merely not sent yet; endSync gives the removals of what the control plane no longer names.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeObject } from '#lib/api';
import { hexOf, type Logger, messageOf, sha256, writeFileAtomic } from '#lib/base';
import type { DesiredChange, DesiredResource } from './session.ts';

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
/** Of 255 bytes, with room for what an atomic write adds. */
const FILE_NAME_MAX = 200;

export class DesiredStore {
  readonly #folder: string;
  readonly #log: Logger;
  readonly #held = new Map<string, Held>();
  /** Not yet named again since beginSync; undefined = no sync is under way. */
  #unseen: Set<string> | undefined;
  readonly #dirty = new Set<string>();
  #saving: Promise<void> | undefined;

  private constructor(folder: string, log: Logger) {
    this.#folder = folder;
    this.#log = log;
  }

  static async open(folder: string, log: Logger): Promise<{ store: DesiredStore; changes: readonly DesiredChange[] }> {
    const store = new DesiredStore(folder, log);
    for (const resource of RESOURCES) await mkdir(join(folder, resource), { recursive: true, mode: 0o700 });
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
    const object = parse(o.bytes);
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
    const folder = join(this.#folder, resource);
    const changes: DesiredChange[] = [];
    for (const file of (await readdir(folder)).sort()) {
      const path = join(folder, file);
      if (file.endsWith('.tmp')) {
        await rm(path, { force: true });
        continue;
      }
      const bytes = await readFile(path);
      const object = parse(bytes);
      if (object === undefined) {
        this.#log.warn({ path }, 'skipped an unreadable object of the saved wish');
        continue;
      }
      const { namespace = '', name, uid = '' } = object.metadata;
      const held = { resource, namespace, name, uid, bytes };
      this.#held.set(idOf(held), held);
      changes.push({ type: 'upsert', resource, object });
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
    const path = join(this.#folder, fileOf(id));
    try {
      const held = this.#held.get(id);
      if (held === undefined) await rm(path, { force: true });
      else await writeFileAtomic(path, held.bytes, { mode: 0o600, durable: false });
    } catch (e) {
      this.#log.error({ path, err: messageOf(e) }, 'the wish could not be saved: a restart would miss it');
    }
  }
}

function idOf(o: { resource: string; namespace: string; name: string }): string {
  return `${o.resource}/${encodeURIComponent(o.namespace)}_${encodeURIComponent(o.name)}`;
}

/**
 * An object's file below the folder: API names hold neither slashes nor underscores. A namespace and a name may together be
 * longer than a file's name; what is in the file says whose it is.
 */
function fileOf(id: string): string {
  const [resource = '', file = ''] = id.split('/');
  return join(resource, `${file.length <= FILE_NAME_MAX ? file : hexOf(sha256(id))}.json`);
}

function removal(held: Held): DesiredChange {
  return { type: 'remove', resource: held.resource, namespace: held.namespace, name: held.name, uid: held.uid };
}

function parse(bytes: Buffer): KubeObject | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    const isObject = typeof value === 'object' && value !== null && 'metadata' in value;
    return isObject && typeof value.metadata === 'object' && value.metadata !== null
      ? (value as KubeObject)
      : undefined;
  } catch {
    // Told by the callers, who know where the bytes came from.
    return undefined;
  }
}
