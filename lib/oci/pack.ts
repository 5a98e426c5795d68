/**
 * Packs files into a one-layer OCI image, deterministically: the same input gives the same digests on every machine.
 */
import type { Digest } from '#lib/base';
import { StatusError } from '#lib/base';

export type PackEntry =
  | { readonly type: 'file'; readonly path: string; readonly data: Uint8Array; readonly mode?: number }
  | { readonly type: 'folder'; readonly path: string; readonly mode?: number }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
  | { readonly type: 'hardlink'; readonly path: string; readonly target: string };

export interface PackOptions {
  /** Paths without a leading slash; parents are added; any order. Owner is 0:0, times are `createdMs`. */
  readonly entries: readonly PackEntry[];
  readonly config: {
    readonly user?: string;
    readonly env?: readonly string[];
    readonly entrypoint?: readonly string[];
    readonly cmd?: readonly string[];
    readonly workingDir?: string;
    readonly exposedPorts?: readonly string[];
    readonly labels?: Readonly<Record<string, string>>;
    readonly stopSignal?: string;
  };
  /** Default: this machine's. */
  readonly architecture?: string;
  /** Wall time written everywhere. Default 0 (1970). */
  readonly createdMs?: number;
}

/** Blobs by digest; `manifest` is one of them. */
export interface PackedImage {
  readonly manifestDigest: Digest;
  readonly manifestMediaType: string;
  readonly configDigest: Digest;
  readonly blobs: ReadonlyMap<Digest, Uint8Array>;
}

export function packImage(o: PackOptions): PackedImage {
  throw new StatusError('Unimplemented', `pack of ${o.entries.length} entries`);
}
