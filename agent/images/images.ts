/**
 * Images and container file systems of one node. Content is content-addressed below `$BERTH_HOME/content`; unpacked layers
 * are overlayfs snapshots named by chain id; a container's root is an overlay mount of them.
 */
import type { Ctx, Digest } from '#lib/base';
import type { UserNamespace } from '../user-namespaces/ranges.ts';

/** The fields of an OCI image config that running needs (image-spec config.md). */
export interface ImageConfig {
  readonly user: string;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly workingDir: string;
  readonly stopSignal: string;
  readonly volumes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface Image {
  /** As asked for, normalised: docker.io/library/busybox:latest */
  readonly reference: string;
  /** Digest of the image config: the image id. */
  readonly id: Digest;
  /** repository@sha256:… of the manifest. */
  readonly repoDigest: string;
  readonly sizeBytes: number;
  readonly config: ImageConfig;
  /** It was pulled by an agent that notes by what (access/access.ts). */
  readonly isTracked?: boolean | undefined;
}

export interface RegistryCredentials {
  readonly username: string;
  readonly password: string;
  /** A refresh token (Docker's `identitytoken`) instead of a password. */
  readonly identityToken?: string | undefined;
  /** A bearer token (Docker's `registrytoken`) that is shown as it is. */
  readonly registryToken?: string | undefined;
}

export interface PullOptions {
  /** Asked per registry host and repository path. */
  readonly credentials?: (registryHost: string, repository: string) => RegistryCredentials | undefined;
  readonly onProgress?: (p: PullStep) => void;
  /** A person asked for it: it stays until a person removes it, and its rights are not tracked. */
  readonly isKept?: boolean;
}

/** How far one layer is; `exists` comes alone, the others in this order. */
export interface PullStep {
  readonly layer: Digest;
  readonly phase: 'exists' | 'waiting' | 'downloading' | 'downloaded' | 'extracting' | 'extracted';
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface CollectRequest {
  readonly freeBytes: number;
  /** Inodes. Default 0. */
  readonly freeFiles?: number | undefined;
  readonly minAgeMs: number;
  readonly unusedForMs?: number | undefined;
}

/** Roots of image volumes are named so; ids of containers are hex digits. */
export const VOLUME_ROOT = 'volume-';
/** And those of steps of a build. */
export const BUILD_ROOT = 'build-';
/** And those of the engine's containers, which are no pod's. */
export const ENGINE_ROOT = 'engine-';

export interface Images {
  /** The local image, without any network. */
  find(reference: string, c: Ctx): Promise<Image | undefined>;
  /** Single flight per reference; layers in parallel, digests and sizes verified before anything becomes visible. */
  pull(reference: string, o: PullOptions, c: Ctx): Promise<Image>;
  list(c: Ctx): Promise<readonly Image[]>;
  /** Throws Conflict when a container uses it. */
  remove(reference: string, c: Ctx): Promise<void>;
  /** A writable root for `containerId`, mounted at the returned path. The same id again gives the same root, re-mounted if needed.
   * With a user namespace the image's ids are those inside it. */
  mountRoot(containerId: string, image: Image, c: Ctx, userNamespace?: UserNamespace): Promise<string>;
  /** Unmounts and removes the writable layer; gone is fine. */
  removeRoot(containerId: string, c: Ctx): Promise<void>;
  /** Container ids that have a root on disk, for the reconcile at start; those of image volumes, builds and the engine only by `prefix`. */
  roots(c: Ctx, prefix?: string): Promise<readonly string[]>;
  /**
   * Removes images that no root uses and nobody used for `minAgeMs`: all that were not used for `unusedForMs`, then the least
   * recently used ones until so much is free. Returns bytes freed.
   */
  collect(o: CollectRequest, c: Ctx): Promise<number>;
}
