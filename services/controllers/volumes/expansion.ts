/**
 * Grows local volumes: a claim that asks for more gets it. A folder has no size of its own, so nothing is left for the node to do
 * (ADR 0018); first the volume grows, then the claim says so, and a crash between the two is made good by the next look.
 * Source: github.com/kubernetes-csi/external-resizer (conditions, events), pkg/controller/volume/expand.
 */
import {
  capacityOfVolume,
  compareQuantity,
  type DeepReadonly,
  isLocalVolume,
  Kinds,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type PersistentVolumeClaimStatus,
  parseQuantity,
  requestOfClaim,
} from '#lib/api';
import { timeText } from '#lib/base';
import type { Controller, Outcome } from '#lib/controller';
import { DONE, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';

const WORKERS = 2;

type Claim = DeepReadonly<PersistentVolumeClaim>;

export type Expansion =
  | { readonly do: 'nothing' }
  /** The volume is of somebody else, who may or may not grow it. */
  | { readonly do: 'ignore' }
  | { readonly do: 'grow'; readonly storage: string };

export function planExpansion(claim: Claim, volume: DeepReadonly<PersistentVolume> | undefined): Expansion {
  if (claim.status?.phase !== 'Bound' || claim.metadata.deletionTimestamp !== undefined) return { do: 'nothing' };
  if (volume === undefined || volume.spec.claimRef?.uid !== claim.metadata.uid) return { do: 'nothing' };
  const has = parseQuantity(claim.status.capacity?.['storage'] ?? '0');
  if (compareQuantity(requestOfClaim(claim), has) <= 0) return { do: 'nothing' };
  if (!isLocalVolume(volume)) return { do: 'ignore' };
  return { do: 'grow', storage: claim.spec.resources?.requests?.['storage'] ?? '0' };
}

/** While it grows, and when it has. */
export function resizing(
  status: Claim['status'],
  storage: string,
  now: string,
): DeepReadonly<PersistentVolumeClaimStatus> {
  const others = (status?.conditions ?? []).filter((x) => x.type !== 'Resizing');
  const condition = { type: 'Resizing', status: 'True', lastTransitionTime: now };
  return {
    ...status,
    conditions: [...others, condition],
    allocatedResources: { storage },
    allocatedResourceStatuses: { storage: 'ControllerResizeInProgress' },
  };
}

export function resized(status: Claim['status'], storage: string): DeepReadonly<PersistentVolumeClaimStatus> {
  const { conditions = [], allocatedResourceStatuses: _, ...rest } = status ?? {};
  const others = conditions.filter((x) => x.type !== 'Resizing' && x.type !== 'FileSystemResizePending');
  return {
    ...rest,
    ...(others.length === 0 ? {} : { conditions: others }),
    capacity: { ...rest.capacity, storage },
    allocatedResources: { storage },
  };
}

export function startVolumeExpansion(deps: Deps): Controller {
  const { client, informers } = deps;
  const claims = informers.informer(Kinds.persistentvolumeclaims);
  const volumes = informers.informer(Kinds.persistentvolumes);
  const events = deps.recorder('volume_expand');
  return startController({
    ...deps,
    name: 'volume-expansion',
    workers: WORKERS,
    sources: [objectsOf(claims)],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const claim = claims.get(parseKeyText(key));
        if (claim === undefined) return DONE;
        const volume = volumes.get({ namespace: '', name: claim.spec.volumeName ?? '' });
        const plan = planExpansion(claim, volume);
        if (plan.do === 'nothing' || volume === undefined) return DONE;
        if (plan.do === 'ignore') {
          events.event(
            claim,
            'Normal',
            'ExternalExpanding',
            "waiting for an external controller to expand this PVC: the volume's plugin is none of this cluster's own",
          );
          return DONE;
        }
        const { storage } = plan;
        const asStatus = { subresource: 'status' };
        const kind = Kinds.persistentvolumeclaims;
        events.event(claim, 'Normal', 'Resizing', `resizing volume ${volume.metadata.name}`);
        const started = resizing(claim.status, storage, timeText(c.clock.now()));
        const marked = await client.update(kind, { ...claim, status: started }, c, asStatus);
        if (compareQuantity(capacityOfVolume(volume), parseQuantity(storage)) < 0)
          await client.update(
            Kinds.persistentvolumes,
            { ...volume, spec: { ...volume.spec, capacity: { storage } } },
            c,
          );
        await client.update(kind, { ...marked, status: resized(marked.status, storage) }, c, asStatus);
        events.event(claim, 'Normal', 'VolumeResizeSuccessful', 'Resize volume succeeded');
        return DONE;
      },
    },
  });
}
