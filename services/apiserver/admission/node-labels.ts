/**
 * Which labels a node may not set on itself: those that operators use to keep workloads off nodes they do not trust. Pure.
 * Source: noderestriction/admission.go getForbiddenLabels, k8s.io/kubelet/pkg/apis/well_known_labels.go.
 */

const RESTRICTED = 'node-restriction.kubernetes.io';
const KUBERNETES = ['kubernetes.io', 'k8s.io'];
const KUBELET_NAMESPACES = ['kubelet.kubernetes.io', 'node.kubernetes.io'];
const KUBELET = new Set([
  'kubernetes.io/hostname',
  'kubernetes.io/os',
  'kubernetes.io/arch',
  'topology.kubernetes.io/zone',
  'topology.kubernetes.io/region',
  'failure-domain.beta.kubernetes.io/zone',
  'failure-domain.beta.kubernetes.io/region',
  'node.kubernetes.io/instance-type',
  'beta.kubernetes.io/instance-type',
  'beta.kubernetes.io/os',
  'beta.kubernetes.io/arch',
]);

type Labels = Readonly<Record<string, string>>;

/** Of those that differ, in order. */
export function forbiddenLabels(next: Labels, previous: Labels): string[] {
  const keys = [...new Set([...Object.keys(next), ...Object.keys(previous)])];
  return keys.filter((key) => next[key] !== previous[key] && isForbidden(key)).sort();
}

function isForbidden(key: string): boolean {
  const slash = key.indexOf('/');
  const namespace = slash < 0 ? '' : key.slice(0, slash);
  if (isWithin(namespace, RESTRICTED)) return true;
  const isKubernetes = KUBERNETES.some((domain) => isWithin(namespace, domain));
  return isKubernetes && !KUBELET.has(key) && !KUBELET_NAMESPACES.some((domain) => isWithin(namespace, domain));
}

function isWithin(namespace: string, domain: string): boolean {
  return namespace === domain || namespace.endsWith(`.${domain}`);
}
