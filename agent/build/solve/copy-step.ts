/** COPY and ADD: a layer made of files from the context, from another stage or image, from the Dockerfile or from a URL. */
import { type Ctx, StatusError } from '#lib/base';
import { InlineTree } from '../context/inline-tree.ts';
import { contentKey, isFolderAt, type LayerOptions, layerOf, type Part } from '../context/layer.ts';
import { type ModeChange, parseMode } from '../context/modes.ts';
import { IgnorePatterns } from '../context/patterns.ts';
import { type Selected, select } from '../context/select.ts';
import { NO_FILES, type SourceTree } from '../context/tree.ts';
import { at, DockerfileError, invalid, StepFailed } from '../dockerfile/error.ts';
import type { AddInstruction, CopyInstruction } from '../dockerfile/instructions.ts';
import { copyKey } from '../stage/keys.ts';
import { workingDirOf } from '../stage/metadata.ts';
import { cachedLayer } from './cached.ts';
import type { StepResult } from './options.ts';
import type { StageView } from './stage.ts';
import type { StepRoot } from './worker.ts';

type Copy = CopyInstruction | AddInstruction;

/** An instruction with its variables put in. */
interface Wanted {
  readonly i: Copy;
  readonly sources: readonly string[];
  readonly destination: string;
  readonly chown: string;
  readonly chmod: string;
  readonly mode: ModeChange | undefined;
  readonly exclude: IgnorePatterns;
  readonly excluded: readonly string[];
}

const URL_SOURCE = /^https?:\/\//i;
const GIT_SOURCE = /^(git@|git:\/\/|ssh:\/\/)|^https?:\/\/[^#]*\.git(#|$)/i;

export async function copyStep(i: Copy, view: StageView, c: Ctx): Promise<{ result: StepResult; history: string }> {
  const { worker, latestMs } = view.build.options;
  const w = at(i.lines, () => wanted(i, view));
  const lexical = w.destination.endsWith('/') || w.sources.length + i.inline.length > 1;
  const parts = await partsOf(w, lexical, view, c);
  const shown: LayerOptions = { ...layerBase(w, view), below: NO_FILES, owner: ownerShown(w) };
  const sources: { path: string; content: string }[] = [];
  for (const part of parts)
    for (const s of part.selected) sources.push({ path: s.landing, content: await contentKey(part, s, shown, c) });
  const options = [
    ...w.excluded.map((e) => `exclude=${e}`),
    ...(i.parents ? ['parents'] : []),
    ...(i.link ? ['link'] : []),
  ];
  const parent = view.layers.at(-1)?.chainId ?? '';
  const { destination, chown, chmod } = w;
  const key = copyKey({ parent, destination, sources, chown, chmod, options: [i.kind, ...options] });
  const make = async (own: Ctx): ReturnType<Parameters<typeof cachedLayer>[0]['make']> => {
    await using root = await worker.root(view.layers, own);
    const below = i.link ? NO_FILES : root.tree;
    const intoFolder = lexical || (await isFolderAt(below, w.destination, own));
    const landed = intoFolder === lexical ? parts : await partsOf(w, intoFolder, view, own);
    const o: LayerOptions = { ...layerBase(w, view), below, owner: await ownerOf(w, root, own), latestMs };
    return await worker.addLayer(view.layers, await layerOf(landed, o, own), own);
  };
  const title = i.original.trim();
  const result = await cachedLayer({ key, title, make: (own) => named(i, () => make(own)) }, view, c);
  return { result, history: `${title} # buildkit` };
}

function wanted(i: Copy, view: StageView): Wanted {
  const { scope, state } = view;
  const expand = (text: string | undefined): string => (text === undefined ? '' : scope.expand(text));
  const sources = i.sources.map(expand);
  const written = expand(i.destination);
  if (sources.length + i.inline.length > 1 && !/(^|\/)\.{0,2}$/.test(written))
    throw invalid(
      `When using ${i.kind} with more than one source file, the destination must be a directory and end with a /`,
    );
  const isFolder = /(^|\/)\.{0,2}$/.test(written);
  const destination = workingDirOf(state.config, written === '' ? '.' : written);
  const chmod = expand(i.chmod);
  const excluded = i.exclude.map(expand);
  for (const source of sources) refuseSource(i, source);
  return {
    i,
    sources,
    destination: isFolder && destination !== '/' ? `${destination}/` : destination,
    chown: expand(i.chown),
    chmod,
    mode: chmod === '' ? undefined : parseMode(chmod),
    exclude: IgnorePatterns.of(excluded),
    excluded,
  };
}

function refuseSource(i: Copy, source: string): void {
  if (GIT_SOURCE.test(source))
    throw invalid(`${source}: git repositories are no sources here; fetch it before, or in a RUN`);
  if (URL_SOURCE.test(source) && i.kind === 'COPY') throw invalid("source can't be a URL for COPY");
}

function layerBase(w: Wanted, view: StageView): Omit<LayerOptions, 'below' | 'owner'> {
  return { destination: w.destination, mode: w.mode, latestMs: view.build.options.latestMs };
}

/** Copies of another stage keep their owner; all else is root's, unless it is said. */
function keepsOwner(w: Wanted): boolean {
  return w.i.kind === 'COPY' && w.i.from !== undefined && w.chown === '';
}

/** For the key: names stand for the ids that the parent, which is in the key, gives them. */
function ownerShown(w: Wanted): LayerOptions['owner'] {
  return keepsOwner(w) ? undefined : { uid: 0, gid: 0 };
}

async function ownerOf(w: Wanted, root: StepRoot, c: Ctx): Promise<LayerOptions['owner']> {
  if (w.chown === '') return ownerShown(w);
  const numbers = /^(\d{1,10})(?::(\d{1,10}))?$/.exec(w.chown);
  if (numbers !== null) return { uid: Number(numbers[1]), gid: Number(numbers[2] ?? numbers[1]) };
  return root.owner(w.chown, c);
}

async function partsOf(w: Wanted, intoFolder: boolean, view: StageView, c: Ctx): Promise<readonly Part[]> {
  const { i } = w;
  const parts: Part[] = [];
  const local = w.sources.filter((s) => !(i.kind === 'ADD' && URL_SOURCE.test(s)));
  if (local.length > 0) {
    const tree = await treeOf(i, view);
    const o = { parents: i.parents, exclude: w.exclude, intoFolder };
    const selected = await named(i, () => select(tree, local, o, c));
    const archives = i.kind === 'ADD' && i.unpack !== false ? directFiles(selected) : [];
    const unpacked = await named(i, () => unpack(w, archives, tree, view, c));
    parts.push({ tree, selected: selected.filter((s) => !unpacked.has(s)) }, ...unpacked.values());
  }
  for (const url of w.sources.filter((s) => !local.includes(s))) parts.push(await fetched(w, url, intoFolder, view, c));
  if (i.inline.length > 0) parts.push(await inlinePart(i, intoFolder, view));
  return parts;
}

async function treeOf(i: Copy, view: StageView): Promise<SourceTree> {
  if (i.kind === 'COPY' && i.from !== undefined) return (await view.build.source(i.from, i, view.planned.index)).tree;
  const { context } = view.build.options;
  if (context === undefined) throw new DockerfileError(i.lines, `${i.kind}: this build was sent no context`);
  return context;
}

/** Files that a source names itself, not those in a folder that one names. */
function directFiles(selected: readonly Selected[]): readonly Selected[] {
  const folders = selected.filter((s) => s.entry.type === 'folder').map((s) => (s.source === '' ? '' : `${s.source}/`));
  return selected.filter((s) => s.entry.type === 'file' && !folders.some((f) => s.source.startsWith(f)));
}

/** What archives hold goes into the destination, which is a folder then. */
async function unpack(
  w: Wanted,
  files: readonly Selected[],
  tree: SourceTree,
  view: StageView,
  c: Ctx,
): Promise<ReadonlyMap<Selected, Part>> {
  const out = new Map<Selected, Part>();
  const o = { parents: false, exclude: IgnorePatterns.of([]), intoFolder: true };
  for (const s of files) {
    const archive = await view.build.options.worker.archive(tree, s.source, c);
    if (archive !== undefined)
      out.set(s, { tree: archive, selected: await select(archive, ['.'], o, c), keepsOwners: w.chown === '' });
  }
  return out;
}

/** A file of mode 0600, named after the URL's last part where the destination is a folder. */
async function fetched(w: Wanted, url: string, intoFolder: boolean, view: StageView, c: Ctx): Promise<Part> {
  const checksum = w.i.kind === 'ADD' ? w.i.checksum : undefined;
  const { tree, path } = await named(w.i, () => view.build.options.worker.fetch(url, { checksum }, c));
  const entry = await tree.stat(path, c);
  const name = new URL(url).pathname.replace(/^.*\//, '');
  if (intoFolder && name === '')
    throw new DockerfileError(w.i.lines, `cannot determine filename for source ${url}: name the destination`);
  const selected: Selected[] = entry === undefined ? [] : [{ source: path, entry, landing: intoFolder ? name : '' }];
  return { tree, selected };
}

async function inlinePart(i: Copy, intoFolder: boolean, view: StageView): Promise<Part> {
  const files = i.inline.map((f) => ({
    name: f.name,
    content: f.expand ? at(i.lines, () => view.scope.expandText(f.content)) : f.content,
  }));
  const tree = new InlineTree(files);
  const selected: Selected[] = [];
  for (const { name } of files) {
    const entry = await tree.stat(name);
    if (entry !== undefined) selected.push({ source: name, entry, landing: intoFolder ? name : '' });
  }
  return { tree, selected };
}

/** What goes wrong is told with the instruction's lines. */
async function named<T>(i: Copy, fn: () => Promise<T>): Promise<T> {
  try {
    return await fn();
  } catch (e) {
    if (e instanceof DockerfileError || !(e instanceof StatusError) || e.kind === 'Cancelled') throw e;
    throw new StepFailed(i.lines, e.message, e);
  }
}
