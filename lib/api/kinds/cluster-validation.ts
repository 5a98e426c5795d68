/** RBAC, scheduling and networking kinds beyond what the table says. Source: pkg/apis/{rbac,scheduling,networking}/validation. */
import { type FieldError, invalid, notSupported, required } from '../field-error.ts';
import type { Ingress } from '../gen/types/networking-v1.ts';
import type { ClusterRole, ClusterRoleBinding, Role, RoleBinding } from '../gen/types/rbac-v1.ts';
import type { PriorityClass } from '../gen/types/scheduling-v1.ts';
import { Errors, eachItem } from '../validation/field-path.ts';
import { dns1123Subdomain, wildcardDns1123Subdomain } from '../validation/names.ts';

const RBAC_GROUP = 'rbac.authorization.k8s.io';
const USER_PRIORITY_MAX = 1_000_000_000;

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
  return errors.list;
}

export function validateRoleBinding(binding: RoleBinding | ClusterRoleBinding): FieldError[] {
  const errors = new Errors();
  const { apiGroup, kind, name } = binding.roleRef;
  if (apiGroup !== RBAC_GROUP) errors.add(notSupported('roleRef.apiGroup', apiGroup, [RBAC_GROUP]));
  errors.oneOf('roleRef.kind', kind, binding.kind === 'RoleBinding' ? ['ClusterRole', 'Role'] : ['ClusterRole']);
  if (!name) errors.add(required('roleRef.name'));
  eachItem(binding.subjects, 'subjects', (s, at) => {
    if (!s.name) errors.add(required(`${at}.name`));
    switch (s.kind) {
      case 'ServiceAccount':
        if (s.name) errors.check(`${at}.name`, s.name, dns1123Subdomain);
        if (s.apiGroup) errors.add(notSupported(`${at}.apiGroup`, s.apiGroup, ['']));
        if (!s.namespace) errors.add(required(`${at}.namespace`));
        break;
      case 'User':
      case 'Group':
        if (s.apiGroup !== RBAC_GROUP) errors.add(notSupported(`${at}.apiGroup`, s.apiGroup ?? '', [RBAC_GROUP]));
        break;
      default:
        errors.add(notSupported(`${at}.kind`, s.kind, ['Group', 'ServiceAccount', 'User']));
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

export function validatePriorityClass(c: PriorityClass): FieldError[] {
  const errors = new Errors();
  const isSystem = c.metadata.name.startsWith('system-');
  if (isSystem && !['system-cluster-critical', 'system-node-critical'].includes(c.metadata.name))
    errors.add({
      type: 'Forbidden',
      field: 'metadata.name',
      detail: `priority class names with 'system-' prefix are reserved for system use only. error: ${c.metadata.name} is not a known system priority class`,
    });
  if (!isSystem && c.value > USER_PRIORITY_MAX)
    errors.add({
      type: 'Forbidden',
      field: 'value',
      detail: `maximum allowed value of a user defined priority is ${USER_PRIORITY_MAX}`,
    });
  errors.oneOf('preemptionPolicy', c.preemptionPolicy, ['Never', 'PreemptLowerPriority']);
  return errors.list;
}

export function validatePriorityClassUpdate(next: PriorityClass, previous: PriorityClass): FieldError[] {
  const errors = new Errors();
  for (const name of ['value', 'preemptionPolicy'] as const)
    if (next[name] !== previous[name])
      errors.add({
        type: 'Forbidden',
        field: name === 'value' ? 'Value' : name,
        detail: 'may not be changed in an update.',
      });
  return errors.list;
}

export function validateIngress({ spec }: Ingress): FieldError[] {
  const errors = new Errors();
  if ((spec?.rules?.length ?? 0) === 0 && spec?.defaultBackend === undefined)
    errors.add(invalid('spec', spec?.rules ?? [], 'either `defaultBackend` or `rules` must be specified'));
  eachItem(spec?.rules, 'spec.rules', (rule, at) => {
    const { host } = rule;
    if (host) errors.check(`${at}.host`, host, host.includes('*') ? wildcardDns1123Subdomain : dns1123Subdomain);
    eachItem(rule.http?.paths, `${at}.http.paths`, (p, where) => {
      if (!p.pathType) errors.add(required(`${where}.pathType`, 'pathType must be specified'));
      else errors.oneOf(`${where}.pathType`, p.pathType, ['Exact', 'ImplementationSpecific', 'Prefix']);
      if (p.pathType !== 'ImplementationSpecific' && !p.path?.startsWith('/'))
        errors.add(invalid(`${where}.path`, p.path ?? '', 'must be an absolute path'));
      const { service, resource } = p.backend ?? {};
      if (service === undefined && resource === undefined)
        errors.add(required(`${where}.backend`, 'port name or number is required'));
      else if (service !== undefined) {
        if (!service.name) errors.add(required(`${where}.backend.service.name`));
        if (!service.port?.name && !service.port?.number)
          errors.add(required(`${where}.backend`, 'port name or number is required'));
      }
    });
    if (rule.http !== undefined && (rule.http.paths?.length ?? 0) === 0) errors.add(required(`${at}.http.paths`));
  });
  return errors.list;
}
