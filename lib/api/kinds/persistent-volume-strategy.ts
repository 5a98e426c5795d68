/** The two fields that name a claim's source are kept equal (KEP-1495). Source: pkg/api/persistentvolumeclaim/util.go. */
import type { PersistentVolumeClaimSpec, TypedLocalObjectReference } from '../gen/types/core-v1.ts';

/** Sources that old clients sent by mistake are dropped, then one field is filled in from the other. */
export function prepareDataSources(spec: PersistentVolumeClaimSpec, previous?: PersistentVolumeClaimSpec): void {
  const hadSource = previous?.dataSource !== undefined || previous?.dataSourceRef !== undefined;
  // Sources in other namespaces are behind a gate that is off.
  if (spec.dataSourceRef?.namespace && previous?.dataSourceRef === undefined) delete spec.dataSourceRef;
  if (!hadSource && spec.dataSourceRef === undefined && !isKnownSource(spec.dataSource)) delete spec.dataSource;
  const { dataSource, dataSourceRef } = spec;
  if (dataSource !== undefined) spec.dataSourceRef ??= { ...dataSource };
  else if (dataSourceRef !== undefined && !dataSourceRef.namespace) {
    const { namespace: _, ...local } = dataSourceRef;
    spec.dataSource = local;
  }
}

function isKnownSource(source: TypedLocalObjectReference | undefined): boolean {
  const group = source?.apiGroup ?? '';
  if (source?.kind === 'PersistentVolumeClaim') return group === '';
  return source?.kind === 'VolumeSnapshot' && group === 'snapshot.storage.k8s.io';
}
