/**
 * Binds a claim and a volume: the volume names the claim, then the claim names the volume, so that a crash between two writes
 * leaves a state from which the next call goes on. Every write is guarded by the revision that was looked at.
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
  const named = await nameClaim(client, volume, claim, c);
  if (named.status?.phase !== 'Bound')
    await client.update(
      Kinds.persistentvolumes,
      { ...named, status: { phase: 'Bound', lastPhaseTransitionTime: timeText(c.clock.now()) } },
      c,
      {
        subresource: 'status',
      },
    );
  const bound = await nameVolume(client, named, claim, c);
  const status = boundStatus(bound, named);
  if (status !== undefined)
    await client.update(Kinds.persistentvolumeclaims, { ...bound, status }, c, { subresource: 'status' });
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
