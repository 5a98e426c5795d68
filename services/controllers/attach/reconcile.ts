/**
 * The attach-detach controller: VolumeAttachments for the volumes that a node's pods use, which the drivers' external-attacher
 * deals with, and `status.volumesAttached`. A key is a node.
 * Source: kubernetes pkg/controller/volume/attachdetach.
 */
import {
  claimNameOf,
  type DeepReadonly,
  isAttachRequired,
  isFullyBound,
  Kinds,
  keyText,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type VolumeAttachment,
} from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Controller, EventRecorder, Outcome } from '#lib/controller';
import { changesOf, DONE, isEqualJson, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { BY_NODE, nodeIndex } from '../indexes.ts';
import { type AttachAction, planAttachments, type WantedVolume } from './plan.ts';

const WORKERS = 4;
const ATTACHMENT_BY_NODE = 'attachmentNode';
const ATTACHMENT_BY_VOLUME = 'attachmentVolume';
const POD_BY_CLAIM = 'claim';

type Attachment = DeepReadonly<VolumeAttachment>;

export function startAttachController(deps: Deps): Controller {
  const { informers } = deps;
  const pods = informers.informer(Kinds.pods, {
    indexes: { ...nodeIndex, [POD_BY_CLAIM]: claimKeysOf },
  });
  const claims = informers.informer(Kinds.persistentvolumeclaims);
  const volumes = informers.informer(Kinds.persistentvolumes);
  const nodes = informers.informer(Kinds.nodes);
  const drivers = informers.informer(Kinds.csidrivers);
  const attachments = informers.informer(Kinds.volumeattachments, {
    indexes: {
      [ATTACHMENT_BY_NODE]: (a) => [a.spec.nodeName],
      [ATTACHMENT_BY_VOLUME]: (a) => [a.spec.source.persistentVolumeName ?? ''],
    },
  });
  const nodesOfClaim = (key: string): string[] =>
    pods.byIndex(POD_BY_CLAIM, key).flatMap((p) => (p.spec.nodeName ? [p.spec.nodeName] : []));
  const nodesOfVolume = (v: DeepReadonly<PersistentVolume> | undefined): string[] =>
    v?.spec.claimRef === undefined
      ? []
      : nodesOfClaim(keyText({ namespace: v.spec.claimRef.namespace ?? '', name: v.spec.claimRef.name ?? '' }));
  const wantedOn = (nodeName: string): readonly WantedVolume[] => {
    const found = new Map<string, { volume: DeepReadonly<PersistentVolume>; pods: DeepReadonly<Pod>[] }>();
    for (const pod of pods.byIndex(BY_NODE, nodeName)) {
      if (hasEnded(pod)) continue;
      for (const key of claimKeysOf(pod)) {
        const [namespace = '', name = ''] = key.split('/');
        const volume = volumeOf(claims.get({ namespace, name }), (v) => volumes.get({ namespace: '', name: v }));
        const driver = volume?.spec.csi?.driver;
        if (volume === undefined || driver === undefined) continue;
        if (!isAttachRequired(drivers.get({ namespace: '', name: driver }))) continue;
        const known = found.get(volume.metadata.name) ?? { volume, pods: [] };
        known.pods.push(pod);
        found.set(volume.metadata.name, known);
      }
    }
    return [...found.values()];
  };
  const told = new Told(deps.recorder('attachdetach-controller'));
  return startController({
    ...deps,
    name: 'attachdetach',
    workers: WORKERS,
    sources: [
      changesOf(pods, (previous, next) =>
        claimKeysOf(next ?? previous).length === 0 || isSamePod(previous, next) ? [] : nodesOf(previous, next),
      ),
      changesOf(claims, (previous, next) =>
        previous?.spec.volumeName === next?.spec.volumeName ? [] : nodesOfClaim(textOf(next ?? previous)),
      ),
      changesOf(volumes, (previous, next) =>
        isEqualJson(previous?.spec, next?.spec) ? [] : [...nodesOfVolume(previous), ...nodesOfVolume(next)],
      ),
      changesOf(nodes, (previous, next) =>
        isEqualJson(factsOf(previous), factsOf(next)) ? [] : [(next ?? previous)?.metadata.name ?? ''],
      ),
      changesOf(attachments, (previous, next) => {
        const { spec } = next ?? previous ?? {};
        const others = volumes.get({ namespace: '', name: spec?.source.persistentVolumeName ?? '' });
        return [spec?.nodeName ?? '', ...nodesOfVolume(others)];
      }),
      changesOf(drivers, () => nodes.list().map((n) => n.metadata.name)),
    ],
    reconciler: {
      async reconcile(nodeName, c): Promise<Outcome> {
        const wanted = wantedOn(nodeName);
        const own = attachments.byIndex(ATTACHMENT_BY_NODE, nodeName);
        const plan = planAttachments({
          nodeName,
          node: nodes.get({ namespace: '', name: nodeName }),
          wanted,
          attachments: own,
          attachmentsOf: (name) => attachments.byIndex(ATTACHMENT_BY_VOLUME, name),
          unwantedSinceMs: (name) => told.unwantedSinceMs(name),
          nowMs: c.clock.now(),
        });
        told.waiting(nodeName, plan.waiting, c.clock.now());
        told.outcomes(wanted, own);
        for (const action of plan.actions) await act(deps, told, { nodeName, action }, c);
        return plan.afterMs === undefined ? DONE : { afterMs: plan.afterMs };
      },
    },
  });
}

async function act(
  { client }: Deps,
  told: Told,
  { nodeName, action }: { readonly nodeName: string; readonly action: AttachAction },
  c: Ctx,
): Promise<void> {
  switch (action.do) {
    case 'attach': {
      const { name, driver, wanted } = action;
      const source = { persistentVolumeName: wanted.volume.metadata.name };
      told.attaching(name);
      try {
        const made = { metadata: { name }, spec: { attacher: driver, nodeName, source } };
        await client.create<VolumeAttachment>(Kinds.volumeattachments, made, c);
      } catch (e) {
        // The cache is behind.
        if (!isKind(e, 'AlreadyExists')) throw e;
      }
      return;
    }
    case 'detach': {
      const { name, uid } = action.attachment.metadata;
      try {
        await client.delete(Kinds.volumeattachments, { namespace: '', name }, { preconditions: { uid } }, c);
      } catch (e) {
        if (!isKind(e, 'NotFound') && !isKind(e, 'Conflict')) throw e;
      }
      return;
    }
    case 'report': {
      const volumesAttached = action.names.map((name) => ({ name, devicePath: '' }));
      const body = { status: { volumesAttached: volumesAttached.length === 0 ? null : volumesAttached } };
      const key = { namespace: '', name: nodeName };
      await client.patch(Kinds.nodes, key, { type: 'merge', body }, c, { subresource: 'status' });
      return;
    }
    case 'refuse':
      told.refused(action.wanted);
  }
}

/** What users have been told, once each, and since when a node is waited for. In memory: told again by the next leader. */
class Told {
  readonly #events: EventRecorder;
  readonly #attaching = new Set<string>();
  readonly #errors = new Map<string, string>();
  readonly #refused = new Set<string>();
  readonly #waiting = new Map<string, Map<string, number>>();

  constructor(events: EventRecorder) {
    this.#events = events;
  }

  attaching(name: string): void {
    this.#attaching.add(name);
  }

  unwantedSinceMs(name: string): number | undefined {
    for (const ofNode of this.#waiting.values()) if (ofNode.has(name)) return ofNode.get(name);
    return undefined;
  }

  waiting(nodeName: string, names: readonly string[], nowMs: number): void {
    const before = this.#waiting.get(nodeName);
    if (names.length === 0) this.#waiting.delete(nodeName);
    else this.#waiting.set(nodeName, new Map(names.map((n) => [n, before?.get(n) ?? nowMs])));
  }

  refused({ volume, pods }: WantedVolume): void {
    const { name } = volume.metadata;
    for (const pod of pods) {
      const id = `${name} ${pod.metadata.uid ?? ''}`;
      if (this.#refused.has(id)) continue;
      this.#refused.add(id);
      this.#events.event(
        pod,
        'Warning',
        'FailedAttachVolume',
        `Multi-Attach error for volume "${name}" Volume is already exclusively attached to one node and can't be attached to another`,
      );
    }
  }

  outcomes(wanted: readonly WantedVolume[], attachments: readonly Attachment[]): void {
    for (const { volume, pods } of wanted) {
      const name = volume.metadata.name;
      const attachment = attachments.find((a) => a.spec.source.persistentVolumeName === name);
      if (attachment === undefined) continue;
      for (const pod of pods) this.#refused.delete(`${name} ${pod.metadata.uid ?? ''}`);
      const id = attachment.metadata.name;
      const { attached, attachError } = attachment.status ?? {};
      if (attached === true) {
        this.#errors.delete(id);
        if (!this.#attaching.delete(id)) continue;
        const message = `AttachVolume.Attach succeeded for volume "${name}" `;
        for (const pod of pods) this.#events.event(pod, 'Normal', 'SuccessfulAttachVolume', message);
      } else if (attachError !== undefined && this.#errors.get(id) !== attachError.time) {
        this.#errors.set(id, attachError.time ?? '');
        const message = `AttachVolume.Attach failed for volume "${name}" : ${attachError.message ?? ''}`;
        for (const pod of pods) this.#events.event(pod, 'Warning', 'FailedAttachVolume', message);
      }
    }
  }
}

function volumeOf(
  claim: DeepReadonly<PersistentVolumeClaim> | undefined,
  find: (name: string) => DeepReadonly<PersistentVolume> | undefined,
): DeepReadonly<PersistentVolume> | undefined {
  if (claim === undefined || !isFullyBound(claim)) return undefined;
  const volume = find(claim.spec.volumeName ?? '');
  return volume?.spec.claimRef?.uid === claim.metadata.uid ? volume : undefined;
}

function claimKeysOf(pod: DeepReadonly<Pod> | undefined): readonly string[] {
  if (pod === undefined) return [];
  const namespace = pod.metadata.namespace ?? '';
  return (pod.spec.volumes ?? []).flatMap((v) => {
    const name = claimNameOf(pod, v);
    return name === undefined ? [] : [keyText({ namespace, name })];
  });
}

function textOf(o: DeepReadonly<PersistentVolumeClaim> | undefined): string {
  return keyText({ namespace: o?.metadata.namespace ?? '', name: o?.metadata.name ?? '' });
}

function hasEnded({ status }: DeepReadonly<Pod>): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}

function isSamePod(a: DeepReadonly<Pod> | undefined, b: DeepReadonly<Pod> | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  return a.metadata.uid === b.metadata.uid && a.spec.nodeName === b.spec.nodeName && hasEnded(a) === hasEnded(b);
}

function nodesOf(...pods: readonly (DeepReadonly<Pod> | undefined)[]): string[] {
  return pods.flatMap((p) => (p?.spec.nodeName ? [p.spec.nodeName] : []));
}

/** Of a node, what decides. */
function factsOf(node: DeepReadonly<Node> | undefined): object | undefined {
  if (node === undefined) return undefined;
  const { volumesInUse, volumesAttached, conditions } = node.status ?? {};
  const isReady = conditions?.find((x) => x.type === 'Ready')?.status;
  return {
    volumesInUse: volumesInUse ?? [],
    volumesAttached: volumesAttached ?? [],
    isReady,
    taints: node.spec?.taints ?? [],
  };
}
