import type { KindInfo } from '../registry.ts';

/** Discovery documents. `etag` is quoted, ready for the header. */
export interface Discovery {
  /** /api */
  apiVersions(serverAddress: string): object;
  /** /apis */
  apiGroupList(): object;
  /** /apis/{group} */
  apiGroup(group: string): object | undefined;
  /** /api/v1 and /apis/{group}/{version} */
  apiResourceList(group: string, version: string): object | undefined;
  /** Accept ...;as=APIGroupDiscoveryList */
  aggregated(root: 'api' | 'apis', version: 'v2' | 'v2beta1'): { readonly body: object; readonly etag: string };
}

export function discoveryOf(kinds: readonly KindInfo[]): Discovery {
  throw new Error(`not yet ${kinds.length}`);
}
