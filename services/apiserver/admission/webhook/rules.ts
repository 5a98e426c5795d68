/** Whether a rule is for a request. Source: k8s.io/apiserver/pkg/admission/plugin/webhook/predicates/rules/rules.go. */
import type { DeepReadonly, RuleWithOperations } from '#lib/api';

export type Rule = DeepReadonly<RuleWithOperations>;

export interface RuleTarget {
  readonly operation: string;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  /** '' = the object itself. */
  readonly subresource: string;
  /** Of the object; a namespace counts as one of the cluster. */
  readonly isNamespaced: boolean;
}

export function ruleMatches(rule: Rule, t: RuleTarget): boolean {
  return (
    includes(rule.operations, t.operation) &&
    includes(rule.apiGroups, t.group) &&
    includes(rule.apiVersions, t.version) &&
    isInScope(rule.scope, t.isNamespaced) &&
    (rule.resources ?? []).some((text) => resourceMatches(text, t))
  );
}

function includes(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes('*') || list.includes(value));
}

function isInScope(scope: string | undefined, isNamespaced: boolean): boolean {
  if (scope === undefined || scope === '*') return true;
  return scope === (isNamespaced ? 'Namespaced' : 'Cluster');
}

/** `pods` and `*` are objects only; `pods/*` and `*` + `/*` objects and subresources. */
function resourceMatches(text: string, { resource, subresource }: RuleTarget): boolean {
  const slash = text.indexOf('/');
  const wanted = slash < 0 ? text : text.slice(0, slash);
  const wantedSub = slash < 0 ? '' : text.slice(slash + 1);
  if (wanted !== '*' && wanted !== resource) return false;
  return wantedSub === '*' || wantedSub === subresource;
}

const GROUP = 'admissionregistration.k8s.io';
const EXEMPT = new Set([
  'mutatingadmissionpolicies',
  'mutatingadmissionpolicybindings',
  'mutatingwebhookconfigurations',
  'validatingadmissionpolicies',
  'validatingadmissionpolicybindings',
  'validatingwebhookconfigurations',
]);

/** What configures admission is never refused by it: a bad webhook must be removable. */
export function isExempt(t: { readonly group: string; readonly resource: string }): boolean {
  return t.group === GROUP && EXEMPT.has(t.resource);
}
