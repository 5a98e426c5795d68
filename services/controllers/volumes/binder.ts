/**
 * The persistentvolume-binder: keeps claims and volumes together. Two queues, because either side may change alone; both read
 * the informers and ask the API where "not there" would lose data.
 * Source: pkg/controller/volume/persistentvolume/pv_controller.go.
 */
import {
  claimNameOf,
  classOfClaim,
  type DeepReadonly,
  hostOfVolume,
  isConditionTrue,
  isLocalVolume,
  type KindRef,
  Kinds,
  type KubeObject,
  keyText,
  nodeHost,
  type ObjectKey,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  StorageAnnotations,
  type StorageClass,
} from '#lib/api';
import { type Ctx, isKind, Scope, timeText } from '#lib/base';
import type { Client } from '#lib/client';
import type { EventRecorder, Outcome, Source } from '#lib/controller';
import { changesOf, DONE, objectsOf, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { bind } from './bind.ts';
import { type ClaimAction, type ClaimWorld, planClaim } from './claim-plan.ts';
import { planVolume, type VolumeAction } from './volume-plan.ts';

const WORKERS = 4;

type Claim = DeepReadonly<PersistentVolumeClaim>;
type Volume = DeepReadonly<PersistentVolume>;

export function startVolumeBinder(deps: Deps): AsyncDisposable {
  const scope = new Scope('volume binder');
  const events = deps.recorder('persistentvolume-controller');
  scope.own(
    startController({ ...deps, name: 'persistentvolumeclaim-binder', workers: WORKERS, ...claimSide(deps, events) }),
  );
  scope.own(
    startController({ ...deps, name: 'persistentvolume-binder', workers: WORKERS, ...volumeSide(deps, events) }),
  );
  return scope;
}

interface Side {
  readonly sources: readonly Source[];
  readonly reconciler: { reconcile(key: string, c: Ctx): Promise<Outcome> };
}

function claimSide(deps: Deps, events: EventRecorder): Side {
  const { client, informers } = deps;
  const claims = informers.informer(Kinds.persistentvolumeclaims);
  const volumes = informers.informer(Kinds.persistentvolumes);
  const classes = informers.informer(Kinds.storageclasses);
  const pods = informers.informer(Kinds.pods);
  const unbound = (): string[] =>
    claims
      .list()
      .filter((x) => x.status?.phase !== 'Bound')
      .map(textOf);
  return {
    sources: [
      objectsOf(claims),
      changesOf(volumes, (previous, next) => [
        ...claimOf(previous),
        ...claimOf(next),
        // One that may be had concerns everybody who has none.
        ...(next?.status?.phase === 'Available' && previous?.status?.phase !== 'Available' ? unbound() : []),
      ]),
      changesOf(classes, unbound),
      changesOf(pods, (previous, next) =>
        isSameWait(previous, next) ? [] : [...waitedFor(previous), ...waitedFor(next)],
      ),
    ],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const claim = claims.get(parseKeyText(key));
        if (claim === undefined || claim.metadata.deletionTimestamp !== undefined) return DONE;
        const { volumeName } = claim.spec;
        const world: ClaimWorld = {
          claim,
          named: volumeName
            ? (volumes.get(clusterKey(volumeName)) ??
              (await find(client, Kinds.persistentvolumes, clusterKey(volumeName), c)))
            : undefined,
          volumes: volumes.list(),
          class: classes.get(clusterKey(classOfClaim(claim))),
          defaultClass: defaultClassOf(classes.list()),
          waitingPods: () =>
            pods
              .list(claim.metadata.namespace ?? '')
              .filter((p) => isWaiting(p) && waitedFor(p).includes(key))
              .map((p) => p.metadata.name),
        };
        for (const action of planClaim(world)) await actOnClaim(client, events, { claim, action }, c);
        return DONE;
      },
    },
  };
}

async function actOnClaim(
  client: Client,
  events: EventRecorder,
  { claim, action }: { claim: Claim; action: ClaimAction },
  c: Ctx,
): Promise<void> {
  switch (action.do) {
    case 'bind':
      return await bind(client, action.volume, claim, c);
    case 'event':
      return events.event(claim, action.event.type, action.event.reason, action.event.message);
    case 'phase': {
      if (claim.status?.phase === action.phase) return;
      /* Of this phase alone: what a status says of a volume goes with it. The write before it may have raised the revision. */
      const body = { status: { phase: action.phase, accessModes: null, capacity: null } };
      await client.patch(Kinds.persistentvolumeclaims, keyOfClaim(claim), { type: 'merge', body }, c, {
        subresource: 'status',
      });
      if (action.event !== undefined) events.event(claim, action.event.type, action.event.reason, action.event.message);
      return;
    }
    case 'setClass':
      await client.update(
        Kinds.persistentvolumeclaims,
        { ...claim, spec: { ...claim.spec, storageClassName: action.name } },
        c,
      );
      return;
    case 'setProvisioner': {
      const { provisioner, betaProvisioner } = StorageAnnotations;
      if (claim.metadata.annotations?.[provisioner] === action.name) return;
      const annotations = {
        ...claim.metadata.annotations,
        [betaProvisioner]: action.name,
        [provisioner]: action.name,
      };
      await client.update(Kinds.persistentvolumeclaims, { ...claim, metadata: { ...claim.metadata, annotations } }, c);
    }
  }
}

function volumeSide(deps: Deps, events: EventRecorder): Side {
  const { client, informers } = deps;
  const claims = informers.informer(Kinds.persistentvolumeclaims);
  const volumes = informers.informer(Kinds.persistentvolumes);
  const nodes = informers.informer(Kinds.nodes);
  return {
    sources: [
      objectsOf(volumes),
      changesOf(claims, (previous, next) => volumesOf(next ?? previous, volumes.list())),
      changesOf(nodes, (previous, next) => {
        if (previous !== undefined && next !== undefined && isReady(previous) === isReady(next)) return [];
        const node = next ?? previous;
        const name = node === undefined ? undefined : nodeHost(node);
        return volumes
          .list()
          .filter((v) => isLocalVolume(v) && hostOfVolume(v) === name)
          .map(textOf);
      }),
    ],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const volume = volumes.get(parseKeyText(key));
        if (volume === undefined) return DONE;
        const hostName = isLocalVolume(volume) ? hostOfVolume(volume) : undefined;
        const host = hostName === undefined ? undefined : nodes.list().find((n) => nodeHost(n) === hostName);
        const claim = await claimedBy(client, volume, claims.get(claimKey(volume)), c);
        const node = host === undefined ? 'absent' : isReady(host) ? 'ready' : 'notReady';
        let latest = volume;
        try {
          for (const action of planVolume({ volume, claim, node }))
            latest = await actOnVolume(client, events, { volume: latest, action }, c);
        } catch (e) {
          // Erased a moment ago: the cache is behind.
          if (!isKind(e, 'NotFound')) throw e;
        }
        return DONE;
      },
    },
  };
}

/** The volume as it is after. */
async function actOnVolume(
  client: Client,
  events: EventRecorder,
  { volume, action }: { volume: Volume; action: VolumeAction },
  c: Ctx,
): Promise<Volume> {
  switch (action.do) {
    case 'warn':
      events.event(volume, 'Warning', action.reason, action.message);
      return volume;
    case 'finalizers': {
      const finalizers = [...action.finalizers];
      const next = { ...volume, metadata: { ...volume.metadata, finalizers } };
      return await client.update(Kinds.persistentvolumes, next, c);
    }
    case 'unbind': {
      const { claimRef = {}, ...rest } = volume.spec;
      const { [StorageAnnotations.boundByController]: byController, ...annotations } =
        volume.metadata.annotations ?? {};
      const { uid: _, ...named } = claimRef;
      // Who named the claim by hand keeps it.
      const spec = byController === undefined ? { ...rest, claimRef: named } : rest;
      const next = { ...volume, metadata: { ...volume.metadata, annotations }, spec };
      return await client.update(Kinds.persistentvolumes, next, c);
    }
    case 'status': {
      const { reason: _, message: __, ...kept } = volume.status ?? {};
      const isSame = kept.phase === action.status.phase;
      const since = isSame ? {} : { lastPhaseTransitionTime: timeText(c.clock.now()) };
      const status = { ...kept, ...since, ...action.status };
      const next = await client.update(Kinds.persistentvolumes, { ...volume, status }, c, { subresource: 'status' });
      if (action.event !== undefined) events.event(volume, 'Warning', action.event.reason, action.event.message);
      return next;
    }
  }
}

/** The claim that the volume is bound to, by uid. Before it is called gone, the API is asked: its data would be deleted. */
async function claimedBy(
  client: Client,
  volume: Volume,
  cached: Claim | undefined,
  c: Ctx,
): Promise<Claim | undefined> {
  const uid = volume.spec.claimRef?.uid;
  if (!uid) return undefined;
  if (cached?.metadata.uid === uid) return cached;
  const found = await find(client, Kinds.persistentvolumeclaims, claimKey(volume), c);
  return found?.metadata.uid === uid ? found : undefined;
}

async function find<T extends KubeObject>(
  client: Client,
  kind: KindRef<T>,
  key: ObjectKey,
  c: Ctx,
): Promise<DeepReadonly<T> | undefined> {
  if (key.name === '') return undefined;
  try {
    return await client.get(kind, key, c);
  } catch (e) {
    if (isKind(e, 'NotFound')) return undefined;
    throw e;
  }
}

/** The newest of those that say so, as admission takes it for new claims. */
function defaultClassOf(classes: readonly DeepReadonly<StorageClass>[]): string | undefined {
  const { isDefaultClass, betaIsDefaultClass } = StorageAnnotations;
  const marked = classes.filter((x) =>
    [isDefaultClass, betaIsDefaultClass].some((a) => x.metadata.annotations?.[a] === 'true'),
  );
  const bornAt = (x: DeepReadonly<StorageClass>): string => x.metadata.creationTimestamp ?? '';
  const [first] = marked.toSorted((a, b) =>
    bornAt(a) === bornAt(b) ? (a.metadata.name < b.metadata.name ? -1 : 1) : bornAt(a) < bornAt(b) ? 1 : -1,
  );
  return first?.metadata.name;
}

function clusterKey(name: string): ObjectKey {
  return { namespace: '', name };
}

function claimKey(volume: Volume): ObjectKey {
  const { namespace = '', name = '' } = volume.spec.claimRef ?? {};
  return { namespace, name };
}

function keyOfClaim({ metadata }: Claim): ObjectKey {
  return { namespace: metadata.namespace ?? '', name: metadata.name };
}

function textOf({ metadata }: DeepReadonly<KubeObject>): string {
  return keyText({ namespace: metadata.namespace ?? '', name: metadata.name });
}

function claimOf(volume: Volume | undefined): string[] {
  return volume?.spec.claimRef?.name ? [keyText(claimKey(volume))] : [];
}

/** Volumes whose state a claim's decides. */
function volumesOf(claim: Claim | undefined, volumes: readonly Volume[]): string[] {
  if (claim === undefined) return [];
  const { name, namespace } = claim.metadata;
  return volumes
    .filter((v) => v.spec.claimRef?.name === name && v.spec.claimRef?.namespace === namespace)
    .map((v) => v.metadata.name);
}

function isReady(
  node: DeepReadonly<{ status?: { conditions?: { type: string; status: string }[] | undefined } | undefined }>,
): boolean {
  return isConditionTrue(node.status?.conditions, 'Ready');
}

function isWaiting(pod: DeepReadonly<Pod> | undefined): boolean {
  return pod !== undefined && !pod.spec.nodeName && pod.metadata.deletionTimestamp === undefined;
}

function isSameWait(previous: DeepReadonly<Pod> | undefined, next: DeepReadonly<Pod> | undefined): boolean {
  return isWaiting(previous) === isWaiting(next);
}

function waitedFor(pod: DeepReadonly<Pod> | undefined): string[] {
  if (pod === undefined) return [];
  const namespace = pod.metadata.namespace ?? '';
  return (pod.spec.volumes ?? []).flatMap((v) => {
    const name = claimNameOf(pod, v);
    return name === undefined ? [] : [keyText({ namespace, name })];
  });
}
