/**
 * What a COPY or ADD takes, and where it lands: patterns, folders' contents, `--parents`, `--exclude`. Nothing is copied here.
 * Source: Dockerfile reference, "COPY"; buildkit solver/llbsolver/file, fsutil/copy.
 */
import { type Ctx, StatusError } from '#lib/base';
import { type IgnorePatterns, PathPattern } from './patterns.ts';
import { clipped, type Entry, joined, resolveIn, type SourceTree } from './tree.ts';

export interface Selected {
  /** In the source tree; links in it are followed. */
  readonly source: string;
  readonly entry: Entry;
  /** Below the destination; '' is the destination itself. */
  readonly landing: string;
}

export interface SelectOptions {
  /** `--parents`: paths are kept below the destination, from `/./` on. */
  readonly parents: boolean;
  readonly exclude: IgnorePatterns;
  /** The destination is a folder: it ends in a slash, is one already, or there are several sources. */
  readonly intoFolder: boolean;
}

const WILDCARD = /[*?[\\]/;
/** Of one instruction: more is a mistake, or an attack. */
const SELECTED_MAX = 5_000_000;

/** In the order of the sources, folders before what is in them. Throws NotFound that names a source without a match. */
export async function select(
  tree: SourceTree,
  sources: readonly string[],
  o: SelectOptions,
  c: Ctx,
): Promise<readonly Selected[]> {
  const out = new Selection();
  for (const written of sources) {
    const [pivot, pattern] = o.parents ? pivotOf(written) : ['', written];
    const base = await resolveIn(tree, clipped(pivot), { last: true }, c);
    const found = await matches(tree, base, clipped(pattern), c);
    if (found.length === 0 && !WILDCARD.test(written))
      throw new StatusError('NotFound', `failed to calculate checksum: "/${clipped(written)}": not found`);
    for (const path of found) await take(tree, base, path, o, out, c);
  }
  return out.all;
}

class Selection {
  readonly all: Selected[] = [];
  readonly #landings = new Set<string>();

  add(s: Selected): void {
    if (this.all.length >= SELECTED_MAX)
      throw new StatusError('TooLarge', `more than ${SELECTED_MAX} files in one instruction`);
    this.all.push(s);
    this.#landings.add(s.landing);
  }

  has(landing: string): boolean {
    return this.#landings.has(landing);
  }
}

/** `a/./b`: what stands before is not kept. */
function pivotOf(written: string): readonly [string, string] {
  const at = written.indexOf('/./');
  return at < 0 ? ['', written] : [written.slice(0, at), written.slice(at + 3)];
}

/** Paths below `base` that the pattern names, parts without wildcards taken as they are. */
async function matches(tree: SourceTree, base: string, pattern: string, c: Ctx): Promise<readonly string[]> {
  let found = [''];
  for (const part of pattern === '' ? [] : pattern.split('/')) {
    const next: string[] = [];
    for (const folder of found) {
      const real = await resolveIn(tree, joined(base, folder), { last: true }, c);
      if (!WILDCARD.test(part)) {
        if ((await tree.stat(joined(real, part), c)) !== undefined) next.push(joined(folder, part));
        continue;
      }
      const wanted = new PathPattern(part, { deep: false });
      if ((await tree.stat(real, c))?.type !== 'folder') continue;
      for (const name of await tree.list(real, c)) if (wanted.matches(name)) next.push(joined(folder, name));
    }
    found = next;
  }
  return found;
}

async function take(
  tree: SourceTree,
  base: string,
  path: string,
  o: SelectOptions,
  out: Selection,
  c: Ctx,
): Promise<void> {
  const real = await resolveIn(tree, joined(base, path), { last: true }, c);
  const entry = await tree.stat(real, c);
  if (entry === undefined)
    throw new StatusError('NotFound', `failed to calculate checksum: "/${joined(base, path)}": not found`);
  const name = path.slice(path.lastIndexOf('/') + 1);
  if (entry.type !== 'folder') {
    if (o.exclude.ignores(o.parents ? path : name)) return;
    if (o.parents) await takeParents(tree, base, path, out, c);
    out.add({ source: real, entry, landing: o.parents ? path : o.intoFolder ? name : '' });
    return;
  }
  if (o.parents) await takeParents(tree, base, path, out, c);
  // The folder itself is the destination, which keeps what it is when it is there.
  out.add({ source: real, entry, landing: o.parents ? path : '' });
  await takeContents(tree, { real, landing: o.parents ? path : '', shown: o.parents ? path : '' }, o, out, c);
}

interface Folder {
  readonly real: string;
  readonly landing: string;
  /** What `--exclude` sees. */
  readonly shown: string;
}

async function takeContents(tree: SourceTree, f: Folder, o: SelectOptions, out: Selection, c: Ctx): Promise<void> {
  for (const name of await tree.list(f.real, c)) {
    c.signal.throwIfAborted();
    const [source, landing, shown] = [joined(f.real, name), joined(f.landing, name), joined(f.shown, name)];
    const entry = await tree.stat(source, c);
    if (entry === undefined) continue;
    const isExcluded = o.exclude.ignores(shown);
    if (entry.type !== 'folder') {
      if (!isExcluded) out.add({ source, entry, landing });
      continue;
    }
    if (isExcluded && !o.exclude.readmits) continue;
    const before = out.all.length;
    if (!isExcluded) out.add({ source, entry, landing });
    await takeContents(tree, { real: source, landing, shown }, o, out, c);
    // A folder that is left out but holds what was taken back is needed for it.
    if (isExcluded && out.all.length > before) out.all.splice(before, 0, { source, entry, landing });
  }
}

/** The folders above `path`, each once. */
async function takeParents(tree: SourceTree, base: string, path: string, out: Selection, c: Ctx): Promise<void> {
  for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
    const parent = path.slice(0, at);
    if (out.has(parent)) continue;
    const source = await resolveIn(tree, joined(base, parent), { last: true }, c);
    const entry = await tree.stat(source, c);
    if (entry !== undefined) out.add({ source, entry, landing: parent });
  }
}
