/**
 * Role based access control over the watch cache's roles and bindings. There is no deny: a user may do what one of the
 * rules of one of the roles bound to it allows. Bindings of the cluster count everywhere, those of a namespace inside it.
 * Source: kubernetes plugin/pkg/auth/authorizer/rbac/rbac.go, pkg/registry/rbac/validation/rule.go.
 */
import {
  type ClusterRole,
  type DeepReadonly,
  goQuote,
  type KindInfo,
  Kinds,
  kindInfo,
  type Role,
  type RoleRef,
} from '#lib/api';
import type { UserInfo } from '#lib/client';
import type { WatchCache } from '../../cache/watch-cache.ts';
import type { Attributes, Authorizer, Decision, ResolvedRules } from '../authorizer.ts';
import { BindingIndex, type BoundSubject } from './binding-index.ts';
import { type Rule, ruleAllows } from './rule-matching.ts';

export class RbacAuthorizer implements Authorizer {
  readonly #cache: WatchCache;
  readonly #index: BindingIndex;
  readonly #clusterRoles: KindInfo = kindInfo(Kinds.clusterroles);
  readonly #roles: KindInfo = kindInfo(Kinds.roles);

  constructor(cache: WatchCache) {
    this.#cache = cache;
    this.#index = new BindingIndex(cache);
  }

  authorize(a: Attributes): Decision {
    const errors = new Set<string>();
    for (const bound of this.#index.of(a.user, namespaceOf(a))) {
      const { roleRef } = bound.binding;
      const rules = this.#rulesOf(roleRef, bound.namespace);
      if (rules === undefined) errors.add(missingRole(roleRef));
      else if (rules.some((rule) => ruleAllows(rule, a)))
        return { isAllowed: true, reason: `RBAC: allowed by ${bindingText(bound)}` };
    }
    return { isAllowed: false, reason: errors.size === 0 ? '' : `RBAC: ${aggregateText([...errors])}` };
  }

  rulesFor(user: UserInfo, namespace: string): ResolvedRules {
    const rules: Rule[] = [];
    const errors = new Set<string>();
    for (const { binding, namespace: at } of this.#index.of(user, namespace)) {
      const found = this.#rulesOf(binding.roleRef, at);
      if (found === undefined) errors.add(missingRole(binding.roleRef));
      else rules.push(...found);
    }
    return { rules, isIncomplete: false, errors: [...errors] };
  }

  /** undefined when the role does not exist. */
  #rulesOf(roleRef: DeepReadonly<RoleRef>, namespace: string): readonly Rule[] | undefined {
    const isCluster = roleRef.kind === 'ClusterRole';
    const resource = this.#cache.of(isCluster ? this.#clusterRoles : this.#roles);
    const found = resource.get(isCluster ? '' : namespace, roleRef.name);
    if (found === undefined) return undefined;
    return (found.object as DeepReadonly<Role | ClusterRole>).rules ?? [];
  }
}

function namespaceOf(a: Attributes): string {
  return a.type === 'path' ? '' : a.namespace;
}

/** `ClusterRoleBinding "b" of ClusterRole "r" to User "u"`; of a namespaced binding the name comes before the namespace. */
function bindingText({ binding, namespace, subject }: BoundSubject): string {
  const name = binding.metadata.name;
  const { kind, name: role } = binding.roleRef;
  const head =
    namespace === '' ? `ClusterRoleBinding ${goQuote(name)}` : `RoleBinding ${goQuote(`${name}/${namespace}`)}`;
  const who = subject.kind === 'ServiceAccount' ? `${subject.name}/${subject.namespace || namespace}` : subject.name;
  return `${head} of ${kind} ${goQuote(role)} to ${subject.kind} ${goQuote(who)}`;
}

function missingRole({ kind, name }: DeepReadonly<RoleRef>): string {
  if (kind !== 'ClusterRole' && kind !== 'Role') return `unsupported role reference kind: ${goQuote(kind)}`;
  return `${kind.toLowerCase()}.rbac.authorization.k8s.io ${goQuote(name)} not found`;
}

/** One as it is, several as `[a, b]`. Source: apimachinery/pkg/util/errors Aggregate. */
export function aggregateText(errors: readonly string[]): string {
  return errors.length === 1 ? (errors[0] ?? '') : `[${errors.join(', ')}]`;
}
