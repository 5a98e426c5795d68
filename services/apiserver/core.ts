/** What the handlers share: one value, made in main.ts. */
import type { DeepReadonly, KindInfo, KubeObject, ValidationOptions } from '#lib/api';
import type { Clock, Logger, Random } from '#lib/base';
import type { ApiRequest, RequestBase } from '#lib/client';
import type { AdmissionChain } from './admission/chain.ts';
import type { TokenService } from './authn/token-service.ts';
import type { Authorizer } from './authz/authorizer.ts';
import type { Cached } from './cache/cached.ts';
import type { WatchCache } from './cache/watch-cache.ts';
import type { CustomVersions } from './custom/versions.ts';
import type { ResourceHooks } from './hooks.ts';
import type { KindRegistry } from './kind-registry.ts';
import type { MetricSource } from './metrics.ts';
import type { Storage } from './storage.ts';

export interface Core {
  readonly storage: Storage;
  readonly cache: WatchCache;
  readonly kinds: KindRegistry;
  /** Of custom resources. */
  readonly versions: CustomVersions;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly authorizer: Authorizer;
  readonly tokens: TokenService;
  readonly admission: AdmissionChain;
  readonly webhookMetrics: MetricSource;
  /** By `group/resource`: what one kind does beyond the generic path (addresses of services, finalizers of namespaces). */
  readonly hooks: ReadonlyMap<string, ResourceHooks>;
  readonly validation: ValidationOptions;
  readonly eventTtlSeconds: number;
}

/**
 * A request whose kind has been looked up: `info` as asked for, `stored` as handlers work on it: the version that is kept, but for
 * custom kinds the version asked for (CustomVersions converts where objects are read and written).
 */
export type Target<R extends RequestBase = RequestBase> = R & { readonly info: KindInfo; readonly stored: KindInfo };

export type TargetOf<V extends ApiRequest['verb']> = Target<Extract<ApiRequest, { verb: V }>>;

export type CoreResult =
  /** `cached` when the object is exactly what is stored: its bytes may be sent. */
  | {
      readonly type: 'object';
      readonly object: DeepReadonly<KubeObject>;
      readonly cached?: Cached | undefined;
      readonly created?: boolean;
    }
  | {
      readonly type: 'list';
      readonly items: readonly Cached[];
      readonly resourceVersion: string;
      readonly continue?: string | undefined;
      readonly remainingItemCount?: number | undefined;
    }
  | { readonly type: 'status'; readonly status: object; readonly code: number };

export function objectResult(cached: Cached, created?: boolean): CoreResult {
  return { type: 'object', object: cached.object, cached, ...(created === true ? { created } : {}) };
}

export function hooksOf(core: Core, kind: KindInfo): ResourceHooks {
  return core.hooks.get(`${kind.group}/${kind.resource}`) ?? {};
}

/** For managedFields: the fieldManager, or the user agent up to its first slash. */
export function managerOf(request: RequestBase, fieldManager: string | undefined): string {
  return fieldManager ?? (request.userAgent ?? request.user.name).split('/')[0] ?? 'unknown';
}
