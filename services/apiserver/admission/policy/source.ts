/**
 * The policies that there are with their bindings, straight from the watch cache: nothing is followed and nothing is computed
 * where none is. A policy is compiled when it is first asked for, once per generation.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_source.go.
 */
import type { DeepReadonly, KindRef, KubeObject } from '#lib/api';
import type { Revision } from '#lib/store';
import type { ResourceCache } from '../../cache/resource-cache.ts';
import type { WatchCache } from '../../cache/watch-cache.ts';

interface BindingObject extends KubeObject {
  spec?: { policyName?: string | undefined } | undefined;
}

export interface Hook<P, B, C> {
  readonly policy: DeepReadonly<P>;
  readonly bindings: readonly DeepReadonly<B>[];
  compiled(): C;
}

type State = readonly [ResourceCache, Revision, ResourceCache, Revision];

interface Known<C> {
  readonly uid: string | undefined;
  readonly generation: number | undefined;
  readonly compiled: C;
}

export interface SourceOptions<P extends KubeObject, B extends BindingObject, C> {
  readonly cache: WatchCache;
  readonly policies: KindRef<P>;
  readonly bindings: KindRef<B>;
  readonly compile: (policy: DeepReadonly<P>) => C;
}

export class PolicySource<P extends KubeObject, B extends BindingObject, C> {
  /** Asked for its resources each time: it makes new ones when it is filled anew. */
  readonly #cache: WatchCache;
  readonly #kinds: readonly [KindRef<P>, KindRef<B>];
  readonly #compile: (policy: DeepReadonly<P>) => C;
  readonly #compiled = new Map<string, Known<C>>();
  #hooks: { readonly of: State; readonly list: readonly Hook<P, B, C>[] } | undefined;

  constructor(o: SourceOptions<P, B, C>) {
    this.#cache = o.cache;
    this.#kinds = [o.policies, o.bindings];
    this.#compile = o.compile;
  }

  /** Policies that have a binding, by name. */
  hooks(): readonly Hook<P, B, C>[] {
    const [policies, bindings] = [this.#cache.of(this.#kinds[0]), this.#cache.of(this.#kinds[1])];
    if (policies.size === 0 || bindings.size === 0) return [];
    const of: State = [policies, policies.changedRevision, bindings, bindings.changedRevision];
    const known = this.#hooks;
    if (known?.of.every((part, i) => part === of[i]) === true) return known.list;
    const list = this.#build(policies, bindings);
    this.#hooks = { of, list };
    return list;
  }

  #build(policies: ResourceCache, bindings: ResourceCache): Hook<P, B, C>[] {
    const byPolicy = new Map<string, DeepReadonly<B>[]>();
    for (const { object } of bindings.items('')) {
      // The cache gives objects of that very resource.
      const binding = object as DeepReadonly<B>;
      const name = policyNameOf(binding);
      const list = byPolicy.get(name);
      if (list === undefined) byPolicy.set(name, [binding]);
      else list.push(binding);
    }
    const hooks: Hook<P, B, C>[] = [];
    const names = new Set<string>();
    for (const { name, object } of policies.items('')) {
      names.add(name);
      const policy = object as DeepReadonly<P>;
      const own = byPolicy.get(name);
      if (own !== undefined) hooks.push({ policy, bindings: own, compiled: () => this.#of(policy, object) });
    }
    for (const name of this.#compiled.keys()) if (!names.has(name)) this.#compiled.delete(name);
    return hooks;
  }

  #of(policy: DeepReadonly<P>, { metadata }: DeepReadonly<KubeObject>): C {
    const { name, uid, generation } = metadata;
    const known = this.#compiled.get(name);
    if (known !== undefined && known.uid === uid && known.generation === generation) return known.compiled;
    const compiled = this.#compile(policy);
    this.#compiled.set(name, { uid, generation, compiled });
    return compiled;
  }
}

function policyNameOf(binding: DeepReadonly<BindingObject>): string {
  return binding.spec?.policyName ?? '';
}
