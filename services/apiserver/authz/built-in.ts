/**
 * The rules that hold without any RBAC object. Members of system:masters may do everything: that is how the default roles
 * themselves come to be, before anybody else may do anything. Nodes may read what they need.
 * Source: apiserver/pkg/authorization/authorizerfactory (NewPrivilegedGroups), kubernetes
 * plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go (system:node).
 */
import type { Attributes, Authorizer, Decision } from './authorizer.ts';

const ALLOWED: Decision = { isAllowed: true, reason: '' };
const NO_OPINION: Decision = { isAllowed: false, reason: '' };

export class Superusers implements Authorizer {
  authorize(a: Attributes): Decision {
    return a.user.groups.includes('system:masters') ? ALLOWED : NO_OPINION;
  }
}

/** Secrets and ConfigMaps are not among them: a node is given those of its own pods by its session, and no others. */
const NODE_READS = new Set([
  '/services',
  '/endpoints',
  'discovery.k8s.io/endpointslices',
  '/nodes',
  '/pods',
  '/persistentvolumeclaims',
  '/persistentvolumes',
  'coordination.k8s.io/leases',
  'node.k8s.io/runtimeclasses',
  'storage.k8s.io/csidrivers',
  'storage.k8s.io/csinodes',
]);
export class NodeRules implements Authorizer {
  authorize(a: Attributes): Decision {
    if (!a.user.groups.includes('system:nodes') || !a.user.name.startsWith('system:node:')) return NO_OPINION;
    if (a.type === 'path' || a.subresource !== '') return NO_OPINION;
    const isReading = a.verb === 'get' || a.verb === 'list' || a.verb === 'watch';
    return isReading && NODE_READS.has(`${a.group}/${a.resource}`) ? ALLOWED : NO_OPINION;
  }
}
