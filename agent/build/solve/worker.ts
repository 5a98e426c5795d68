/**
 * What the solver asks of the node: images, layers, containers of RUN steps. ../node/worker.ts does it; tests have one in memory.
 * Every call is safe to repeat; what a call has begun is undone when it fails or is cancelled.
 */
import type { Ctx, Digest } from '#lib/base';
import type { JsonObject, Platform } from '#lib/oci';
import type { SourceTree } from '../context/tree.ts';
import type { CacheSharing } from '../dockerfile/mount.ts';
import type { SshAgent } from '../ssh/agent.ts';

/** A layer that is unpacked on this node. */
export interface Layer {
  readonly diffId: Digest;
  /** Of this layer on those below it. */
  readonly chainId: Digest;
  /** Of its tar. */
  readonly bytes: number;
}

export interface BaseImage {
  readonly id: Digest;
  readonly platform: Platform;
  /** The config document, as it is. */
  readonly config: JsonObject;
  /** Base first. */
  readonly layers: readonly Layer[];
}

export type StepMount =
  | {
      readonly kind: 'bind';
      readonly target: string;
      readonly tree: SourceTree;
      /** In the tree, links followed. */
      readonly source: string;
      readonly readOnly: boolean;
    }
  | {
      readonly kind: 'cache';
      readonly target: string;
      readonly id: string;
      readonly sharing: CacheSharing;
      readonly readOnly: boolean;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
      /** What a new one begins with. */
      readonly seed: { readonly tree: SourceTree; readonly source: string } | undefined;
    }
  | { readonly kind: 'tmpfs'; readonly target: string; readonly sizeBytes: number | undefined }
  | {
      readonly kind: 'secret';
      readonly target: string;
      readonly data: Uint8Array;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    }
  | {
      readonly kind: 'ssh';
      readonly target: string;
      readonly agent: SshAgent;
      readonly mode: number;
      readonly uid: number;
      readonly gid: number;
    };

export interface StepProcess {
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly network: 'default' | 'none' | 'host';
  readonly mounts: readonly StepMount[];
  /** What it prints, both outputs in the order of their arrival. More is read when it has been taken. */
  readonly onOutput: (data: Buffer) => void | Promise<void>;
  /** Its container's id, when it is about to run. */
  readonly onContainer: (id: string) => void;
}

/** A writable root over layers. Disposing takes it away. */
export interface StepRoot extends AsyncDisposable {
  /** Its files, while no process runs in it. */
  readonly tree: SourceTree;
  /** Numeric ids of `user[:group]` by the root's own files. Throws Invalid for a name that is not there. */
  owner(text: string, c: Ctx): Promise<{ readonly uid: number; readonly gid: number }>;
  /** Runs to its end, all its processes. The exit code. */
  run(p: StepProcess, c: Ctx): Promise<number>;
  /** What was written becomes a layer over `below`; the root cannot be used any more. */
  commit(o: { readonly latestMs: number | undefined }, c: Ctx): Promise<Layer>;
}

export interface BuildWorker {
  /** By a reference as users write it; pulled when it is not here, or with `pull`. NotFound names it. */
  image(name: string, o: { readonly platform: Platform; readonly pull: boolean }, c: Ctx): Promise<BaseImage>;
  hasLayer(layer: Pick<Layer, 'chainId' | 'diffId'>): Promise<boolean>;
  /** The layer that a cache from elsewhere has for this key over `below`; undefined: none has, or it cannot be had. */
  imported(
    key: Digest,
    below: readonly Layer[],
    c: Ctx,
  ): Promise<{ readonly layer: Layer; readonly builtMs: number } | undefined>;
  root(layers: readonly Layer[], c: Ctx): Promise<StepRoot>;
  /** A tar as a layer over `below`. */
  addLayer(below: readonly Layer[], tar: AsyncIterable<Uint8Array>, c: Ctx): Promise<Layer>;
  /** For ADD: what is in the archive (tar, plain or compressed) at `path`; undefined: it is none. Gone with the build. */
  archive(tree: SourceTree, path: string, c: Ctx): Promise<SourceTree | undefined>;
  /** For ADD: a file that was fetched; gone with the build. */
  fetch(url: string, o: { readonly checksum: string | undefined }, c: Ctx): Promise<FetchedFile>;
}

export interface FetchedFile {
  readonly tree: SourceTree;
  /** In the tree. */
  readonly path: string;
}
