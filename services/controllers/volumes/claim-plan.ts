/**
 * What becomes of a claim: bound to a volume, given to a provisioner, waiting for its first pod, or lost. Pure.
 * Source: pkg/controller/volume/persistentvolume/pv_controller.go syncUnboundClaim, syncBoundClaim.
 */
import {
  classOfClaim,
  type DeepReadonly,
  findVolume,
  isBoundTo,
  isDelayed,
  isSameMode,
  mismatchOf,
  NO_PROVISIONER,
  type PersistentVolume,
  type PersistentVolumeClaim,
  StorageAnnotations,
  type StorageClass,
} from '#lib/api';

type Claim = DeepReadonly<PersistentVolumeClaim>;
type Volume = DeepReadonly<PersistentVolume>;

export type ClaimAction =
  /** Both sides name each other, both are Bound. Idempotent: what is so already is not written. */
  | { readonly do: 'bind'; readonly volume: Volume }
  /** The event is told only when the phase is another one than before. */
  | { readonly do: 'phase'; readonly phase: 'Pending' | 'Lost'; readonly event?: ClaimEvent }
  | { readonly do: 'event'; readonly event: ClaimEvent }
  | { readonly do: 'setClass'; readonly name: string }
  | { readonly do: 'setProvisioner'; readonly name: string };

export interface ClaimEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export interface ClaimWorld {
  readonly claim: Claim;
  /** The one that spec.volumeName names, as the API has it. */
  readonly named: Volume | undefined;
  readonly volumes: Iterable<Volume>;
  readonly class: DeepReadonly<StorageClass> | undefined;
  /** What a claim that names no class gets, even now. */
  readonly defaultClass: string | undefined;
  /** Names of the pods without a node that use the claim. */
  waitingPods(): readonly string[];
}

export function planClaim(w: ClaimWorld): readonly ClaimAction[] {
  if (w.claim.metadata.annotations?.[StorageAnnotations.bindCompleted] !== undefined) return planBound(w);
  return w.claim.spec.volumeName ? planRequested(w, w.claim.spec.volumeName) : planUnbound(w);
}

function planBound({ claim, named: volume }: ClaimWorld): readonly ClaimAction[] {
  const lost = (reason: string, message: string): readonly ClaimAction[] => [
    { do: 'phase', phase: 'Lost', event: { type: 'Warning', reason, message } },
  ];
  if (!claim.spec.volumeName)
    return lost('ClaimLost', 'Bound claim has lost reference to PersistentVolume. Data on the volume is lost!');
  if (volume === undefined)
    return lost('ClaimLost', 'Bound claim has lost its PersistentVolume. Data on the volume is lost!');
  const ref = volume.spec.claimRef;
  if (ref === undefined || ref.uid === claim.metadata.uid) return [{ do: 'bind', volume }];
  return lost('ClaimMisbound', 'Two claims are bound to the same volume, this one is bound incorrectly');
}

/** It asks for one volume by name. */
function planRequested({ claim, named: volume }: ClaimWorld, name: string): readonly ClaimAction[] {
  const pending: ClaimAction = { do: 'phase', phase: 'Pending' };
  if (volume === undefined) return [pending];
  if (volume.spec.claimRef === undefined) {
    const mismatch = mismatchOf(volume, claim);
    if (mismatch === undefined) return [{ do: 'bind', volume }];
    const message = `Cannot bind to requested volume "${name}": ${mismatch}`;
    return [{ do: 'event', event: { type: 'Warning', reason: 'VolumeMismatch', message } }, pending];
  }
  if (isBoundTo(volume, claim)) return [{ do: 'bind', volume }];
  const message = `volume "${name}" already bound to a different claim.`;
  return [{ do: 'event', event: { type: 'Warning', reason: 'FailedBinding', message } }, pending];
}

function planUnbound(w: ClaimWorld): readonly ClaimAction[] {
  const { claim } = w;
  const delayed = isDelayed(w.class);
  const volume = findVolume(claim, w.volumes, { isDelayed: delayed });
  if (volume !== undefined) return [{ do: 'bind', volume }];
  const wantsDefault =
    claim.spec.storageClassName === undefined &&
    claim.metadata.annotations?.[StorageAnnotations.betaClass] === undefined;
  if (wantsDefault && w.defaultClass !== undefined) return [{ do: 'setClass', name: w.defaultClass }];
  const pending: ClaimAction = { do: 'phase', phase: 'Pending' };
  const isPlaced = claim.metadata.annotations?.[StorageAnnotations.selectedNode] !== undefined;
  if (delayed && !isPlaced) return [{ do: 'event', event: waitingEvent(w.waitingPods()) }, pending];
  const mismatch = modeMismatch(w);
  if (mismatch !== undefined) return [{ do: 'event', event: mismatch }, pending];
  if (classOfClaim(claim) !== '') return [...provisioning(w), pending];
  const message = 'no persistent volumes available for this claim and no storage class is set';
  return [{ do: 'event', event: { type: 'Normal', reason: 'FailedBinding', message } }, pending];
}

function waitingEvent(pods: readonly string[]): ClaimEvent {
  if (pods.length === 0)
    return {
      type: 'Normal',
      reason: 'WaitForFirstConsumer',
      message: 'waiting for first consumer to be created before binding',
    };
  const message = `waiting for pod${pods.length > 1 ? 's' : ''} ${pods.join(',')} to be scheduled`;
  return { type: 'Normal', reason: 'WaitForPodScheduled', message };
}

/** A volume was made for this claim, but as a device instead of a file system, or the other way round. */
function modeMismatch({ claim, volumes }: ClaimWorld): ClaimEvent | undefined {
  for (const volume of volumes)
    if (isBoundTo(volume, claim) && !isSameMode(volume, claim)) {
      const message = `Cannot bind PersistentVolume "${volume.metadata.name}" to requested PersistentVolumeClaim due to incompatible volumeMode.`;
      return { type: 'Warning', reason: 'VolumeMismatch', message };
    }
  return undefined;
}

function provisioning({ claim, class: found }: ClaimWorld): readonly ClaimAction[] {
  const name = classOfClaim(claim);
  const failed = (message: string): ClaimAction => ({
    do: 'event',
    event: { type: 'Warning', reason: 'ProvisioningFailed', message },
  });
  if (found === undefined) return [failed(`storageclass.storage.k8s.io "${name}" not found`)];
  const { provisioner } = found;
  if (provisioner === NO_PROVISIONER) {
    const message = 'no persistent volumes available for this claim and no storage class is set';
    return [{ do: 'event', event: { type: 'Normal', reason: 'FailedBinding', message } }];
  }
  const message =
    `Waiting for a volume to be created either by the external provisioner '${provisioner}' or manually by the ` +
    'system administrator. If volume creation is delayed, please verify that the provisioner is running and correctly registered.';
  return [
    { do: 'setProvisioner', name: provisioner },
    { do: 'event', event: { type: 'Normal', reason: 'ExternalProvisioning', message } },
  ];
}
