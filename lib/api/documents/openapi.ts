import type { KindInfo } from '../registry.ts';

/** OpenAPI v3 (index and one document per group version) and v2. Documents are made on first use and kept as bytes. */
export interface OpenApi {
  /** /openapi/v3 */
  index(): object;
  /** /openapi/v3/api/v1 → path 'api/v1'; `hash` is the right value of ?hash=. */
  document(path: string): { readonly bytes: Buffer; readonly hash: string } | undefined;
  /** /openapi/v2 as JSON. */
  v2(): { readonly bytes: Buffer; readonly hash: string };
}

export function openApiOf(kinds: readonly KindInfo[], version: string): OpenApi {
  throw new Error(`not yet ${kinds.length} ${version}`);
}
