/**
 * The objects that a binding's paramRef names, in the version of the policy's paramKind.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go CollectParams.
 */
import { type DeepReadonly, type KindInfo, type KubeObject, type LabelSelector, matcherOf } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Cached } from '../../cache/cached.ts';
import type { KindRegistry } from '../../kind-registry.ts';
import type { Storage } from '../../storage.ts';
import type { Versions } from './versions.ts';

/** Why a policy cannot be used as it is: its failurePolicy decides what that means. */
export class ConfigurationError extends Error {}

export interface ParamKind {
  readonly apiVersion?: string | undefined;
  readonly kind?: string | undefined;
}

export interface ParamRef {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
  readonly selector?: DeepReadonly<LabelSelector> | undefined;
  readonly parameterNotFoundAction?: string | undefined;
}

/** undefined: evaluated once, with `params` null. */
export type Param = DeepReadonly<KubeObject> | undefined;

export class Params {
  readonly #storage: Storage;
  readonly #kinds: KindRegistry;
  readonly #versions: Versions;

  constructor(o: { readonly storage: Storage; readonly kinds: KindRegistry; readonly versions: Versions }) {
    this.#storage = o.storage;
    this.#kinds = o.kinds;
    this.#versions = o.versions;
  }

  /** Throws ConfigurationError for a kind that is not served (now). */
  kindOf({ apiVersion = '', kind = '' }: ParamKind): KindInfo {
    const found = this.#kinds.byGvk(apiVersion, kind);
    if (found?.verbs.includes('list') === true) return found;
    const slash = apiVersion.indexOf('/');
    const [group, version] = slash < 0 ? ['', apiVersion] : [apiVersion.slice(0, slash), apiVersion.slice(slash + 1)];
    throw new ConfigurationError(
      `failed to find resource referenced by paramKind: '${group}/${version}, Kind=${kind}'`,
    );
  }

  /** `namespace` is that of the request. Throws ConfigurationError. */
  async collect(kind: KindInfo | undefined, ref: ParamRef | undefined, namespace: string, c: Ctx): Promise<Param[]> {
    if (kind === undefined || ref === undefined) return [undefined];
    const found = await this.#versions.readAll(kind, this.#find(kind, ref, namespace), c);
    if (found.length === 0 && ref.parameterNotFoundAction === 'Deny')
      throw new ConfigurationError('no params found for policy binding with `Deny` parameterNotFoundAction');
    return found;
  }

  #find(kind: KindInfo, ref: ParamRef, requestNamespace: string): Cached[] {
    const namespace = kind.namespaced ? ref.namespace || requestNamespace : '';
    if (kind.namespaced && namespace === '')
      throw new ConfigurationError(
        'cannot use namespaced paramRef in policy binding that matches cluster-scoped resources',
      );
    if (!kind.namespaced && ref.namespace)
      throw new ConfigurationError('paramRef.namespace must not be provided for a cluster-scoped `paramKind`');
    const stored = this.#kinds.of(kind) ?? kind;
    if (ref.name) {
      const found = this.#storage.latest(stored, { namespace, name: ref.name });
      return found === undefined ? [] : [found];
    }
    if (ref.selector === undefined) throw new ConfigurationError('one of name or selector must be provided');
    const { matches } = matcherOf(ref.selector);
    return [...this.#storage.cache.of(stored).items(namespace)].filter((o) => matches(o.object.metadata.labels));
  }
}
