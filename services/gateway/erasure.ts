/**
 * A node has erased the data of a released volume: its object goes. Guarded by uid, by what the volume is now, and by its host:
 * a node speaks of its own volumes only. Repeatable: the finalizer goes after the deletion is marked, so that nobody puts it
 * back, and what is gone already is success.
 */
import { hostOfVolume, isToBeErased, Kinds, PROVISIONER_FINALIZER } from '#lib/api';
import { type Ctx, isKind, messageOf, toStatusError } from '#lib/base';
import type { Client } from '#lib/client';
import type { Author, ReportResult } from './report.ts';
import { isHostOfVolumes } from './volume-host.ts';

const ATTEMPTS_MAX = 5;

export async function volumeErased(
  { name, uid }: { readonly name: string; readonly uid: string },
  { nodeName, client, isFenced }: Author,
  c: Ctx,
): Promise<ReportResult> {
  const key = { namespace: '', name };
  for (let attempt = 0; ; attempt++) {
    try {
      if (isFenced()) return 'Conflict';
      const volume = await client.get(Kinds.persistentvolumes, key, c);
      if (volume.metadata.uid !== uid) return '';
      if (!isToBeErased(volume) || !(await isHost(client, nodeName, hostOfVolume(volume), c))) return 'Forbidden';
      // Of the revision that was looked at: by now it may be wanted again.
      const { deletionTimestamp, resourceVersion } = volume.metadata;
      if (deletionTimestamp === undefined)
        await client.delete(Kinds.persistentvolumes, key, { preconditions: { uid, resourceVersion } }, c);
      const marked = await client.get(Kinds.persistentvolumes, key, c);
      if (marked.metadata.uid !== uid) return '';
      const finalizers = (marked.metadata.finalizers ?? []).filter((f) => f !== PROVISIONER_FINALIZER);
      await client.update(Kinds.persistentvolumes, { ...marked, metadata: { ...marked.metadata, finalizers } }, c);
      return '';
    } catch (e) {
      if (isKind(e, 'NotFound')) return '';
      if (isKind(e, 'Conflict') && e.reason !== 'Fenced' && attempt < ATTEMPTS_MAX) continue;
      if (!c.signal.aborted) c.log.warn({ volume: name, err: messageOf(e) }, 'an erased volume was not removed');
      return toStatusError(e).kind;
    }
  }
}

async function isHost(client: Client, nodeName: string, host: string | undefined, c: Ctx): Promise<boolean> {
  const { items } = await client.list(Kinds.nodes, {}, c);
  return isHostOfVolumes(nodeName, host, items);
}
