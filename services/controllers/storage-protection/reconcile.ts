/**
 * Claims, volumes and volume attributes classes that are used stay until they are not: their finalizer goes when the last
 * user has. Before one is released the API is asked: the cache may be a moment behind.
 * Source: pkg/controller/volume/{pvcprotection,pvprotection,vacprotection}.
 */
import { type DeepReadonly, type KindRef, Kinds, type KubeObject, keyText } from '#lib/api';
import type { Ctx } from '#lib/base';
import { isKind } from '#lib/base';
import type { Controller, Outcome, Source } from '#lib/controller';
import { changesOf, DONE, keysFrom, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import {
  CLAIM_PROTECTION,
  CLASS_PROTECTION,
  claimsOf,
  classesOfClaim,
  classesOfVolume,
  isVolumeUsed,
  plan,
  usesClaim,
  VOLUME_PROTECTION,
} from './plan.ts';

const WORKERS = 4;

interface Protection<T extends KubeObject> {
  readonly name: string;
  readonly kind: KindRef<T>;
  readonly finalizer: string;
  /** What else may change the answer of `isUsed`. */
  readonly users: readonly Source[];
  isUsed(object: DeepReadonly<T>, c: Ctx): Promise<boolean>;
}

export function startClaimProtection(deps: Deps): Controller {
  const pods = deps.informers.informer(Kinds.pods);
  return startProtection(deps, {
    name: 'pvc-protection',
    kind: Kinds.persistentvolumeclaims,
    finalizer: CLAIM_PROTECTION,
    users: [
      changesOf(pods, (previous, next) => {
        const pod = next ?? previous;
        if (pod === undefined) return [];
        return claimsOf(pod).map((name) => keyText({ namespace: pod.metadata.namespace ?? '', name }));
      }),
    ],
    isUsed: async (claim, c) => {
      const { items } = await deps.client.list(Kinds.pods, { namespace: claim.metadata.namespace ?? '' }, c);
      return items.some((pod) => usesClaim(pod, claim));
    },
  });
}

export function startVolumeProtection(deps: Deps): Controller {
  return startProtection(deps, {
    name: 'pv-protection',
    kind: Kinds.persistentvolumes,
    finalizer: VOLUME_PROTECTION,
    users: [],
    isUsed: (volume) => Promise.resolve(isVolumeUsed(volume)),
  });
}

export function startClassProtection(deps: Deps): Controller {
  const claims = deps.informers.informer(Kinds.persistentvolumeclaims);
  const volumes = deps.informers.informer(Kinds.persistentvolumes);
  return startProtection(deps, {
    name: 'vac-protection',
    kind: Kinds.volumeattributesclasses,
    finalizer: CLASS_PROTECTION,
    users: [keysFrom(claims, classesOfClaim), keysFrom(volumes, classesOfVolume)],
    isUsed: async ({ metadata }, c) => {
      const allClaims = await deps.client.list(Kinds.persistentvolumeclaims, {}, c);
      if (allClaims.items.some((x) => classesOfClaim(x).includes(metadata.name))) return true;
      const allVolumes = await deps.client.list(Kinds.persistentvolumes, {}, c);
      return allVolumes.items.some((x) => classesOfVolume(x).includes(metadata.name));
    },
  });
}

function startProtection<T extends KubeObject>(deps: Deps, p: Protection<T>): Controller {
  const informer = deps.informers.informer(p.kind);
  return startController({
    ...deps,
    name: p.name,
    workers: WORKERS,
    sources: [objectsOf(informer), ...p.users],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const object = informer.get(parseKeyText(key));
        if (object === undefined) return DONE;
        const isDoubtful = plan(object, p.finalizer, false) === 'release';
        const action = plan(object, p.finalizer, isDoubtful && (await p.isUsed(object, c)));
        if (action === 'none') return DONE;
        const others = (object.metadata.finalizers ?? []).filter((f) => f !== p.finalizer);
        const finalizers = action === 'protect' ? [...others, p.finalizer] : others;
        try {
          await deps.client.update(p.kind, { ...object, metadata: { ...object.metadata, finalizers } }, c);
        } catch (e) {
          if (!isKind(e, 'NotFound')) throw e;
        }
        return DONE;
      },
    },
  });
}
