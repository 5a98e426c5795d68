/**
 * What one kind does beyond the generic create and update: Kubernetes' BeginCreate/BeginUpdate hooks of a registry. A hook
 * changes the draft and may hold something (an address); `settle` says whether the write happened.
 */
import type { DeepReadonly, KindInfo, KubeObject } from '#lib/api';
import type { Ctx } from '#lib/base';
import type { UserInfo } from '#lib/client';

export interface HookRequest {
  readonly kind: KindInfo;
  readonly dryRun: boolean;
  readonly user: UserInfo;
}

/** Called exactly once after the write: `true` when it is stored. */
export type Settle = (isStored: boolean) => Promise<void>;

export interface ResourceHooks {
  beginCreate?(draft: KubeObject, request: HookRequest, c: Ctx): Promise<Settle | undefined>;
  beginUpdate?(
    draft: KubeObject,
    previous: DeepReadonly<KubeObject>,
    request: HookRequest,
    c: Ctx,
  ): Promise<Settle | undefined>;
  /** After the object is gone from the store. */
  afterDelete?(gone: DeepReadonly<KubeObject>, c: Ctx): Promise<void>;
  /** Deletion waits for these besides metadata.finalizers (a namespace's spec.finalizers). */
  hasOwnFinalizers?(object: DeepReadonly<KubeObject>): boolean;
  /** When the deletion timestamp is set: a namespace becomes Terminating. */
  onMarked?(draft: KubeObject): void;
  /** Seconds of grace, when deletion of this kind is graceful; undefined = delete at once. */
  graceSeconds?(object: DeepReadonly<KubeObject>, asked: number | undefined): number | undefined;
}
