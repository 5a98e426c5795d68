/**
 * Generic ephemeral volumes: a pod's volume from a template gets a claim of the pod's own, which goes with it by garbage
 * collection. Source: pkg/controller/volume/ephemeral/controller.go, KEP-1698.
 */
import {
  claimNameOf,
  type DeepReadonly,
  isOwnedByPod,
  Kinds,
  keyText,
  newControllerRef,
  type PersistentVolumeClaimSpec,
  type Pod,
  type Volume,
} from '#lib/api';
import { type Ctx, isKind, messageOf } from '#lib/base';
import type { Controller, Outcome } from '#lib/controller';
import { changesOf, DONE, mutableCopy, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';

const WORKERS = 4;

export function startEphemeralVolumes(deps: Deps): Controller {
  const { client, informers } = deps;
  const pods = informers.informer(Kinds.pods);
  const claims = informers.informer(Kinds.persistentvolumeclaims);
  const events = deps.recorder('ephemeral_volume');
  const make = async (pod: DeepReadonly<Pod>, volume: DeepReadonly<Volume>, c: Ctx): Promise<void> => {
    const namespace = pod.metadata.namespace ?? '';
    const name = claimNameOf(pod, volume) ?? '';
    const found = claims.get({ namespace, name });
    if (found !== undefined) {
      // Another's claim is never used: the pod waits until it is gone.
      if (isOwnedByPod(found, pod)) return;
      const message = `PVC ${namespace}/${name} was not created for pod ${namespace}/${pod.metadata.name} (pod is not owner)`;
      events.event(pod, 'Warning', 'FailedCreate', message);
      return;
    }
    const template = volume.ephemeral?.volumeClaimTemplate;
    if (template === undefined) return;
    const { labels, annotations } = template.metadata ?? {};
    const metadata = {
      name,
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
      ownerReferences: [newControllerRef(pod, Kinds.pods)],
    };
    try {
      await client.create(
        Kinds.persistentvolumeclaims,
        { metadata, spec: mutableCopy<PersistentVolumeClaimSpec>(template.spec) },
        c,
      );
    } catch (e) {
      if (isKind(e, 'AlreadyExists')) return;
      events.event(pod, 'Warning', 'FailedCreate', `Error creating PVC ${name}: ${messageOf(e)}`);
      throw e;
    }
  };
  return startController({
    ...deps,
    name: 'ephemeral-volume',
    workers: WORKERS,
    sources: [
      changesOf(pods, (previous, next) => {
        if (next === undefined || previous !== undefined) return [];
        return wantsClaims(next)
          ? [keyText({ namespace: next.metadata.namespace ?? '', name: next.metadata.name })]
          : [];
      }),
      changesOf(claims, (previous, next) => {
        const owner = previous?.metadata.ownerReferences?.find((o) => o.controller === true && o.kind === 'Pod');
        if (next !== undefined) return [];
        // A claim is gone whose name a waiting pod may want, or the pod's own that somebody deleted.
        const namespace = previous?.metadata.namespace ?? '';
        const wanting = pods
          .list(namespace)
          .filter((p) => p.metadata.name === owner?.name || wants(p, previous?.metadata.name));
        return wanting.map((p) => keyText({ namespace, name: p.metadata.name }));
      }),
    ],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const pod = pods.get(parseKeyText(key));
        if (pod === undefined || !wantsClaims(pod)) return DONE;
        for (const volume of pod.spec.volumes ?? []) if (volume.ephemeral !== undefined) await make(pod, volume, c);
        return DONE;
      },
    },
  });
}

function wantsClaims(pod: DeepReadonly<Pod>): boolean {
  const isOver =
    pod.metadata.deletionTimestamp !== undefined || ['Succeeded', 'Failed'].includes(pod.status?.phase ?? '');
  return !isOver && (pod.spec.volumes ?? []).some((v) => v.ephemeral !== undefined);
}

function wants(pod: DeepReadonly<Pod>, claim: string | undefined): boolean {
  return (
    wantsClaims(pod) && (pod.spec.volumes ?? []).some((v) => v.ephemeral !== undefined && claimNameOf(pod, v) === claim)
  );
}
