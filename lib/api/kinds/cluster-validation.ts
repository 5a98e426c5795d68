/** Roles and bindings. Source: pkg/apis/rbac/validation/validation.go. */
import { type FieldError, invalid, notSupported, required } from '../field-error.ts';
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '../gen/types/rbac-v1.ts';
import { Errors, eachItem, isGiven } from '../validation/field-path.ts';
import { validateLabelSelector } from '../validation/metadata.ts';
import { dns1123Subdomain, pathSegmentName } from '../validation/names.ts';

const RBAC_GROUP = 'rbac.authorization.k8s.io';

export function validateRole(role: Role | ClusterRole): FieldError[] {
  const errors = new Errors();
  eachItem(role.rules, 'rules', (rule, at) => {
    if ((rule.verbs?.length ?? 0) === 0) errors.add(required(`${at}.verbs`, 'verbs must contain at least one value'));
    if ((rule.nonResourceURLs?.length ?? 0) > 0) {
      if (role.kind === 'Role')
        errors.add(
          invalid(`${at}.nonResourceURLs`, rule.nonResourceURLs, 'namespaced rules cannot apply to non-resource URLs'),
        );
      const isMixed = [rule.apiGroups, rule.resources, rule.resourceNames].some((l) => (l?.length ?? 0) > 0);
      if (isMixed)
        errors.add(
          invalid(
            `${at}.nonResourceURLs`,
            rule.nonResourceURLs,
            'rules cannot apply to both regular resources and non-resource URLs',
          ),
        );
      return;
    }
    if ((rule.apiGroups?.length ?? 0) === 0)
      errors.add(required(`${at}.apiGroups`, 'resource rules must supply at least one api group'));
    if ((rule.resources?.length ?? 0) === 0)
      errors.add(required(`${at}.resources`, 'resource rules must supply at least one resource'));
  });
  if (!('aggregationRule' in role) || !isGiven(role.aggregationRule)) return errors.list;
  const path = 'aggregationRule.clusterRoleSelectors';
  const selectors = role.aggregationRule.clusterRoleSelectors ?? [];
  if (selectors.length === 0)
    errors.add(required(path, 'at least one clusterRoleSelector required if aggregationRule is non-nil'));
  eachItem(selectors, path, (s, at) => errors.add(...validateLabelSelector(s, at)));
  return errors.list;
}

export function validateRoleBinding(binding: RoleBinding | ClusterRoleBinding): FieldError[] {
  const errors = new Errors();
  const { apiGroup, kind, name } = binding.roleRef;
  if (apiGroup !== RBAC_GROUP) errors.add(notSupported('roleRef.apiGroup', apiGroup, [RBAC_GROUP]));
  errors.oneOf('roleRef.kind', kind, binding.kind === 'RoleBinding' ? ['Role', 'ClusterRole'] : ['ClusterRole']);
  errors.checkRequired('roleRef.name', name, pathSegmentName);
  eachItem(binding.subjects, 'subjects', (s, at) => {
    if (!s.name) errors.add(required(`${at}.name`));
    switch (s.kind) {
      case 'ServiceAccount':
        if (s.name) errors.check(`${at}.name`, s.name, dns1123Subdomain);
        if (s.apiGroup) errors.add(notSupported(`${at}.apiGroup`, s.apiGroup, ['']));
        if (!s.namespace && binding.kind === 'ClusterRoleBinding') errors.add(required(`${at}.namespace`));
        break;
      case 'User':
      case 'Group':
        if (s.apiGroup !== RBAC_GROUP) errors.add(notSupported(`${at}.apiGroup`, s.apiGroup ?? '', [RBAC_GROUP]));
        break;
      default:
        errors.add(notSupported(`${at}.kind`, s.kind, ['ServiceAccount', 'User', 'Group']));
    }
  });
  return errors.list;
}

export function validateRoleBindingUpdate(next: RoleBinding, previous: RoleBinding): FieldError[] {
  const same = JSON.stringify(next.roleRef) === JSON.stringify(previous.roleRef);
  const { apiGroup, kind, name } = next.roleRef;
  const sameParts =
    apiGroup === previous.roleRef.apiGroup && kind === previous.roleRef.kind && name === previous.roleRef.name;
  return same || sameParts ? [] : [invalid('roleRef', next.roleRef, 'cannot change roleRef')];
}
