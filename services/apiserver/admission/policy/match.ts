/**
 * Whether a policy or a binding is about a request: rules, names, selectors, and the version of the object that it sees.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/matching/matching.go, plugin/webhook/predicates.
 */
import {
  type DeepReadonly,
  type KindInfo,
  Kinds,
  type KubeObject,
  kindInfo,
  type LabelSelector,
  matcherOf,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import { notFound } from '../../api-errors.ts';
import type { KindRegistry } from '../../kind-registry.ts';
import type { Storage } from '../../storage.ts';
import type { AdmissionRequest } from '../chain.ts';
import { Equivalents } from '../equivalents.ts';
import { isNamespace, namespaceOf, requestedOf } from '../request-fields.ts';
import { type Rule, ruleMatches } from '../rules.ts';

export interface MatchRule extends Rule {
  readonly resourceNames?: readonly string[] | undefined;
}

export interface Match {
  readonly namespaceSelector?: DeepReadonly<LabelSelector> | undefined;
  readonly objectSelector?: DeepReadonly<LabelSelector> | undefined;
  readonly resourceRules?: readonly MatchRule[] | undefined;
  readonly excludeResourceRules?: readonly MatchRule[] | undefined;
  readonly matchPolicy?: string | undefined;
}

export class Matcher {
  readonly #storage: Storage;
  readonly #equivalents: Equivalents;
  readonly #namespaces = kindInfo(Kinds.namespaces);

  constructor(o: { readonly storage: Storage; readonly kinds: KindRegistry }) {
    this.#storage = o.storage;
    this.#equivalents = new Equivalents(o.kinds);
  }

  /** The kind as which the object is seen; undefined: not matched. Throws what keeps a selector from being asked. */
  async matches(match: Match | undefined, request: AdmissionRequest, c: Ctx): Promise<KindInfo | undefined> {
    const requested = requestedOf(request);
    if (match === undefined) return requested;
    const { resourceRules: rules = [], excludeResourceRules: excluded = [], objectSelector } = match;
    if (!isSelected(objectSelector, request)) return undefined;
    if (excluded.length > 0 && this.#byRules(excluded, match, request) !== undefined) return undefined;
    const kind = rules.length === 0 ? requested : this.#byRules(rules, match, request);
    if (kind === undefined) return undefined;
    return (await this.#isInNamespace(match.namespaceSelector, request, c)) ? kind : undefined;
  }

  /** The namespace that the object is in; undefined for cluster-scoped ones, namespaces included. Throws NotFound. */
  async namespace(request: AdmissionRequest, c: Ctx): Promise<DeepReadonly<KubeObject> | undefined> {
    return isNamespace(request.kind) || request.namespace === '' ? undefined : await this.#get(request.namespace, c);
  }

  #byRules(rules: readonly MatchRule[], match: Match, request: AdmissionRequest): KindInfo | undefined {
    const requested = requestedOf(request);
    if (rules.some((rule) => isRuleFor(rule, request, requested))) return requested;
    if (match.matchPolicy === 'Exact') return undefined;
    const others = this.#equivalents.of(requested);
    for (const rule of rules) {
      const found = others.find((kind) => isRuleFor(rule, request, kind));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #isInNamespace(
    selector: DeepReadonly<LabelSelector> | undefined,
    request: AdmissionRequest,
    c: Ctx,
  ): Promise<boolean> {
    if (isEmpty(selector)) return true;
    const { operation, subresource, object } = request;
    const isItself = isNamespace(request.kind);
    if (request.namespace === '' && !isItself) return true;
    const isWritten = isItself && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE');
    const labels = isWritten ? object?.metadata.labels : (await this.#get(namespaceOf(request), c)).metadata.labels;
    return matcherOf(selector).matches(labels);
  }

  /** The cache may not know a young namespace yet: asked again of the store. */
  async #get(name: string, c: Ctx): Promise<DeepReadonly<KubeObject>> {
    const key = { namespace: '', name };
    const found =
      this.#storage.latest(this.#namespaces, key) ?? (await this.#storage.current(this.#namespaces, key, c));
    if (found === undefined) throw notFound(this.#namespaces, name);
    return found.object;
  }
}

function isRuleFor(rule: MatchRule, request: AdmissionRequest, { group, version, resource }: KindInfo): boolean {
  const names = rule.resourceNames ?? [];
  const { operation, subresource, name } = request;
  const isNamespaced = !isNamespace(request.kind) && request.namespace !== '';
  return (
    (names.length === 0 || names.includes(name)) &&
    ruleMatches(rule, { operation, group, version, resource, subresource, isNamespaced })
  );
}

/** The new or the old object: an update cannot take an object out of what its policy sees. */
function isSelected(selector: DeepReadonly<LabelSelector> | undefined, request: AdmissionRequest): boolean {
  if (isEmpty(selector)) return true;
  const { matches } = matcherOf(selector);
  // Options of a connection have no metadata, and so are never selected.
  const isMatch = (o: DeepReadonly<Partial<KubeObject>> | undefined): boolean =>
    o?.metadata !== undefined && matches(o.metadata.labels);
  return isMatch(request.object) || isMatch(request.previous);
}

function isEmpty(selector: DeepReadonly<LabelSelector> | undefined): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}
