/**
 * `DELETE /images/{name}` and `POST /images/prune`. A name that goes leaves the image while it has others; the last one takes it
 * along unless a container needs it. Nothing that runs loses its image, not even by force. One at a time.
 * Source: moby daemon/images/image_delete.go, image_prune.go.
 */
import { type Ctx, type Digest, isKind } from '#lib/base';
import { parseReference } from '#lib/oci';
import type { ImageCatalog } from '../../images/catalog.ts';
import { type ImageRecord, isNameless } from '../../images/records.ts';
import { conflict, EngineError } from '../http/contract.ts';
import type { Filters } from '../http/filters.ts';
import { untilOf } from '../http/timestamps.ts';
import type { ImageEvents } from './events.ts';
import { type ImageLibrary, type LibraryImage, repoTags } from './library.ts';
import { familiarName, familiarText, shortId } from './names.ts';

export interface ImageUser {
  readonly id: string;
  readonly imageId: Digest;
  readonly isRunning: boolean;
}

export type Removed = { readonly Untagged: string } | { readonly Deleted: string };

export interface RemoverParts {
  readonly catalog: ImageCatalog;
  readonly library: ImageLibrary;
  readonly events: ImageEvents;
  /** The engine's containers. */
  readonly users: () => readonly ImageUser[];
}

interface Outcome {
  readonly removed: Removed[];
  freedBytes: number;
}

export class ImageRemover {
  readonly #parts: RemoverParts;
  #turn: Promise<unknown> = Promise.resolve();
  #isPruning = false;

  constructor(parts: RemoverParts) {
    this.#parts = parts;
  }

  /** EngineError 404, 409 in Docker's words. */
  async remove(text: string, o: { readonly force: boolean }, c: Ctx): Promise<readonly Removed[]> {
    return (await this.#alone(() => this.#remove(text, o.force, c))).removed;
  }

  async prune(
    filters: Filters,
    c: Ctx,
  ): Promise<{ readonly removed: readonly Removed[]; readonly freedBytes: number }> {
    if (this.#isPruning) throw conflict('a prune operation is already running');
    this.#isPruning = true;
    try {
      const all: Outcome = { removed: [], freedBytes: 0 };
      for (const text of await this.#prunable(filters, c)) {
        if (c.signal.aborted) break;
        try {
          const one = await this.#alone(() => this.#remove(text, false, c));
          all.removed.push(...one.removed);
          all.freedBytes += one.freedBytes;
        } catch (e) {
          if (!(e instanceof EngineError) && !isKind(e, 'NotFound')) throw e;
          c.log.debug({ err: e, image: text }, 'image is not pruned');
        }
      }
      this.#parts.events.pruned(all.freedBytes);
      return all;
    } finally {
      this.#isPruning = false;
    }
  }

  /** References and ids, as `remove` takes them. */
  async #prunable(filters: Filters, c: Ctx): Promise<readonly string[]> {
    const { library } = this.#parts;
    const isDanglingOnly = filters.bool('dangling') ?? true;
    const untilMs = untilOf(filters, c.clock.now());
    const out: string[] = [];
    for (const image of library.all()) {
      const { document } = await library.document(image);
      if (untilMs !== undefined && document.createdAtMs > untilMs) continue;
      if (!filters.hasLabels(document.config.Labels ?? {})) continue;
      if (isDanglingOnly && repoTags(image).length > 0) continue;
      const names = namesOf(image).map((r) => r.reference);
      out.push(...(names.length === 0 ? [image.id] : names));
    }
    return out;
  }

  async #remove(text: string, force: boolean, c: Ctx): Promise<Outcome> {
    const { catalog, events, library } = this.#parts;
    const found = library.find(text);
    const out: Outcome = { removed: [], freedBytes: 0 };
    const users = await this.#users(found.id);
    if (found.isById) {
      if (isSingle(found)) {
        const reason = blocking(users, force);
        if (reason !== undefined) throw unable(found.id, reason);
      } else if (namesOf(found).length > 0 && !force) {
        const reason = blocking(users, true) ?? REFERENCED;
        throw unable(found.id, reason);
      }
      await this.#delete(found, { force, users, out }, c);
      return out;
    }
    const [user] = users;
    if (!force && user !== undefined && isSingle(found))
      throw conflict(
        `conflict: unable to remove repository reference "${text}" (must force) - container ${shortId(user.id)} is using its referenced image ${shortId(found.id)}`,
      );
    for (const r of goingWith(found, found.record)) {
      await catalog.untag(r.reference);
      out.removed.push({ Untagged: familiarText(r.reference) });
    }
    out.removed.push(...digestsGoing(found, found.record));
    await events.emit('untag', found);
    const left = library.byId(found.id);
    if (left === undefined || namesOf(left).length > 0 || blocking(users, force) !== undefined) return out;
    await this.#delete(left, { force, users, out }, c);
    return out;
  }

  /** With all the names that it still has. */
  async #delete(
    image: LibraryImage,
    o: { readonly force: boolean; readonly users: readonly ImageUser[]; readonly out: Outcome },
    c: Ctx,
  ): Promise<void> {
    const { catalog, events } = this.#parts;
    const reason = blocking(o.users, o.force);
    if (reason !== undefined) throw unable(image.id, reason);
    const names = namesOf(image);
    for (const r of names) o.out.removed.push({ Untagged: familiarText(r.reference) }, ...digestsOf(r, names));
    if (names.length > 0) await events.emit('untag', image);
    const { freedBytes, layers } = await catalog.remove(image.id, c);
    o.out.freedBytes += freedBytes;
    await events.emit('delete', { id: image.id, records: [] });
    o.out.removed.push({ Deleted: image.id }, ...layers.toReversed().map((id) => ({ Deleted: id })));
  }

  /** The engine's containers and those of pods, whose roots stand as long as they are needed. */
  async #users(id: Digest): Promise<readonly ImageUser[]> {
    const own = this.#parts.users();
    const known = new Set(own.map((u) => u.id));
    const roots = (await this.#parts.catalog.users()).filter((r) => !known.has(r.containerId));
    const ofPods = roots.map((r) => ({ id: r.containerId, imageId: r.imageId, isRunning: true }));
    return [...own, ...ofPods].filter((u) => u.imageId === id);
  }

  #alone<T>(fn: () => Promise<T>): Promise<T> {
    const next = this.#turn.then(fn);
    this.#turn = next.catch(() => undefined); // Told to who asked.
    return next;
  }
}

interface Reason {
  readonly isHard: boolean;
  readonly text: string;
}

const REFERENCED: Reason = { isHard: false, text: 'image is referenced in multiple repositories' };

/** What stands against a removal: a running container always, a stopped one unless by force. */
function blocking(users: readonly ImageUser[], force: boolean): Reason | undefined {
  const running = users.find((u) => u.isRunning);
  if (running !== undefined)
    return { isHard: true, text: `image is being used by running container ${shortId(running.id)}` };
  const [stopped] = users;
  if (force || stopped === undefined) return undefined;
  return { isHard: false, text: `image is being used by stopped container ${shortId(stopped.id)}` };
}

function unable(id: Digest, r: Reason): EngineError {
  const how = r.isHard ? 'cannot be forced' : 'must be forced';
  return conflict(`conflict: unable to delete ${shortId(id)} (${how}) - ${r.text}`);
}

function namesOf(image: LibraryImage): readonly ImageRecord[] {
  return image.records.filter((r) => !isNameless(r));
}

const isTagged = (r: ImageRecord): boolean => !r.reference.includes('@');

function repositoryOf(r: ImageRecord): string {
  return familiarName(parseReference(r.reference));
}

/** All in one repository, with at most one tag. */
function isSingle(image: LibraryImage): boolean {
  const names = namesOf(image);
  return new Set(names.map(repositoryOf)).size === 1 && names.filter(isTagged).length <= 1;
}

/** With its last tag in a repository go the digests there. */
function goingWith(image: LibraryImage, record: ImageRecord): readonly ImageRecord[] {
  if (!isTagged(record)) return [record];
  const same = namesOf(image).filter((r) => r !== record && repositoryOf(r) === repositoryOf(record));
  return same.some(isTagged) ? [record] : [record, ...same];
}

function digestsGoing(image: LibraryImage, record: ImageRecord): readonly Removed[] {
  const going = goingWith(image, record);
  const stays = namesOf(image).some((r) => !going.includes(r) && repositoryOf(r) === repositoryOf(record));
  return stays ? [] : digestsOf(record, going);
}

/** Those that have no record of their own. */
function digestsOf(record: ImageRecord, others: readonly ImageRecord[]): readonly Removed[] {
  if (!isTagged(record)) return [];
  const told = new Set(others.map((r) => familiarText(r.reference)));
  const digests = (record.registryDigests ?? []).map((d) => `${repositoryOf(record)}@${d}`);
  return digests.filter((text) => !told.has(text)).map((text) => ({ Untagged: text }));
}
