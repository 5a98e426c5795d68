/**
 * What a DELETE of one object answers: the object as it last was, or a Status.
 * Source: ReturnDeletedObject of the storages in kubernetes pkg/registry; namespaces answer with themselves on their own.
 */
import type { KindInfo } from './registry.ts';

const ANSWERS_OBJECT: ReadonlySet<string> = new Set([
  '/pods',
  '/services',
  '/persistentvolumes',
  '/persistentvolumeclaims',
  '/namespaces',
  '/serviceaccounts',
  '/podtemplates',
  '/resourcequotas',
  'storage.k8s.io/storageclasses',
  'storage.k8s.io/volumeattachments',
  'storage.k8s.io/csinodes',
  'storage.k8s.io/csidrivers',
  'storage.k8s.io/volumeattributesclasses',
  'resource.k8s.io/resourceclaims',
  'resource.k8s.io/resourceclaimtemplates',
  'resource.k8s.io/deviceclasses',
  'resource.k8s.io/resourceslices',
]);

export function answersDeletedObject(kind: Pick<KindInfo, 'group' | 'resource'>): boolean {
  return ANSWERS_OBJECT.has(`${kind.group}/${kind.resource}`);
}
