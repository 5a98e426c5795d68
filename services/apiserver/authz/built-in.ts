/**
 * The rules that hold without any RBAC object: system:masters may do everything; nodes may read what they need; everyone
 * may discover the API and ask about themselves.
 * Source: kubernetes plugin/pkg/auth/authorizer/rbac/bootstrappolicy/policy.go (system:discovery, system:basic-user,
 * system:public-info-viewer, system:node).
 */
import type { Attributes, Authorizer, Decision } from './authorizer.ts';

const ALLOWED: Decision = { isAllowed: true, reason: '' };
const NO_OPINION: Decision = { isAllowed: false, reason: '' };

export class Superusers implements Authorizer {
  authorize(a: Attributes): Decision {
    return a.user.groups.includes('system:masters') ? ALLOWED : NO_OPINION;
  }
}

const PUBLIC_PATHS = ['/healthz', '/healthz/*', '/livez', '/livez/*', '/readyz', '/readyz/*', '/version', '/version/'];
const DISCOVERY_PATHS = ['/api', '/api/*', '/apis', '/apis/*', '/openapi', '/openapi/*', '/'];
const ISSUER_PATHS = ['/.well-known/openid-configuration', '/openid/v1/jwks'];
const SELF_REVIEWS = new Set([
  'authorization.k8s.io/selfsubjectaccessreviews',
  'authorization.k8s.io/selfsubjectrulesreviews',
  'authentication.k8s.io/selfsubjectreviews',
]);

export class PublicRules implements Authorizer {
  authorize(a: Attributes): Decision {
    const isAuthenticated = a.user.groups.includes('system:authenticated');
    if (a.type === 'path') {
      if (a.verb !== 'get') return NO_OPINION;
      if (matchesPath(PUBLIC_PATHS, a.path)) return ALLOWED;
      return isAuthenticated && matchesPath([...DISCOVERY_PATHS, ...ISSUER_PATHS], a.path) ? ALLOWED : NO_OPINION;
    }
    const isSelfReview = a.verb === 'create' && SELF_REVIEWS.has(`${a.group}/${a.resource}`);
    return isAuthenticated && isSelfReview ? ALLOWED : NO_OPINION;
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

function matchesPath(patterns: readonly string[], path: string): boolean {
  return patterns.some((p) => (p.endsWith('*') ? path.startsWith(p.slice(0, -1)) : p === path));
}
