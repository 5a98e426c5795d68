/** The rules of an aggregating ClusterRole. Pure. Source: pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go. */
import { type ClusterRole, type DeepReadonly, matcherOf, type PolicyRule } from '#lib/api';

/** The union over its selectors of the rules of matching roles, in the order of their names, each rule once. */
export function aggregatedRules(
  role: DeepReadonly<ClusterRole>,
  all: readonly DeepReadonly<ClusterRole>[],
): readonly DeepReadonly<PolicyRule>[] {
  const rules = new Map<string, DeepReadonly<PolicyRule>>();
  const others = all.filter((r) => r.metadata.name !== role.metadata.name);
  others.sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  for (const selector of role.aggregationRule?.clusterRoleSelectors ?? []) {
    const matcher = matcherOf(selector);
    for (const other of others) {
      if (!matcher.matches(other.metadata.labels ?? {})) continue;
      for (const rule of other.rules ?? []) rules.set(idOf(rule), rules.get(idOf(rule)) ?? rule);
    }
  }
  return [...rules.values()];
}

export function hasSameRules(
  a: readonly DeepReadonly<PolicyRule>[] | undefined,
  b: readonly DeepReadonly<PolicyRule>[],
): boolean {
  return (a ?? []).length === b.length && b.every((rule, i) => idOf(rule) === idOf((a ?? [])[i]));
}

/** A list that is absent and one that is empty mean the same. */
function idOf(rule: DeepReadonly<PolicyRule> | undefined): string {
  const { verbs, apiGroups, resources, resourceNames, nonResourceURLs } = rule ?? {};
  return JSON.stringify([verbs ?? [], apiGroups ?? [], resources ?? [], resourceNames ?? [], nonResourceURLs ?? []]);
}
