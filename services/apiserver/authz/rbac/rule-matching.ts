/**
 * Whether one policy rule allows one request. Pure. Source: kubernetes pkg/apis/rbac/v1/evaluation_helpers.go,
 * plugin/pkg/auth/authorizer/rbac/rbac.go RuleAllows.
 */
import type { Attributes } from '../authorizer.ts';

/** rbac/v1 PolicyRule as stored: every list may be missing. */
export interface Rule {
  readonly verbs?: readonly string[] | undefined;
  readonly apiGroups?: readonly string[] | undefined;
  readonly resources?: readonly string[] | undefined;
  readonly resourceNames?: readonly string[] | undefined;
  readonly nonResourceURLs?: readonly string[] | undefined;
}

const ALL = '*';

export function ruleAllows(rule: Rule, a: Attributes): boolean {
  if (!hasOrAll(rule.verbs, a.verb)) return false;
  if (a.type === 'path') return (rule.nonResourceURLs ?? []).some((url) => pathMatches(url, a.path));
  return (
    hasOrAll(rule.apiGroups, a.group) &&
    resourceMatches(rule.resources ?? [], a.resource, a.subresource) &&
    nameMatches(rule.resourceNames ?? [], a.name)
  );
}

/** `/healthz/*` matches everything below; a star elsewhere is itself. */
export function pathMatches(pattern: string, path: string): boolean {
  if (pattern === ALL || pattern === path) return true;
  return pattern.endsWith(ALL) && path.startsWith(withoutStars(pattern));
}

/** All stars at the end go, as in Kubernetes. A loop, since a pattern of many stars must not be slow. */
export function withoutStars(text: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === ALL) end--;
  return text.slice(0, end);
}

/** A stored list may be null too. */
function hasOrAll(list: readonly string[] | undefined, value: string): boolean {
  const known = list ?? [];
  return known.includes(ALL) || known.includes(value);
}

/** `*`, `pods`, `pods/log`, or this subresource of every resource: `*` + `/scale`. `pods` does not mean `pods/log`. */
function resourceMatches(resources: readonly string[], resource: string, subresource: string): boolean {
  if (resources.includes(ALL)) return true;
  if (subresource === '') return resources.includes(resource);
  return resources.includes(`${resource}/${subresource}`) || resources.includes(`*/${subresource}`);
}

/** No names = every name. A request without a name (create, list) matches no rule that has names. */
function nameMatches(names: readonly string[], name: string): boolean {
  return names.length === 0 || names.includes(name);
}
