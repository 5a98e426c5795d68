/**
 * The default roles and bindings of a cluster: Kubernetes' own, and those of the registry (ADR 0026). Who may edit what is in a
 * namespace may push to the repositories below its name, who may view it may pull from them.
 */
import { RBAC_DEFAULTS as KUBERNETES } from './gen/rbac-defaults.ts';
import type { DefaultRole, RbacDefaults } from './rbac-reconcile.ts';

const REGISTRY = 'system:berth-registry';
const READ = ['get', 'list'];

/** What the registry asks: who somebody is, what he may, and which images are needed. */
const REGISTRY_ROLE: DefaultRole = {
  name: REGISTRY,
  rules: [
    { apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create'] },
    { apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create'] },
    { apiGroups: [''], resources: ['pods', 'podtemplates', 'replicationcontrollers'], verbs: READ },
    {
      apiGroups: ['apps'],
      resources: ['controllerrevisions', 'daemonsets', 'deployments', 'replicasets', 'statefulsets'],
      verbs: READ,
    },
    { apiGroups: ['batch'], resources: ['cronjobs', 'jobs'], verbs: READ },
  ],
};

function repositories(name: string, aggregateTo: string, verbs: readonly string[]): DefaultRole {
  return {
    name: `system:berth-registry:${name}`,
    labels: { [`rbac.authorization.k8s.io/aggregate-to-${aggregateTo}`]: 'true' },
    rules: [{ apiGroups: ['registry.berth.dev'], resources: ['repositories'], verbs: [...verbs] }],
  };
}

export const RBAC_DEFAULTS: RbacDefaults = {
  ...KUBERNETES,
  clusterRoles: [
    ...KUBERNETES.clusterRoles,
    REGISTRY_ROLE,
    repositories('pull', 'view', READ),
    repositories('push', 'edit', ['create', 'update', 'delete']),
  ],
  clusterRoleBindings: [
    ...KUBERNETES.clusterRoleBindings,
    {
      name: REGISTRY,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: REGISTRY },
      subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: REGISTRY }],
    },
  ],
};
