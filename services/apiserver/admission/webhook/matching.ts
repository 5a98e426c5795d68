/**
 * Whether a webhook is to be called for a request, and in which version of the resource: selectors, rules (with `Equivalent`
 * also those of other versions that name the same objects), match conditions.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/generic/webhook.go ShouldCallHook, predicates/{namespace,object}.
 */
import { type DeepReadonly, type KindInfo, Kinds, type KubeObject, kindInfo } from '#lib/api';
import { type Ctx, isKind, toStatusError } from '#lib/base';
import { forbidden, notFound } from '../../api-errors.ts';
import type { Authorizer } from '../../authz/authorizer.ts';
import type { KindRegistry } from '../../kind-registry.ts';
import type { Storage } from '../../storage.ts';
import type { WebhookMetrics, WebhookType } from '../../webhooks/metrics.ts';
import { AuthorizationChecks } from './authorization.ts';
import { internalError } from './failures.ts';
import type { Hook } from './hooks.ts';
import type { RequestView } from './request-view.ts';
import { isNamespace, namespaceOf, requestFields } from './review.ts';
import { type RuleTarget, ruleMatches } from './rules.ts';

export interface Invocation {
  readonly hook: Hook;
  /** The row that the webhook's rule names: the version its objects are sent in. */
  readonly kind: KindInfo;
}

export interface MatchingDeps {
  readonly kinds: KindRegistry;
  readonly storage: Storage;
  readonly authorizer: Authorizer;
  readonly metrics: WebhookMetrics;
}

type Labels = Readonly<Record<string, string>>;

export class Matching {
  readonly #o: MatchingDeps;
  readonly #type: WebhookType;
  #known: { readonly of: readonly KindInfo[]; readonly byKind: Map<KindInfo, readonly KindInfo[]> };

  constructor(o: MatchingDeps, type: WebhookType) {
    this.#o = o;
    this.#type = type;
    this.#known = { of: o.kinds.all(), byKind: new Map() };
  }

  /** undefined: not called. Throws NotFound for a request of a namespace that is not there, Forbidden for failed conditions. */
  async invocationOf(hook: Hook, view: RequestView, c: Ctx): Promise<Invocation | undefined> {
    if (!isObjectSelected(hook, view)) return undefined;
    const kind = this.#ruledKind(hook, view);
    if (kind === undefined || !(await this.#isNamespaceSelected(hook, view, c))) return undefined;
    if (hook.conditions === undefined) return { hook, kind };
    return (await this.#meetsConditions(hook, kind, view, c)) ? { hook, kind } : undefined;
  }

  #ruledKind(hook: Hook, view: RequestView): KindInfo | undefined {
    const { requested } = view;
    if (matchesRules(hook, requested, view)) return requested;
    if (hook.spec.matchPolicy === 'Exact') return undefined;
    return this.#equivalents(requested).find((kind) => matchesRules(hook, kind, view));
  }

  /** Other rows whose objects are the same stored ones. Kept until a kind comes, changes or goes. */
  #equivalents(requested: KindInfo): readonly KindInfo[] {
    const { kinds } = this.#o;
    const all = kinds.all();
    if (this.#known.of !== all) this.#known = { of: all, byKind: new Map() };
    const known = this.#known.byKind.get(requested);
    if (known !== undefined) return known;
    const stored = kinds.of(requested);
    const found = all.filter((k) => k !== requested && stored !== undefined && kinds.of(k) === stored);
    this.#known.byKind.set(requested, found);
    return found;
  }

  async #isNamespaceSelected(hook: Hook, view: RequestView, c: Ctx): Promise<boolean> {
    const name = namespaceOf(view);
    if (hook.namespaces.isEmpty || name === '') return true;
    return hook.namespaces.matches(await this.#namespaceLabels(view, name, c));
  }

  /** A namespace that is created or changed is judged by what it is to be. */
  async #namespaceLabels(view: RequestView, name: string, c: Ctx): Promise<Labels | undefined> {
    const { kind, operation, subresource, object } = view.request;
    const isWritten = isNamespace(kind) && subresource === '' && (operation === 'CREATE' || operation === 'UPDATE');
    if (isWritten) return object?.metadata.labels;
    const namespaces = kindInfo(Kinds.namespaces);
    const key = { namespace: '', name };
    const { storage } = this.#o;
    const found = storage.latest(namespaces, key) ?? (await storage.current(namespaces, key, c));
    if (found === undefined) throw notFound(namespaces, name);
    return found.object.metadata.labels;
  }

  async #meetsConditions(hook: Hook, kind: KindInfo, view: RequestView, c: Ctx): Promise<boolean> {
    const { request, requested } = view;
    const { authorizer, metrics } = this.#o;
    const { group, resource } = requested;
    const { name, subresource, operation } = request;
    const outcome = await hook.conditions?.evaluate({
      object: await this.#convertedObject(kind, view, c),
      oldObject: await this.#convertedPrevious(kind, view, c),
      request: requestFields(view, kind),
      authorization: new AuthorizationChecks(authorizer, request.user),
      attributes: { group, resource, subresource, namespace: namespaceOf(view), name },
    });
    if (outcome === undefined || outcome.result === 'matches') return true;
    if (outcome.result === 'excluded') {
      metrics.conditionExcluded(hook.spec.name, this.#type, operation);
      return false;
    }
    metrics.conditionFailed(hook.spec.name, this.#type, operation);
    if (hook.ignoresFailures) return false;
    throw forbidden(requested, name, outcome.message);
  }

  async #convertedObject(kind: KindInfo, view: RequestView, c: Ctx): Promise<unknown> {
    return await orInternal(view.object(kind, c));
  }

  async #convertedPrevious(kind: KindInfo, view: RequestView, c: Ctx): Promise<unknown> {
    return await orInternal(view.previous(kind, c));
  }
}

/** A failed conversion is the server's fault, whatever it says. */
export async function orInternal<T>(converting: Promise<T>): Promise<T> {
  try {
    return await converting;
  } catch (e) {
    throw isKind(e, 'Cancelled') || isKind(e, 'Internal') ? e : internalError(toStatusError(e).message, e);
  }
}

function matchesRules(hook: Hook, kind: KindInfo, view: RequestView): boolean {
  const { operation, subresource } = view.request;
  const { group, version, resource } = kind;
  const target: RuleTarget = {
    operation,
    group,
    version,
    resource,
    subresource,
    isNamespaced: !isNamespace(kind) && view.request.namespace !== '',
  };
  return (hook.spec.rules ?? []).some((rule) => ruleMatches(rule, target));
}

/** By the labels of the new or of the old object. */
function isObjectSelected(hook: Hook, { request }: RequestView): boolean {
  if (hook.objects.isEmpty) return true;
  const labelled = (o: DeepReadonly<KubeObject> | KubeObject | undefined): boolean =>
    o?.metadata !== undefined && hook.objects.matches(o.metadata.labels);
  return labelled(request.object) || labelled(request.previous);
}
