import type { KindRef, KubeObject } from './object.ts';

/** Fills what Kubernetes' defaulting fills, in place; idempotent. */
export function applyDefaults(kind: KindRef, object: KubeObject): void {
  throw new Error(`not yet ${kind.kind} ${object.kind}`);
}
