/**
 * `berth secrets rotate` where a KMS plugin seals: the plugin's own key is its operator's to rotate; here every value that is not
 * under the key it uses now is sealed anew (those of an older key_id, of the key file, and those never sealed). Led, like
 * rotations of the key file, and like those begun again by the next leader.
 */
import { type Ctx, isKind, messageOf } from '#lib/base';
import { decodeRecord, encodeRecord, type Fence, reseal, SEALING_PREFIX, type Store } from '#lib/store';
import type { KmsSealer } from './kms-sealer.ts';

/** Of the same form as the record of the key file, without keys. */
export const KMS_RECORD_KEY = `${SEALING_PREFIX}kms`;

const LOOK_MS = 1_000;

export interface KmsRotationOptions {
  readonly store: Store;
  readonly sealer: KmsSealer;
  readonly prefixes: readonly string[];
  readonly fence?: Fence | undefined;
}

export async function runKmsRotations(o: KmsRotationOptions, c: Ctx): Promise<void> {
  while (!c.signal.aborted) {
    try {
      await kmsRotationStep(o, c);
    } catch (e) {
      if (c.signal.aborted) return;
      c.log.warn({ err: messageOf(e) }, 'sealing Secrets anew was interrupted; trying again');
    }
    await c.clock.sleep(LOOK_MS, c.signal).catch(() => undefined);
  }
}

/** Whether it did something. */
export async function kmsRotationStep(o: KmsRotationOptions, c: Ctx): Promise<boolean> {
  const entry = await o.store.get(KMS_RECORD_KEY, c);
  const record = entry === undefined ? undefined : decodeRecord(entry.value);
  if (entry === undefined || record?.requestedAtMs === undefined) return false;
  const startedAtMs = c.clock.now();
  await o.sealer.refresh(c);
  const resealed = await reseal(o, c);
  const last = { keyId: o.sealer.keyId, retired: [], resealed, startedAtMs, endedAtMs: c.clock.now() };
  try {
    await o.store.update(
      KMS_RECORD_KEY,
      encodeRecord({ version: 1, keys: [], last }),
      entry.revision,
      { fence: o.fence },
      c,
    );
  } catch (e) {
    if (!isKind(e, 'Conflict') || e.reason === 'Fenced') throw e; // asked for again meanwhile: the next step does it
  }
  c.log.info({ resealed, keyId: last.keyId }, 'Secrets are sealed under the key of the KMS plugin');
  return true;
}
