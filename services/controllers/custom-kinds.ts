/**
 * The kinds that established CustomResourceDefinitions serve, one version each, for controllers that deal with every kind there
 * is. Built-in kinds are constants (allKinds); these come and go, and their informers with them.
 */
import {
  type CustomResourceDefinition,
  customKindsOf,
  type DeepReadonly,
  isConditionTrue,
  type KindInfo,
  Kinds,
  kindByGvk,
  NO_DEFINITION_TOOLS,
} from '#lib/api';
import type { InformerFactory, Source } from '#lib/controller';

/** Called for every kind that is there or comes; what it gives is ended when the kind goes. */
export type UseKind = (kind: KindInfo) => Disposable;

interface Known {
  readonly kind: KindInfo;
  /** All versions that are served. */
  readonly served: readonly KindInfo[];
  readonly uses: Map<UseKind, Disposable>;
}

export class CustomKinds implements Disposable {
  readonly #informers: InformerFactory;
  readonly #known = new Map<string, Known>();
  readonly #users = new Set<UseKind>();
  readonly #subscription: Disposable;

  constructor(informers: InformerFactory) {
    this.#informers = informers;
    const definitions = informers.informer(Kinds.customresourcedefinitions);
    this.#subscription = definitions.subscribe((previous, next) => {
      const name = (next ?? previous)?.metadata.name ?? '';
      this.#change(name, next);
    });
  }

  async synced(signal: AbortSignal): Promise<void> {
    await this.#informers.informer(Kinds.customresourcedefinitions).synced(signal);
  }

  all(): readonly KindInfo[] {
    return [...this.#known.values()].map((k) => k.kind);
  }

  /** Built-in or custom, in any version that is served. */
  byGvk(apiVersion: string, kind: string): KindInfo | undefined {
    const builtIn = kindByGvk(apiVersion, kind);
    if (builtIn !== undefined) return builtIn;
    for (const { served } of this.#known.values())
      for (const k of served) if (k.kind === kind && `${k.group}/${k.version}` === apiVersion) return k;
    return undefined;
  }

  use(begin: UseKind): Disposable {
    this.#users.add(begin);
    for (const known of this.#known.values()) known.uses.set(begin, begin(known.kind));
    return {
      [Symbol.dispose]: () => {
        this.#users.delete(begin);
        for (const { uses } of this.#known.values()) {
          uses.get(begin)?.[Symbol.dispose]();
          uses.delete(begin);
        }
      },
    };
  }

  /** The changes of every custom kind as one source of keys. */
  source(of: (kind: KindInfo) => Source): Source {
    return {
      synced: (signal) => this.synced(signal),
      subscribe: (add) => this.use((kind) => of(kind).subscribe(add)),
    };
  }

  [Symbol.dispose](): void {
    this.#subscription[Symbol.dispose]();
    for (const name of [...this.#known.keys()]) this.#drop(name);
  }

  #change(name: string, crd: DeepReadonly<CustomResourceDefinition> | undefined): void {
    const isServed = crd !== undefined && isConditionTrue(crd.status?.conditions, 'Established');
    const served = isServed ? (customKindsOf(crd, NO_DEFINITION_TOOLS)?.served ?? []) : [];
    const [kind] = served;
    const before = this.#known.get(name);
    if (kind === undefined) {
      this.#drop(name);
      return;
    }
    if (before !== undefined && isSameKind(before.kind, kind)) {
      this.#known.set(name, { ...before, served });
      return;
    }
    this.#drop(name);
    const known: Known = { kind, served, uses: new Map() };
    this.#known.set(name, known);
    for (const begin of this.#users) known.uses.set(begin, begin(kind));
  }

  #drop(name: string): void {
    const known = this.#known.get(name);
    if (known === undefined) return;
    this.#known.delete(name);
    for (const use of known.uses.values()) use[Symbol.dispose]();
    this.#informers.drop(known.kind);
  }
}

function isSameKind(a: KindInfo, b: KindInfo): boolean {
  return a.version === b.version && a.kind === b.kind && a.resource === b.resource && a.namespaced === b.namespaced;
}
