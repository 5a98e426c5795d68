/**
 * The StorageClass `local`, which lets a claim work in a fresh cluster: made once. That it was made is noted on the namespace
 * kube-system, so that whoever deletes the class, or takes the mark of the default from it, is not overruled; it is marked as
 * the default only where no other class is. Without the note, or the class, it is made again: see docs/howto/keep-data.md.
 */
import { Kinds, LOCAL_PROVISIONER, StorageAnnotations, type StorageClass } from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Client } from '#lib/client';

export const CLASS_NAME = 'local';
export const MADE_ANNOTATION = 'berth.dev/local-storage-class';
const SYSTEM = { namespace: '', name: 'kube-system' };

export async function ensureStorageClass(client: Client, c: Ctx): Promise<void> {
  const system = await client.get(Kinds.namespaces, SYSTEM, c);
  if (system.metadata.annotations?.[MADE_ANNOTATION] !== undefined) return;
  const { items } = await client.list(Kinds.storageclasses, {}, c);
  const { isDefaultClass, betaIsDefaultClass } = StorageAnnotations;
  const hasDefault = items.some((x) =>
    [isDefaultClass, betaIsDefaultClass].some((a) => x.metadata.annotations?.[a] === 'true'),
  );
  if (!items.some((x) => x.metadata.name === CLASS_NAME)) {
    try {
      await client.create(Kinds.storageclasses, localClass(!hasDefault), c);
    } catch (e) {
      // Another server was faster.
      if (!isKind(e, 'AlreadyExists')) throw e;
    }
  }
  const body = { metadata: { annotations: { [MADE_ANNOTATION]: 'made' } } };
  await client.patch(Kinds.namespaces, SYSTEM, { type: 'merge', body }, c);
}

function localClass(isDefault: boolean): Omit<StorageClass, 'apiVersion' | 'kind'> {
  const annotations = { [StorageAnnotations.isDefaultClass]: String(isDefault) };
  return {
    metadata: { name: CLASS_NAME, annotations },
    provisioner: LOCAL_PROVISIONER,
    reclaimPolicy: 'Delete',
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: true,
  };
}
