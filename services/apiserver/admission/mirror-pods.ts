/**
 * The only pods that a node may create: images of its own static pods, which can reach nothing of the cluster's. Pure.
 * Source: noderestriction/admission.go admitPodCreate.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { podReferences } from '../authz/node/references.ts';

const MIRROR = 'kubernetes.io/config.mirror';

/** Why `node` may not create it; undefined = it may, if its owner has the uid that it says. */
export function mirrorPodProblem(node: string, pod: DeepReadonly<Pod>): string | undefined {
  if (pod.metadata.annotations?.[MIRROR] === undefined)
    return `pod does not have "${MIRROR}" annotation, node "${node}" can only create mirror pods`;
  if (pod.spec.nodeName !== node) return `node "${node}" can only create pods with spec.nodeName set to itself`;
  return ownerProblem(node, pod) ?? referenceProblem(node, pod);
}

function ownerProblem(node: string, pod: DeepReadonly<Pod>): string | undefined {
  const [owner, second] = pod.metadata.ownerReferences ?? [];
  if (second !== undefined) return `node "${node}" can only create pods with a single owner reference set to itself`;
  if (owner?.apiVersion !== 'v1' || owner.kind !== 'Node' || owner.name !== node)
    return `node "${node}" can only create pods with an owner reference set to itself`;
  if (owner.controller !== true)
    return `node "${node}" can only create pods with a controller owner reference set to itself`;
  if (owner.blockOwnerDeletion === true) return `node "${node}" must not set blockOwnerDeletion on an owner reference`;
  return undefined;
}

function referenceProblem(node: string, pod: DeepReadonly<Pod>): string | undefined {
  const refuse = (what: string): string => `node "${node}" can not create pods that reference ${what}`;
  // Without the annotation, since as a mirror pod it would be said to refer to nothing.
  const refers = podReferences({ ...pod, metadata: { ...pod.metadata, annotations: {} } });
  if (refers.serviceAccount !== '') return refuse('a service account');
  if (refers.secrets.size > 0) return refuse('secrets');
  if (refers.configMaps.size > 0) return refuse('configmaps');
  const sources = (pod.spec.volumes ?? []).flatMap((v) => v.projected?.sources ?? []);
  if (sources.some((s) => s.clusterTrustBundle !== undefined)) return refuse('clustertrustbundles');
  if (refers.claims.size > 0) return refuse('persistentvolumeclaims');
  if ((pod.spec.resourceClaims ?? []).length > 0) return refuse('resourceclaims');
  return undefined;
}
