/**
 * The one typed way to the API, with two transports: in process (calls the API server's RequestHandler directly:
 * authorization, admission and validation included, no HTTP, no JSON) and HTTP (lib/client/http.ts).
 *
 * Objects returned are shared with the server's cache in the in-process transport: never mutate them, change a copy.
 * Every method throws StatusError; an abort of the context's signal throws kind Cancelled.
 */
import type { DeepReadonly, KindRef, KubeObject, ObjectKey } from '#lib/api';
import type { Ctx } from '#lib/base';

export interface ListQuery {
  /** '' or absent = all namespaces. */
  readonly namespace?: string | undefined;
  readonly labelSelector?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
  readonly resourceVersion?: string | undefined;
  readonly resourceVersionMatch?: 'NotOlderThan' | 'Exact' | undefined;
}

export interface ObjectList<T> {
  readonly items: readonly DeepReadonly<T>[];
  readonly resourceVersion: string;
  readonly continue?: string | undefined;
  readonly remainingItemCount?: number | undefined;
}

export interface WatchQuery extends Omit<ListQuery, 'limit' | 'continue'> {
  readonly allowWatchBookmarks?: boolean | undefined;
  readonly sendInitialEvents?: boolean | undefined;
  readonly timeoutSeconds?: number | undefined;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: DeepReadonly<T> }
  /** Only the resourceVersion is meaningful. `initialEventsEnd` marks the end of sendInitialEvents. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly initialEventsEnd?: boolean };

export interface WriteOptions {
  readonly dryRun?: boolean | undefined;
  readonly fieldManager?: string | undefined;
  readonly fieldValidation?: 'Ignore' | 'Warn' | 'Strict' | undefined;
  readonly subresource?: string | undefined;
  /** Server-side apply: take over fields that others own. */
  readonly force?: boolean | undefined;
}

export type PatchType = 'json' | 'merge' | 'strategic' | 'apply';

export interface DeleteOptions {
  readonly gracePeriodSeconds?: number | undefined;
  readonly propagationPolicy?: 'Orphan' | 'Background' | 'Foreground' | undefined;
  readonly preconditions?:
    | { readonly uid?: string | undefined; readonly resourceVersion?: string | undefined }
    | undefined;
  readonly dryRun?: boolean | undefined;
}

export interface Client {
  get<T extends KubeObject>(
    kind: KindRef<T>,
    key: ObjectKey,
    c: Ctx,
    o?: { subresource?: string },
  ): Promise<DeepReadonly<T>>;
  list<T extends KubeObject>(kind: KindRef<T>, q: ListQuery, c: Ctx): Promise<ObjectList<T>>;
  /** Throws Expired when `resourceVersion` is too old: relist. Ends cleanly at the server's time limit: resume. */
  watch<T extends KubeObject>(kind: KindRef<T>, q: WatchQuery, c: Ctx): AsyncIterable<WatchEvent<T>>;
  /** With a subresource (binding, eviction, token, ...) the body is that subresource's own kind and so is the result. */
  create<T extends KubeObject>(
    kind: KindRef<T>,
    object: Omit<T, 'apiVersion' | 'kind'>,
    c: Ctx,
    o?: WriteOptions,
  ): Promise<DeepReadonly<T>>;
  /** POST of a subresource: `pods/x/binding`, `pods/x/eviction`, `serviceaccounts/x/token`. */
  createSub(
    kind: KindRef,
    key: ObjectKey,
    subresource: string,
    body: object,
    c: Ctx,
    o?: WriteOptions,
  ): Promise<unknown>;
  /** Guarded by the object's resourceVersion when it has one. */
  update<T extends KubeObject>(
    kind: KindRef<T>,
    object: DeepReadonly<T>,
    c: Ctx,
    o?: WriteOptions,
  ): Promise<DeepReadonly<T>>;
  patch<T extends KubeObject>(
    kind: KindRef<T>,
    key: ObjectKey,
    patch: { type: PatchType; body: unknown },
    c: Ctx,
    o?: WriteOptions,
  ): Promise<DeepReadonly<T>>;
  delete(kind: KindRef, key: ObjectKey, o: DeleteOptions, c: Ctx): Promise<void>;
}
