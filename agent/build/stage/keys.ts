/**
 * Keys of the build cache: all that can change what a step makes, and nothing else. A parent is its chain id, so a step that
 * stands on a stage built anew to the same bytes finds what was made before. Times, names of stages, values of secrets and
 * contents of cache mounts are in no key. Source: ../shared/reference/dockerfile.md 6. Pure.
 */
import { type Digest, sha256 } from '#lib/base';
import type { RunMount } from '../dockerfile/mount.ts';

/** Changes when what the same key makes has changed. */
const VERSION = 1;

export interface RunKey {
  /** Chain id of what it stands on; '' of an empty root. */
  readonly parent: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
  readonly user: string;
  readonly workingDir: string;
  readonly network: string;
  readonly security: string;
  /** A mount of a stage or of the context: content key of what is mounted. */
  readonly mounts: readonly { readonly mount: RunMount; readonly content: string }[];
  /** Here-documents that are handed to the command. */
  readonly files: readonly { readonly name: string; readonly content: string }[];
}

export interface CopyKey {
  /** '' with --link: the layer stands on nothing. */
  readonly parent: string;
  readonly destination: string;
  /** Source paths as they land, with the content key of each. */
  readonly sources: readonly { readonly path: string; readonly content: string }[];
  readonly chown: string;
  readonly chmod: string;
  readonly options: readonly string[];
}

export function runKey(k: RunKey): Digest {
  const mounts = k.mounts
    // What is not in the layer and not in the process' sight by its bytes: secrets, agents, caches, memory.
    .map(({ mount: m, content }) => [
      m.type,
      m.target ?? '',
      m.source ?? '',
      m.readOnly,
      m.type === 'bind' ? content : '',
      m.env ?? '',
    ])
    .sort(byText);
  const files = k.files.map((f) => [f.name, f.content]);
  return keyOf('RUN', [
    k.parent,
    k.argv,
    [...k.env].sort(),
    k.user,
    k.workingDir,
    k.network,
    k.security,
    mounts,
    files,
  ]);
}

export function copyKey(k: CopyKey): Digest {
  const sources = k.sources.map((s) => [s.path, s.content]);
  return keyOf('COPY', [k.parent, k.destination, sources, k.chown, k.chmod, [...k.options].sort()]);
}

/** WORKDIR of a folder that is not there. */
export function folderKey(parent: string, path: string): Digest {
  return keyOf('WORKDIR', [parent, path]);
}

function keyOf(kind: string, parts: readonly unknown[]): Digest {
  return sha256(JSON.stringify([VERSION, kind, ...parts]));
}

function byText(a: unknown, b: unknown): number {
  const [x, y] = [JSON.stringify(a), JSON.stringify(b)];
  return x < y ? -1 : x > y ? 1 : 0;
}
