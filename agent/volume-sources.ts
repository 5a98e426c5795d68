/** Where volumes take their objects and tokens from on a node: what the session brought, and what it asks for. */
import type { NodeObjects } from './pods/objects.ts';
import type { Reports } from './session/reports.ts';
import type { VolumeSources } from './volumes/volume.ts';

export function volumeSources(objects: NodeObjects, reports: Reports): Omit<VolumeSources, 'nodeAllocatable'> {
  return {
    configMap: (ns, name) => objects.get('configmaps', ns, name),
    secret: (ns, name) => objects.secret(ns, name),
    claim: (ns, name) => objects.get('persistentvolumeclaims', ns, name),
    persistentVolume: (name) => objects.get('persistentvolumes', '', name),
    serviceAccountToken: ({ pod, ...o }, c) => {
      const { namespace = '', name, uid = '' } = pod.metadata;
      const serviceAccount = pod.spec?.serviceAccountName ?? 'default';
      return reports.serviceAccountToken({ ...o, pod: { namespace, name, uid }, serviceAccount }, c);
    },
  };
}
