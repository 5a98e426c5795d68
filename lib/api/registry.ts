import type { KindRef, KubeObject } from './object.ts';
import type { TypeName } from './type-table.ts';

export interface Subresource {
  readonly name: string;
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly string[];
}

export interface KindInfo<T extends KubeObject = KubeObject> extends KindRef<T> {
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly verbs: readonly string[];
  readonly subresources: readonly Subresource[];
  readonly schema: TypeName;
  readonly hasStatus: boolean;
  readonly hasGeneration: boolean;
}

/** Every resource of data/kubernetes-resources.json, in discovery order. */
export function allKinds(): readonly KindInfo[] {
  throw new Error('not yet');
}
export function kindByResource(group: string, version: string, resource: string): KindInfo | undefined {
  throw new Error(`not yet ${group} ${version} ${resource}`);
}
export function kindByGvk(apiVersion: string, kind: string): KindInfo | undefined {
  throw new Error(`not yet ${apiVersion} ${kind}`);
}
/** The KindInfo of a KindRef (by group, version, kind); a kind that is not built in is a programmer error. */
export function kindInfo(kind: KindRef): KindInfo {
  throw new Error(`not yet ${kind.kind}`);
}
