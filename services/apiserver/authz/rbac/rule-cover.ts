/**
 * Whether some rules grant everything that others grant, and what is missing: the arithmetic of escalation checks and of
 * reconciling default roles. Pure.
 *
 * Rules are broken into single grants (one verb, group, resource, name), since two owner rules may cover one rule only
 * together. Their number is the product of a rule's lists, which a user chooses: it is bounded.
 * Source: k8s.io/component-helpers/auth/rbac/validation/policy_comparator.go, pkg/registry/rbac/validation/policy_compact.go.
 */
import { goQuote } from '#lib/api';
import { type Rule, withoutStars } from './rule-matching.ts';

/** Above this a check is refused. The largest default role breaks into some 1,500. */
export const GRANTS_MAX = 50_000;

/** One verb of one resource (and name) of one group, or one verb of one path. */
export interface Grant {
  readonly verb: string;
  readonly group?: string | undefined;
  readonly resource?: string | undefined;
  readonly name?: string | undefined;
  readonly path?: string | undefined;
}

export interface Cover {
  readonly isCovered: boolean;
  readonly missing: readonly Rule[];
  /** The rules are too many grants to compare: then nothing is said to be covered. */
  readonly isTooLarge: boolean;
}

export function covers(owner: readonly Rule[], wanted: readonly Rule[]): Cover {
  const known = owner.map(ownerRuleOf);
  const missing: Rule[] = [];
  let left = GRANTS_MAX;
  for (const rule of wanted) {
    left -= grantCount(rule);
    if (left < 0) return { isCovered: false, missing: [], isTooLarge: true };
    for (const grant of grantsOf(rule)) if (!known.some((o) => ruleCovers(o, grant))) missing.push(ruleOf(grant));
  }
  return { isCovered: missing.length === 0, missing, isTooLarge: false };
}

/** Verbs of one resource (and name) become one rule again, for people to read. */
export function compactRules(rules: readonly Rule[]): Rule[] {
  const simple = new Map<string, string[]>();
  const out: Rule[] = [];
  for (const rule of rules) {
    const { apiGroups = [], resources = [], resourceNames = [], nonResourceURLs = [], verbs = [] } = rule;
    const isSimple =
      apiGroups.length === 1 && resources.length === 1 && resourceNames.length <= 1 && nonResourceURLs.length === 0;
    if (!isSimple) {
      out.push(rule);
      continue;
    }
    const id = JSON.stringify([apiGroups, resources, resourceNames]);
    const known = simple.get(id);
    if (known !== undefined) {
      known.push(...verbs);
      continue;
    }
    const all = [...verbs];
    simple.set(id, all);
    out.push({ ...rule, verbs: all });
  }
  return out;
}

/** `{APIGroups:["apps"], Resources:["deployments"], Verbs:["get"]}`. Source: pkg/apis/rbac/v1/helpers.go CompactString. */
export function ruleText(rule: Rule): string {
  const part = (label: string, list: readonly string[] | undefined): string[] =>
    (list ?? []).length === 0 ? [] : [`${label}:[${(list ?? []).map(goQuote).join(' ')}]`];
  const parts = [
    ...part('APIGroups', rule.apiGroups),
    ...part('Resources', rule.resources),
    ...part('NonResourceURLs', rule.nonResourceURLs),
    ...part('ResourceNames', rule.resourceNames),
    ...part('Verbs', rule.verbs),
  ];
  return `{${parts.join(', ')}}`;
}

interface OwnerRule {
  readonly verbs: ReadonlySet<string>;
  readonly groups: ReadonlySet<string>;
  readonly resources: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
  readonly paths: readonly string[];
}

function ownerRuleOf(rule: Rule): OwnerRule {
  return {
    verbs: new Set(rule.verbs),
    groups: new Set(rule.apiGroups),
    resources: new Set(rule.resources),
    names: new Set(rule.resourceNames),
    paths: rule.nonResourceURLs ?? [],
  };
}

function ruleCovers(owner: OwnerRule, grant: Grant): boolean {
  if (!owner.verbs.has('*') && !owner.verbs.has(grant.verb)) return false;
  if (grant.path !== undefined) return pathCovered(owner.paths, grant.path);
  if (grant.group === undefined || grant.resource === undefined) return false;
  if (!owner.groups.has('*') && !owner.groups.has(grant.group)) return false;
  if (!resourceCovered(owner.resources, grant.resource)) return false;
  return owner.names.size === 0 || (grant.name !== undefined && owner.names.has(grant.name));
}

function resourceCovered(owner: ReadonlySet<string>, resource: string): boolean {
  if (owner.has('*') || owner.has(resource)) return true;
  const slash = resource.indexOf('/');
  return slash >= 0 && owner.has(`*${resource.slice(slash)}`);
}

function pathCovered(owner: readonly string[], path: string): boolean {
  return owner.some((o) => o === path || (o.endsWith('*') && path.startsWith(withoutStars(o))));
}

/** How many `grantsOf` gives, without making them. */
function grantCount(rule: Rule): number {
  const verbs = rule.verbs?.length ?? 0;
  const names = Math.max(1, rule.resourceNames?.length ?? 0);
  const resources = (rule.apiGroups?.length ?? 0) * (rule.resources?.length ?? 0) * names;
  return verbs * (resources + (rule.nonResourceURLs?.length ?? 0));
}

function* grantsOf(rule: Rule): Iterable<Grant> {
  const names: readonly (string | undefined)[] =
    rule.resourceNames === undefined || rule.resourceNames.length === 0 ? [undefined] : rule.resourceNames;
  for (const group of rule.apiGroups ?? [])
    for (const resource of rule.resources ?? [])
      for (const verb of rule.verbs ?? []) for (const name of names) yield { verb, group, resource, name };
  for (const path of rule.nonResourceURLs ?? []) for (const verb of rule.verbs ?? []) yield { verb, path };
}

function ruleOf(grant: Grant): Rule {
  if (grant.path !== undefined) return { verbs: [grant.verb], nonResourceURLs: [grant.path] };
  return {
    verbs: [grant.verb],
    apiGroups: [grant.group ?? ''],
    resources: [grant.resource ?? ''],
    ...(grant.name === undefined ? {} : { resourceNames: [grant.name] }),
  };
}
