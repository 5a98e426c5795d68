/**
 * The attach-detach controller: VolumeAttachments for the volumes that a node's pods use, which the drivers' external-attacher
 * deals with, and `status.volumesAttached`. A key is a node.
 * Source: kubernetes pkg/controller/volume/attachdetach.
 */
import { type DeepReadonly, Kinds, type VolumeAttachment } from '#lib/api';
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { Controller, EventRecorder, Outcome } from '#lib/controller';
import { DONE, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { Observed } from './observe.ts';
import { type AttachAction, isShared, planAttachments, type WantedVolume } from './plan.ts';

const WORKERS = 4;

export function startAttachController(deps: Deps): Controller {
  const observed = new Observed(deps.informers);
  const told = new Told(deps.recorder('attachdetach-controller'));
  const making: Making = new Map();
  return startController({
    ...deps,
    name: 'attachdetach',
    workers: WORKERS,
    sources: observed.sources((attachment) => making.delete(attachment)),
    reconciler: {
      async reconcile(nodeName, c): Promise<Outcome> {
        const wanted = observed.wantedOn(nodeName);
        const attachments = observed.attachmentsTo(nodeName);
        const plan = planAttachments({
          ...{ nodeName, node: observed.node(nodeName), wanted, attachments },
          attachmentsOf: (name) => observed.attachmentsOf(name),
          unwantedSinceMs: (name) => told.unwantedSinceMs(name),
          nowMs: c.clock.now(),
        });
        told.waiting(nodeName, plan.waiting, c.clock.now());
        told.outcomes(wanted, attachments);
        for (const action of plan.actions) await act({ ...deps, told, making }, { nodeName, action }, c);
        return plan.afterMs === undefined ? DONE : { afterMs: plan.afterMs };
      },
    },
  });
}

/** Attachment -> its volume: those that are being made, and that the cache does not have yet. */
type Making = Map<string, string>;

async function act(
  { client, told, making }: Pick<Deps, 'client'> & { readonly told: Told; readonly making: Making },
  { nodeName, action }: { readonly nodeName: string; readonly action: AttachAction },
  c: Ctx,
): Promise<void> {
  switch (action.do) {
    case 'attach': {
      const { name, driver, wanted } = action;
      const source = { persistentVolumeName: wanted.volume.metadata.name };
      /* Nodes are looked at side by side: two must not both find it free. The next look says who has it. */
      if (!isShared(wanted.volume) && [...making.values()].includes(source.persistentVolumeName))
        throw new StatusError('Conflict', `volume ${source.persistentVolumeName} is being attached`);
      making.set(name, source.persistentVolumeName);
      told.attaching(name);
      try {
        const made = { metadata: { name }, spec: { attacher: driver, nodeName, source } };
        await client.create<VolumeAttachment>(Kinds.volumeattachments, made, c);
      } catch (e) {
        making.delete(name);
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

  outcomes(wanted: readonly WantedVolume[], attachments: readonly DeepReadonly<VolumeAttachment>[]): void {
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
