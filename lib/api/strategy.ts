import type { KindRef, KubeObject } from './object.ts';

/** What the registry strategy does to a new object before defaults are validated: status dropped, generation 1, ... (in place). */
export function prepareCreate(kind: KindRef, object: KubeObject): void {
  throw new Error(`not yet ${kind.kind} ${object.kind}`);
}
/** `subresource` undefined = the main endpoint (keeps the old status); 'status' keeps the old spec. Changes `next` only. */
export function prepareUpdate(kind: KindRef, next: KubeObject, previous: KubeObject, subresource?: string): void {
  throw new Error(`not yet ${kind.kind} ${next.kind} ${previous.kind} ${subresource ?? ''}`);
}
