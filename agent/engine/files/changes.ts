/**
 * What a container has written, against its image: GET /containers/{id}/changes. Pure. The places that mounts need in a root were
 * made by the runtime and not by the container: where nothing else is in them they are no change.
 * Source: moby api/docs/v1.51.yaml (ContainerChanges); daemon/internal/layer (the "-init" layer, which hides them there).
 */
import type { UpperEntry } from '../../kernel/linux/container-files.ts';

export interface Change {
  readonly Path: string;
  /** 0 modified, 1 added, 2 removed. */
  readonly Kind: 0 | 1 | 2;
}

/** What the image has at a path. */
export type LowerKind = 'folder' | 'other' | undefined;

export interface PlacedEntry extends UpperEntry {
  readonly lower: LowerKind;
}

/** Folders before what is in them. Sorted by path. */
export function changesOf(entries: readonly PlacedEntry[], hidden: ReadonlySet<string>): readonly Change[] {
  const out: Change[] = [];
  for (const e of entries) {
    if (hidden.has(e.path)) continue;
    if (e.kind === 'removed') {
      if (e.lower !== undefined) out.push({ Path: e.path, Kind: 2 });
    } else out.push({ Path: e.path, Kind: e.lower === undefined ? 1 : 0 });
  }
  return out.sort((a, b) => (a.Path < b.Path ? -1 : a.Path > b.Path ? 1 : 0));
}

/** Paths that only mounts have made: targets that are new and empty, and folders above that hold nothing else of the container's. */
export function hiddenPaths(entries: readonly PlacedEntry[], targets: readonly string[]): ReadonlySet<string> {
  const places = new Set(targets.flatMap(withParents));
  const holdsOther = new Set<string>();
  const hidden = new Set<string>();
  // What is in a folder comes after it: from the end, each is known before the one above.
  for (const e of [...entries].reverse()) {
    const isPlace = places.has(e.path) && e.kind !== 'removed';
    const isEmpty = e.kind === 'folder' || e.kind === 'opaque' ? !holdsOther.has(e.path) : e.kind === 'empty';
    if (isPlace && isEmpty && (e.lower === undefined || (e.kind === 'folder' && hasHidden(hidden, e.path)))) {
      hidden.add(e.path);
      continue;
    }
    /* Where one is known those above it are. */
    for (let at = e.path.lastIndexOf('/'); at > 0; at = e.path.lastIndexOf('/', at - 1)) {
      const parent = e.path.slice(0, at);
      if (holdsOther.has(parent)) break;
      holdsOther.add(parent);
    }
  }
  return hidden;
}

function hasHidden(hidden: ReadonlySet<string>, folder: string): boolean {
  for (const path of hidden) if (path.startsWith(`${folder}/`)) return true;
  return false;
}

function withParents(path: string): readonly string[] {
  const clean = `/${path
    .split('/')
    .filter((p) => p !== '' && p !== '.')
    .join('/')}`;
  return [...parentsOf(clean), clean];
}

function parentsOf(path: string): readonly string[] {
  const out: string[] = [];
  for (let at = path.indexOf('/', 1); at > 0; at = path.indexOf('/', at + 1)) out.push(path.slice(0, at));
  return out;
}
