/**
 * The kinds that this server has: the built-in rows and those of established CustomResourceDefinitions, kept current by the
 * watch cache, which tells of each definition before it applies anything later. Served kinds by group, version and resource;
 * stored kinds by group and resource: versions of a group share one key and are stored in the first version of discovery order
 * (custom kinds in their storage version); events.k8s.io events are the core events.
 *
 * Invariants: built-in kinds win over custom ones of the same names; rows change only when the definition's spec or accepted
 * names do, so that a row's identity says whether what was derived from it still holds.
 */
import { isDeepStrictEqual } from 'node:util';
import {
  allKinds,
  type CustomKinds,
  type CustomResourceDefinition,
  customKindsOf,
  type DeepReadonly,
  type DefinitionTools,
  isConditionTrue,
  type KindInfo,
  type KindRef,
  type KubeObject,
  kindByGvk,
  kindByResource,
  NO_DEFINITION_TOOLS,
} from '#lib/api';
import { pathNotFound } from './api-errors.ts';

export type Definition = DeepReadonly<CustomResourceDefinition>;

/** Where objects of a kind are kept, whatever their version. */
export type ResourceRef = Pick<KindInfo, 'group' | 'resource'>;

/** `name` of the definition that came, changed or went. `isServedAnew`: what is served of it is not what it was. */
export type DefinitionListener = (
  name: string,
  o: { readonly isServedAnew: boolean; readonly resource: ResourceRef },
) => void;

interface Defined {
  readonly crd: Definition;
  /** undefined: not established. */
  readonly kinds: CustomKinds | undefined;
}

export class KindRegistry {
  readonly builtIn = allKinds();
  readonly #tools: DefinitionTools;
  readonly #storedBuiltIn = new Map<string, KindInfo>();
  readonly #defined = new Map<string, Defined>();
  readonly #listeners = new Set<DefinitionListener>();
  #custom = new Map<string, KindInfo>();
  #all: readonly KindInfo[] | undefined;

  constructor(tools: DefinitionTools = NO_DEFINITION_TOOLS) {
    this.#tools = tools;
    for (const kind of this.builtIn) {
      const id = resourceId(kind);
      if (!this.#storedBuiltIn.has(id)) this.#storedBuiltIn.set(id, kind);
    }
    const events = this.#storedBuiltIn.get('/events');
    if (events !== undefined) this.#storedBuiltIn.set('events.k8s.io/events', events);
  }

  /** All served kinds in discovery order. The same array until a kind comes, changes or goes. */
  all(): readonly KindInfo[] {
    this.#all ??= [...this.builtIn, ...[...this.#custom.values()].toSorted(byGroup)];
    return this.#all;
  }

  byResource(group: string, version: string, resource: string): KindInfo | undefined {
    return kindByResource(group, version, resource) ?? this.#custom.get(`${group}/${version}/${resource}`);
  }

  byGvk(apiVersion: string, kind: string): KindInfo | undefined {
    const builtIn = kindByGvk(apiVersion, kind);
    if (builtIn !== undefined) return builtIn;
    for (const info of this.#custom.values())
      if (info.kind === kind && `${info.group}/${info.version}` === apiVersion) return info;
    return undefined;
  }

  /** The row of today. Throws NotFound for a kind that is not served. */
  info(kind: KindRef): KindInfo {
    const found = this.byResource(kind.group, kind.version, kind.resource);
    if (found === undefined) throw pathNotFound();
    return found;
  }

  /** As it is stored; for custom kinds the storage version. */
  of(kind: ResourceRef): KindInfo | undefined {
    const id = resourceId(kind);
    return this.#storedBuiltIn.get(id) ?? this.#defined.get(definitionName(kind))?.kinds?.storage;
  }

  /** A custom kind as another version has it, served or not. */
  versionOf(kind: ResourceRef, apiVersion: string): KindInfo | undefined {
    const kinds = this.#defined.get(definitionName(kind))?.kinds;
    return kinds?.all.find((k) => `${k.group}/${k.version}` === apiVersion);
  }

  /** Of a custom kind. */
  definitionOf(kind: ResourceRef): Definition | undefined {
    return this.#defined.get(definitionName(kind))?.crd;
  }

  definitions(): Definition[] {
    return [...this.#defined.values()].map((d) => d.crd);
  }

  onChange(listener: DefinitionListener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** `crd` undefined: it is gone. */
  define(name: string, object: DeepReadonly<KubeObject> | undefined): void {
    const before = this.#defined.get(name);
    // The watch cache gives objects of that very resource.
    const crd = object as Definition | undefined;
    const known = crd ?? before?.crd;
    if (known === undefined) return;
    const next = crd === undefined ? undefined : this.#kindsOf(crd, before);
    if (crd === undefined) this.#defined.delete(name);
    else this.#defined.set(name, { crd, kinds: next });
    const isServedAnew = before?.kinds !== next;
    if (isServedAnew) this.#rebuild();
    const resource = { group: known.spec.group, resource: known.spec.names.plural };
    for (const listener of this.#listeners) listener(name, { isServedAnew, resource });
  }

  /** All definitions there are: those not named are gone. */
  reset(objects: Iterable<DeepReadonly<KubeObject>>): void {
    const gone = new Set(this.#defined.keys());
    for (const object of objects) {
      gone.delete(object.metadata.name);
      this.define(object.metadata.name, object);
    }
    for (const name of gone) this.define(name, undefined);
  }

  #kindsOf(crd: Definition, before: Defined | undefined): CustomKinds | undefined {
    if (!isConditionTrue(crd.status?.conditions, 'Established')) return undefined;
    // Its objects would lie where those of the built-in kind are.
    if (this.#storedBuiltIn.has(`${crd.spec.group}/${crd.spec.names.plural}`)) return undefined;
    const isSame =
      before?.kinds !== undefined &&
      isDeepStrictEqual(before.crd.spec, crd.spec) &&
      isDeepStrictEqual(before.crd.status?.acceptedNames, crd.status?.acceptedNames);
    return isSame ? before.kinds : customKindsOf(crd, this.#tools);
  }

  #rebuild(): void {
    this.#custom = new Map();
    for (const { kinds } of this.#defined.values())
      for (const kind of kinds?.served ?? []) this.#custom.set(`${kind.group}/${kind.version}/${kind.resource}`, kind);
    this.#all = undefined;
  }
}

export function isTerminating(crd: Definition | undefined): boolean {
  return crd?.metadata.deletionTimestamp !== undefined;
}

function resourceId(kind: ResourceRef): string {
  return `${kind.group}/${kind.resource}`;
}

function definitionName(kind: ResourceRef): string {
  return `${kind.resource}.${kind.group}`;
}

/** Stable: versions of a group keep their order of preference. */
function byGroup(a: KindInfo, b: KindInfo): number {
  return a.group < b.group ? -1 : Number(a.group > b.group);
}
