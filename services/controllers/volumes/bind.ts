/**
 * Binds a claim and a volume: the volume names the claim, then the claim names the volume, so that a crash between two writes
 * leaves a state from which the next call goes on. Every write is guarded by the revision that was looked at.
 *
 * A volume that was released and is given anew is said to be Available first: Released with a claim's uid in it, its node would
 * erase the data of the new claim.
 * Source: pkg/controller/volume/persistentvolume/pv_controller.go bind.
 */
import {
  type DeepReadonly,
  Kinds,
  type PersistentVolume,
  type PersistentVolumeClaim,
  StorageAnnotations,
  withClaim,
} from '#lib/api';
import { type Ctx, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import { isEqualJson } from '#lib/controller';

type Claim = DeepReadonly<PersistentVolumeClaim>;
type Volume = DeepReadonly<PersistentVolume>;

export async function bind(client: Client, volume: Volume, claim: Claim, c: Ctx): Promise<void> {
  const isGivenAnew = volume.status?.phase === 'Released' && !volume.spec.claimRef?.uid;
  const free = isGivenAnew ? await withPhase(client, volume, 'Available', c) : volume;
  const named = await nameClaim(client, free, claim, c);
  if (named.status?.phase !== 'Bound') await withPhase(client, named, 'Bound', c);
  const bound = await nameVolume(client, named, claim, c);
  const status = boundStatus(bound, named);
  if (status !== undefined)
    await client.update(Kinds.persistentvolumeclaims, { ...bound, status }, c, { subresource: 'status' });
}

async function withPhase(client: Client, volume: Volume, phase: string, c: Ctx): Promise<Volume> {
  const status = { phase, lastPhaseTransitionTime: timeText(c.clock.now()) };
  return await client.update(Kinds.persistentvolumes, { ...volume, status }, c, { subresource: 'status' });
}

async function nameClaim(client: Client, volume: Volume, claim: Claim, c: Ctx): Promise<Volume> {
  const next = withClaim(volume, claim);
  return next === undefined ? volume : await client.update(Kinds.persistentvolumes, next, c);
}

async function nameVolume(client: Client, volume: Volume, claim: Claim, c: Ctx): Promise<Claim> {
  const { name } = volume.metadata;
  const isNamed = claim.spec.volumeName === name;
  const annotations = {
    ...claim.metadata.annotations,
    ...(isNamed ? {} : { [StorageAnnotations.boundByController]: 'yes' }),
    [StorageAnnotations.bindCompleted]: 'yes',
  };
  if (isNamed && isEqualJson(annotations, claim.metadata.annotations)) return claim;
  const next = { ...claim, metadata: { ...claim.metadata, annotations }, spec: { ...claim.spec, volumeName: name } };
  return await client.update(Kinds.persistentvolumeclaims, next, c);
}

/** Capacity is taken over when the claim becomes Bound; later it is the resizer's. */
function boundStatus(claim: Claim, volume: Volume): Claim['status'] | undefined {
  const before = claim.status ?? {};
  const isNew = before.phase !== 'Bound';
  const accessModes = volume.spec.accessModes ?? [];
  const capacity = isNew ? volume.spec.capacity : before.capacity;
  const attributes = isNew ? volume.spec.volumeAttributesClassName : before.currentVolumeAttributesClassName;
  const next = {
    ...before,
    phase: 'Bound',
    accessModes,
    ...(capacity === undefined ? {} : { capacity }),
    ...(attributes === undefined ? {} : { currentVolumeAttributesClassName: attributes }),
  };
  return isEqualJson(next, before) ? undefined : next;
}
