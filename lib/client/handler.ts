/**
 * The port between a transport and the API server: one request already parsed, one result not yet encoded. The HTTP front
 * (services/apiserver/http) and the in-process client both make `ApiRequest`s; services/apiserver implements
 * `RequestHandler`. Bodies and results are plain objects of the request's group version.
 */
import type { DeepReadonly, KindRef, KubeObject } from '#lib/api';
import type { Ctx } from '#lib/base';
import type {
  DeleteOptions,
  ListQuery,
  ObjectList,
  PatchType,
  WatchEvent,
  WatchQuery,
  WriteOptions,
} from './client.ts';

export interface UserInfo {
  readonly name: string;
  readonly uid?: string | undefined;
  readonly groups: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** As lib/store's Fence: the write commits only while the leader's (or session's) key has this create revision. */
export interface WriteFence {
  readonly key: string;
  readonly createRevision: bigint;
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

export interface RequestBase {
  readonly user: UserInfo;
  readonly kind: KindRef;
  /** '' for cluster scope and for all namespaces. */
  readonly namespace: string;
  readonly name?: string | undefined;
  readonly subresource?: string | undefined;
  /** Receives warnings for the Warning header; may be called several times. */
  readonly warn?: ((text: string) => void) | undefined;
  /** Adds to the audit event of the request; absent where none is written. */
  readonly annotate?: ((key: string, value: string) => void) | undefined;
  /** For managedFields when no fieldManager is given. */
  readonly userAgent?: string | undefined;
  /** Writes only: fails with Conflict, reason 'Fenced', when the fence no longer holds. */
  readonly fence?: WriteFence | undefined;
}

export type ApiRequest = RequestBase &
  (
    | { readonly verb: 'get'; readonly resourceVersion?: string | undefined }
    | { readonly verb: 'list'; readonly query: ListQuery }
    | { readonly verb: 'create'; readonly body: unknown; readonly options: WriteOptions }
    | { readonly verb: 'update'; readonly body: unknown; readonly options: WriteOptions }
    | { readonly verb: 'patch'; readonly patchType: PatchType; readonly body: unknown; readonly options: WriteOptions }
    | { readonly verb: 'delete'; readonly options: DeleteOptions }
    | { readonly verb: 'deletecollection'; readonly query: ListQuery; readonly options: DeleteOptions }
  );

export type ApiResult =
  | { readonly type: 'object'; readonly object: DeepReadonly<KubeObject>; readonly created?: boolean }
  | { readonly type: 'list'; readonly list: ObjectList<KubeObject> }
  /** A metav1.Status, for deletes that answer with one. */
  | { readonly type: 'status'; readonly status: object; readonly code: number };

export interface RequestHandler {
  handle(request: ApiRequest, c: Ctx): Promise<ApiResult>;
  watch(request: RequestBase & { readonly query: WatchQuery }, c: Ctx): AsyncIterable<WatchEvent<KubeObject>>;
}

export type { LogRequest, NodeStream, NodeStreamRequest, NodeStreams } from './streams.ts';
