/** Objects in the version that a policy asks for: built-in kinds by their converters, custom ones as their definition says. */
import { apiVersionOf, type DeepReadonly, type KindInfo, type KubeObject } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Cached } from '../../cache/cached.ts';
import { fromStored, toStored } from '../../conversion.ts';
import type { CustomVersions } from '../../custom/versions.ts';
import type { KindRegistry } from '../../kind-registry.ts';

type Stored = DeepReadonly<KubeObject>;

export class Versions {
  readonly #kinds: KindRegistry;
  readonly #custom: CustomVersions;

  constructor(o: { readonly kinds: KindRegistry; readonly custom: CustomVersions }) {
    this.#kinds = o.kinds;
    this.#custom = o.custom;
  }

  async readAll(kind: KindInfo, list: readonly Cached[], c: Ctx): Promise<Stored[]> {
    if (kind.custom !== undefined) return (await this.#custom.readAll(kind, list, c)).map((o) => o.object);
    const stored = this.#kinds.of(kind) ?? kind;
    return list.map((o) => fromStored(kind, stored, o.object));
  }

  /** `object` is of another version of `kind`; itself when it has that version already. */
  async read(kind: KindInfo, object: Stored, c: Ctx): Promise<Stored> {
    // Bodies of subresources (Scale, TokenRequest) are no versions of their parent.
    if (object.apiVersion === apiVersionOf(kind) || object.kind !== kind.kind) return object;
    if (kind.custom === undefined) return fromStored(kind, this.#kinds.of(kind) ?? kind, object);
    return await this.#custom.convert(kind, object, c);
  }

  /** Back from the version `from` to that of the request. Takes `object` over. */
  async back(kind: KindInfo, from: KindInfo, object: KubeObject, c: Ctx): Promise<KubeObject> {
    if (kind === from || object.kind !== kind.kind) return object;
    if (kind.custom === undefined) return toStored(from, kind, object);
    return structuredClone(await this.read(kind, object, c)) as KubeObject;
  }
}
