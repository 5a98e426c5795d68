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

export interface MatchRule {
  readonly operations?: readonly string[] | undefined;
  readonly apiGroups?: readonly string[] | undefined;
  readonly apiVersions?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly scope?: string | undefined;
  readonly resourceNames?: readonly string[] | undefined;
}

export interface Match {
  readonly namespaceSelector?: DeepReadonly<LabelSelector> | undefined;
  readonly objectSelector?: DeepReadonly<LabelSelector> | undefined;
  readonly resourceRules?: readonly MatchRule[] | undefined;
  readonly excludeResourceRules?: readonly MatchRule[] | undefined;
  readonly matchPolicy?: string | undefined;
}

const EXEMPT = new Set([
  'validatingwebhookconfigurations',
  'mutatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
]);

/** What decides about admission is not decided about by admission: a bad policy can always be taken away. */
export function isExempt({ kind }: AdmissionRequest): boolean {
  return kind.group === 'admissionregistration.k8s.io' && EXEMPT.has(kind.resource);
}

/** A namespace is an object inside itself. */
export function namespaceOf({ kind, namespace, name, object }: AdmissionRequest): string {
  return isNamespaces(kind) ? name || (object?.metadata.name ?? '') : namespace;
}

export class Matcher {
  readonly #storage: Storage;
  readonly #kinds: KindRegistry;
  readonly #namespaces = kindInfo(Kinds.namespaces);

  constructor(o: { readonly storage: Storage; readonly kinds: KindRegistry }) {
    this.#storage = o.storage;
    this.#kinds = o.kinds;
  }

  /** The kind as which the object is seen; undefined: not matched. Throws what keeps a selector from being asked. */
  async matches(match: Match | undefined, request: AdmissionRequest, c: Ctx): Promise<KindInfo | undefined> {
    if (match === undefined) return request.kind;
    const { resourceRules: rules = [], excludeResourceRules: excluded = [], objectSelector } = match;
    if (!isSelected(objectSelector, request)) return undefined;
    if (excluded.length > 0 && this.#byRules(excluded, match, request) !== undefined) return undefined;
    const kind = rules.length === 0 ? request.kind : this.#byRules(rules, match, request);
    if (kind === undefined) return undefined;
    return (await this.#isInNamespace(match.namespaceSelector, request, c)) ? kind : undefined;
  }

  /** The namespace that the object is in; undefined for cluster-scoped ones, namespaces included. Throws NotFound. */
  async namespace(request: AdmissionRequest, c: Ctx): Promise<DeepReadonly<KubeObject> | undefined> {
    return isNamespaces(request.kind) || request.namespace === '' ? undefined : await this.#get(request.namespace, c);
  }

  #byRules(rules: readonly MatchRule[], match: Match, request: AdmissionRequest): KindInfo | undefined {
    if (rules.some((rule) => isRuleFor(rule, request, request.kind))) return request.kind;
    if (match.matchPolicy === 'Exact') return undefined;
    const others = this.#equivalents(request.kind);
    for (const rule of rules) {
      const found = others.find((kind) => isRuleFor(rule, request, kind));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** Other versions of the same objects. */
  #equivalents(kind: KindInfo): KindInfo[] {
    const stored = this.#kinds.of(kind);
    return this.#kinds
      .all()
      .filter(
        (k) => k.resource === kind.resource && k !== kind && this.#kinds.of(k) === stored && stored !== undefined,
      );
  }

  async #isInNamespace(
    selector: DeepReadonly<LabelSelector> | undefined,
    request: AdmissionRequest,
    c: Ctx,
  ): Promise<boolean> {
    if (isEmpty(selector)) return true;
    const { operation, subresource, object } = request;
    const isItself = isNamespaces(request.kind);
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

function isRuleFor(rule: MatchRule, request: AdmissionRequest, kind: KindInfo): boolean {
  const names = rule.resourceNames ?? [];
  return (
    isScope(rule.scope, request) &&
    hasOrAny(rule.operations, request.operation) &&
    hasOrAny(rule.apiGroups, kind.group) &&
    hasOrAny(rule.apiVersions, kind.version) &&
    (rule.resources ?? []).some((text) => isResource(text, kind.resource, request.subresource)) &&
    (names.length === 0 || names.includes(request.name))
  );
}

function isScope(scope: string | undefined, request: AdmissionRequest): boolean {
  const isCluster = isNamespaces(request.kind) || request.namespace === '';
  if (scope === 'Namespaced') return !isCluster;
  if (scope === 'Cluster') return isCluster;
  return true;
}

function hasOrAny(list: readonly string[] | undefined, wanted: string): boolean {
  return list?.some((item) => item === '*' || item === wanted) === true;
}

function isResource(text: string, resource: string, subresource: string): boolean {
  const slash = text.indexOf('/');
  const [name, sub] = slash < 0 ? [text, ''] : [text.slice(0, slash), text.slice(slash + 1)];
  return (name === '*' || name === resource) && (sub === '*' || sub === subresource);
}

/** The new or the old object: an update cannot take an object out of what its policy sees. */
function isSelected(selector: DeepReadonly<LabelSelector> | undefined, request: AdmissionRequest): boolean {
  if (isEmpty(selector)) return true;
  const { matches } = matcherOf(selector);
  const { object, previous } = request;
  return (
    (object !== undefined && matches(object.metadata.labels)) ||
    (previous !== undefined && matches(previous.metadata.labels))
  );
}

function isEmpty(selector: DeepReadonly<LabelSelector> | undefined): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {};
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}

function isNamespaces({ group, resource }: KindInfo): boolean {
  return group === '' && resource === 'namespaces';
}
