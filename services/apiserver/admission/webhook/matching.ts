/**
 * Whether a webhook is to be called for a request, and in which version of the resource: selectors, rules (with `Equivalent`
 * also those of other versions that name the same objects), match conditions.
 * Source: k8s.io/apiserver/pkg/admission/plugin/webhook/generic/webhook.go ShouldCallHook, predicates/{namespace,object}.
 */
import { type DeepReadonly, type KindInfo, Kinds, type KubeObject, kindInfo } from '#lib/api';
import { type Ctx, isKind, toStatusError } from '#lib/base';
import { forbidden, notFound } from '../../api-errors.ts';
import type { InstantAuthorizer } from '../../authz/authorizer.ts';
import type { KindRegistry } from '../../kind-registry.ts';
import type { Storage } from '../../storage.ts';
import type { WebhookMetrics, WebhookType } from '../../webhooks/metrics.ts';
import { Equivalents } from '../equivalents.ts';
import { authorizationOf, bindingsOf } from '../policy/bindings.ts';
import { evaluateConditions } from '../policy/match-conditions.ts';
import type { Turn } from '../policy/turns.ts';
import { isNamespace, namespaceOf } from '../request-fields.ts';
import { type Rule, type RuleTarget, ruleMatches } from '../rules.ts';
import { internalError } from './failures.ts';
import type { Hook } from './hooks.ts';
import type { RequestView } from './request-view.ts';

export interface Invocation {
  readonly hook: Hook;
  /** The row that the webhook's rule names: the version its objects are sent in. */
  readonly kind: KindInfo;
}

export interface MatchingDeps {
  readonly kinds: KindRegistry;
  readonly storage: Storage;
  readonly authorizer: InstantAuthorizer;
  readonly metrics: WebhookMetrics;
}

type Labels = Readonly<Record<string, string>>;

export class Matching {
  readonly #o: MatchingDeps;
  readonly #type: WebhookType;
  readonly #equivalents: Equivalents;

  constructor(o: MatchingDeps, type: WebhookType) {
    this.#o = o;
    this.#type = type;
    this.#equivalents = new Equivalents(o.kinds);
  }

  /** undefined: not called. Throws NotFound for a request of a namespace that is not there, Forbidden for failed conditions. */
  async invocationOf(hook: Hook, view: RequestView, turn: Turn, c: Ctx): Promise<Invocation | undefined> {
    if (!isObjectSelected(hook, view)) return undefined;
    const kind = this.#ruledKind(hook, view);
    if (kind === undefined || !(await this.#isNamespaceSelected(hook, view, c))) return undefined;
    if (hook.conditions.length === 0) return { hook, kind };
    return (await this.#meetsConditions({ hook, kind }, view, turn, c)) ? { hook, kind } : undefined;
  }

  #ruledKind(hook: Hook, view: RequestView): KindInfo | undefined {
    const { requested } = view;
    const { rules = [], matchPolicy } = hook.spec;
    if (rules.some((rule) => matchesRule(rule, requested, view))) return requested;
    if (matchPolicy === 'Exact') return undefined;
    // The earliest rule decides, where they name several versions.
    for (const rule of rules) {
      const found = this.#equivalents.of(requested).find((kind) => matchesRule(rule, kind, view));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  async #isNamespaceSelected(hook: Hook, view: RequestView, c: Ctx): Promise<boolean> {
    const name = namespaceOf(view.request);
    if (hook.namespaces.isEmpty || (name === '' && !isNamespace(view.request.kind))) return true;
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

  async #meetsConditions({ hook, kind }: Invocation, view: RequestView, turn: Turn, c: Ctx): Promise<boolean> {
    const { request, requested } = view;
    const { authorizer, metrics } = this.#o;
    const object = await orInternal(view.object(kind, c));
    const previous = await orInternal(view.previous(kind, c));
    const facts = { request, kind, object, previous, namespace: undefined };
    const bindings = bindingsOf(facts, authorizationOf(request, authorizer));
    const outcome = await evaluateConditions(hook.conditions, {
      bindings,
      variables: new Map(),
      ignoresFailure: false,
      turn,
    });
    if (!('error' in outcome)) {
      if (!outcome.isMatch) metrics.conditionExcluded(hook.spec.name, this.#type, request.operation);
      return outcome.isMatch;
    }
    metrics.conditionFailed(hook.spec.name, this.#type, request.operation);
    if (hook.ignoresFailures) return false;
    throw forbidden(requested, request.name, outcome.error);
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

function matchesRule(rule: Rule, kind: KindInfo, view: RequestView): boolean {
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
  return ruleMatches(rule, target);
}

/** By the labels of the new or of the old object. */
function isObjectSelected(hook: Hook, { request }: RequestView): boolean {
  if (hook.objects.isEmpty) return true;
  const labelled = (o: DeepReadonly<KubeObject> | KubeObject | undefined): boolean =>
    o?.metadata !== undefined && hook.objects.matches(o.metadata.labels);
  return labelled(request.object) || labelled(request.previous);
}
