/**
 * Versions of custom resources: objects lie in the store in whatever version was the storage version when they were written,
 * and are read in any served one: pruned and defaulted by today's schema of the version they have, converted, pruned by that of
 * the version asked for. Built-in kinds are converted by ../conversion.ts.
 *
 * Invariants: what is read in the version it has, and that today's schema would not change, is the cached object itself, so that
 * its bytes can be sent; every answer is computed once for each object and version, as long as both live.
 * Source: k8s.io/apiextensions-apiserver/pkg/apiserver/conversion/converter.go.
 */
import { apiVersionOf, type CustomBehavior, type DeepReadonly, type KindInfo, type KubeObject } from '#lib/api';
import { type Ctx, raceAbort, StatusError } from '#lib/base';
import { type Cached, encodeStored } from '../cache/cached.ts';
import type { CoreResult } from '../core.ts';
import type { WatchItem } from '../handlers/watch.ts';
import type { Definition, KindRegistry } from '../kind-registry.ts';

type Stored = DeepReadonly<KubeObject>;

/** Objects in another version by the definition's webhook, in their order. Throws when it does not answer well. */
export type WebhookConversion = (
  crd: Definition,
  objects: readonly Stored[],
  apiVersion: string,
  c: Ctx,
) => Promise<readonly Stored[]>;

export class CustomVersions {
  readonly #kinds: KindRegistry;
  readonly #webhook: WebhookConversion;
  readonly #read = new WeakMap<CustomBehavior, WeakMap<Cached, Cached>>();
  /** Conversions by webhook that are under way: many watchers get one event at a time. */
  readonly #asked = new WeakMap<CustomBehavior, Map<Cached, Promise<void>>>();

  constructor(o: { readonly kinds: KindRegistry; readonly webhook: WebhookConversion }) {
    this.#kinds = o.kinds;
    this.#webhook = o.webhook;
  }

  /** Each in the version `info`. */
  async readAll(info: KindInfo, list: readonly Cached[], c: Ctx): Promise<readonly Cached[]> {
    await this.#fill(info, list, c);
    return list.map((cached) => this.#atOnce(info, cached) ?? cached);
  }

  async read(info: KindInfo, cached: Cached, c: Ctx): Promise<Cached> {
    const known = this.#atOnce(info, cached);
    if (known !== undefined) return known;
    const [read] = await this.readAll(info, [cached], c);
    return read ?? cached;
  }

  /** For tests on many objects that must not wait: one that only a webhook could convert is given as it lies in the store. */
  readNow(info: KindInfo, cached: Cached): Cached {
    return this.#atOnce(info, cached) ?? cached;
  }

  async answer(info: KindInfo, result: CoreResult, c: Ctx): Promise<CoreResult> {
    if (result.type === 'list') return { ...result, items: await this.readAll(info, result.items, c) };
    if (result.type !== 'object' || result.cached === undefined) return result;
    const cached = await this.read(info, result.cached, c);
    return cached === result.cached ? result : { ...result, cached, object: cached.object };
  }

  async *watch(info: KindInfo, items: AsyncIterable<WatchItem>, c: Ctx): AsyncIterable<WatchItem> {
    for await (const item of items) {
      if (item.type !== 'events') {
        yield item;
        continue;
      }
      const read = await this.readAll(
        info,
        item.events.map((e) => e.cached),
        c,
      );
      const events = item.events.map((e, i) => {
        const cached = read[i] ?? e.cached;
        return cached === e.cached ? e : { type: e.type, cached, event: undefined };
      });
      yield { type: 'events', events };
    }
  }

  /** An object that need not be in the store, in the version `info`. */
  async convert(info: KindInfo, object: Stored, c: Ctx): Promise<Stored> {
    const apiVersion = apiVersionOf(info);
    if (object.apiVersion === apiVersion) return object;
    const crd = this.#kinds.definitionOf(info);
    const [converted] = isByWebhook(crd)
      ? await this.#converted(crd, [object], apiVersion, c)
      : [{ ...object, apiVersion }];
    const next = converted ?? object;
    return info.custom?.fromStorage(next) ?? next;
  }

  /** A draft of the version `info` as it is to be stored. Takes it over. */
  async write(info: KindInfo, draft: KubeObject, c: Ctx): Promise<KubeObject> {
    const storage = this.#kinds.of(info);
    if (storage?.custom === undefined || storage.version === info.version) return draft;
    return await this.convertDraft(storage, draft, c);
  }

  /** An object of any version in the version `info`, without what that version does not know. Not kept for the next time. */
  async convertDraft(info: KindInfo, object: KubeObject | Stored, c: Ctx): Promise<KubeObject> {
    const apiVersion = apiVersionOf(info);
    const given = object as Stored;
    if (info.custom === undefined || given.apiVersion === apiVersion) return object as KubeObject;
    const crd = this.#kinds.definitionOf(info);
    const [converted] = isByWebhook(crd)
      ? await this.#converted(crd, [given], apiVersion, c)
      : [{ ...given, apiVersion }];
    return info.custom.decode(converted).object;
  }

  /** undefined: only a webhook can say. */
  #atOnce(info: KindInfo, cached: Cached): Cached | undefined {
    const { custom } = info;
    if (custom === undefined) return cached;
    const memo = this.#memo(custom);
    const known = memo.get(cached);
    if (known !== undefined) return known;
    const apiVersion = apiVersionOf(info);
    const isSame = cached.object.apiVersion === apiVersion;
    if (!isSame && isByWebhook(this.#kinds.definitionOf(info))) return undefined;
    const stored = this.#stored(info, cached);
    return this.#keep(info, cached, isSame ? stored : custom.fromOtherVersion({ ...stored, apiVersion }));
  }

  /** By the schema of the version that it was written in, whose defaults it gets whatever version is asked for. */
  #stored(info: KindInfo, { object }: Cached): Stored {
    const written = object.apiVersion === apiVersionOf(info) ? info : this.#kinds.versionOf(info, object.apiVersion);
    return written?.custom?.fromStorage(object) ?? object;
  }

  /** Until all are known: what nobody has asked for yet is asked for, for the rest others are waited for. */
  async #fill(info: KindInfo, list: readonly Cached[], c: Ctx): Promise<void> {
    const asked = this.#askedOf(info);
    for (;;) {
      const missing = list.filter((cached) => this.#atOnce(info, cached) === undefined);
      if (missing.length === 0) return;
      const free = missing.filter((cached) => !asked.has(cached));
      const running = new Set(missing.flatMap((cached) => asked.get(cached) ?? []));
      // The failure of others is theirs: what they did not get is asked for again.
      if (free.length === 0) await raceAbort(Promise.allSettled(running), c.signal);
      else await this.#convertAsked(info, free, asked, c);
    }
  }

  async #convertAsked(
    info: KindInfo,
    list: readonly Cached[],
    asked: Map<Cached, Promise<void>>,
    c: Ctx,
  ): Promise<void> {
    const running = this.#convert(info, list, c);
    for (const cached of list) asked.set(cached, running);
    try {
      await running;
    } finally {
      for (const cached of list) asked.delete(cached);
    }
  }

  #askedOf({ custom }: KindInfo): Map<Cached, Promise<void>> {
    const made = new Map<Cached, Promise<void>>();
    if (custom === undefined) return made;
    const known = this.#asked.get(custom);
    if (known === undefined) this.#asked.set(custom, made);
    return known ?? made;
  }

  async #convert(info: KindInfo, list: readonly Cached[], c: Ctx): Promise<void> {
    const crd = this.#kinds.definitionOf(info);
    if (!isByWebhook(crd)) return;
    const objects = await this.#converted(
      crd,
      list.map((cached) => this.#stored(info, cached)),
      apiVersionOf(info),
      c,
    );
    for (const [i, cached] of list.entries()) {
      const object = objects[i] ?? cached.object;
      this.#keep(info, cached, info.custom?.fromOtherVersion(object) ?? object);
    }
  }

  async #converted(
    crd: Definition,
    objects: readonly Stored[],
    apiVersion: string,
    c: Ctx,
  ): Promise<readonly Stored[]> {
    const converted = await this.#webhook(crd, objects, apiVersion, c);
    for (const [i, object] of converted.entries()) requireSame(objects[i], object);
    return converted;
  }

  #keep(info: KindInfo, cached: Cached, object: Stored): Cached {
    const read = object === cached.object ? cached : { ...cached, object, bytes: encodeStored(object as KubeObject) };
    if (info.custom !== undefined) this.#memo(info.custom).set(cached, read);
    return read;
  }

  #memo(custom: CustomBehavior): WeakMap<Cached, Cached> {
    const known = this.#read.get(custom);
    if (known !== undefined) return known;
    const made = new WeakMap<Cached, Cached>();
    this.#read.set(custom, made);
    return made;
  }
}

function isByWebhook(crd: Definition | undefined): crd is Definition {
  return crd?.spec.conversion?.strategy === 'Webhook';
}

/** A conversion may change labels and annotations of the metadata, and nothing that says which object it is. */
function requireSame(before: Stored | undefined, after: Stored): void {
  const isSame =
    before?.metadata.name === after.metadata.name &&
    before.metadata.namespace === after.metadata.namespace &&
    before.metadata.uid === after.metadata.uid;
  if (!isSame) throw new StatusError('Internal', 'the conversion webhook changed the identity of an object');
}
