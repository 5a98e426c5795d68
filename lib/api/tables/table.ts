import type { PartialObjectMetadata, Table } from '../gen/types/meta-v1.ts';
import type { DeepReadonly, KindRef, KubeObject } from '../object.ts';

export interface TableOptions {
  readonly nowMs: number;
  readonly includeObject: 'None' | 'Metadata' | 'Object';
  readonly withColumns: boolean;
  readonly resourceVersion?: string | undefined;
  readonly continue?: string | undefined;
  readonly remainingItemCount?: number | undefined;
}

/** The meta.k8s.io/v1 Table of a list of objects. */
export function tableOf(kind: KindRef, list: readonly DeepReadonly<KubeObject>[], o: TableOptions): Table {
  throw new Error(`not yet ${kind.kind} ${list.length} ${o.nowMs}`);
}

/** meta.k8s.io/v1 PartialObjectMetadata of an object. */
export function partialMetadata(o: DeepReadonly<KubeObject>): DeepReadonly<PartialObjectMetadata> {
  return { apiVersion: 'meta.k8s.io/v1', kind: 'PartialObjectMetadata', metadata: o.metadata };
}
