/** What seals and opens values for the sealing store. One of: the key file (local-sealer.ts), a KMS plugin (lib/kms). */
import type { Ctx } from '#lib/base';
import type { Fence } from '../store.ts';

export interface SealedValue {
  readonly value: Buffer;
  /** The write may happen only while this holds: the key has not been replaced meanwhile. */
  readonly guard?: Fence | undefined;
}

export interface Sealer {
  /** Throws Unavailable while there is no key that may seal. */
  seal(storeKey: string, value: Buffer, c: Ctx): Promise<SealedValue>;
  /** Throws Internal when no key opens it, with the remedy. */
  open(storeKey: string, sealed: Buffer, c: Ctx): Promise<Buffer>;
  /** Whether `seal` would use the same key today. */
  isCurrent(storeKey: string, sealed: Buffer): boolean;
  /** A guard was lost: learns which key seals now. */
  refresh(c: Ctx): Promise<void>;
}
