import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, sha256, silentLogger } from '#lib/base';
import { readTar, type TarHeader } from '#lib/oci';
import { FolderTree } from './folder-tree.ts';
import { contentKey, isFolderAt, type LayerOptions, layerOf } from './layer.ts';
import { parseMode } from './modes.ts';
import { IgnorePatterns } from './patterns.ts';
import { select } from './select.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let source: string;
let root: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-layer-'));
  [source, root] = [join(folder, 'source'), join(folder, 'root')];
  await mkdir(source);
  await mkdir(root);
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function put(base: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(base, path, '..'), { recursive: true });
    await writeFile(join(base, path), text);
  }
}

function options(destination: string, more: Partial<LayerOptions> = {}): LayerOptions {
  return { below: new FolderTree(root), destination, owner: { uid: 0, gid: 0 }, mode: undefined, ...more };
}

async function copied(sources: string[], o: LayerOptions): Promise<(TarHeader & { text: string })[]> {
  const tree = new FolderTree(source);
  const intoFolder = sources.length > 1 || (await isFolderAt(o.below, o.destination, c));
  const selected = await select(tree, sources, { parents: false, exclude: IgnorePatterns.of([]), intoFolder }, c);
  const out: (TarHeader & { text: string })[] = [];
  for await (const { header, body } of readTar(await layerOf([{ tree, selected }], o, c))) {
    let text = '';
    for await (const piece of body) text += piece.toString();
    out.push({ ...header, text });
  }
  return out;
}

const shown = (entries: readonly (TarHeader & { text: string })[]): string[] =>
  entries.map((e) =>
    e.type === 'folder' ? `${e.path}/` : e.type === 'symlink' ? `${e.path} -> ${e.linkPath}` : `${e.path}=${e.text}`,
  );

describe('a layer of COPY', () => {
  test('a file to a path, into a folder that is there, and into one that is made', async () => {
    await put(source, { a: 'A' });
    await mkdir(join(root, 'bin'));
    expect(shown(await copied(['a'], options('/x')))).toEqual(['x=A']);
    expect(shown(await copied(['a'], options('/bin')))).toEqual(['bin/', 'bin/a=A']);
    expect(shown(await copied(['a'], options('/new/dir/')))).toEqual(['new/', 'new/dir/', 'new/dir/a=A']);
  });

  test('folders above keep their mode and owner; those that are made are root’s, 0755', async () => {
    await put(source, { a: 'A' });
    await mkdir(join(root, 'tmp'));
    await chmod(join(root, 'tmp'), 0o1777);
    const [tmp, made] = await copied(['a'], options('/tmp/sub/a'));
    expect(tmp).toMatchObject({ path: 'tmp', mode: 0o1777 });
    expect(made).toMatchObject({ path: 'tmp/sub', mode: 0o755, uid: 0 });
  });

  test('a folder’s contents are merged into what is there, and the folder keeps its mode', async () => {
    await put(source, { 'd/one': '1', 'd/sub/two': '2' });
    await put(root, { 'app/one': 'old', 'app/sub/other': '' });
    await chmod(join(root, 'app'), 0o700);
    const found = await copied(['d'], options('/app'));
    expect(shown(found)).toEqual(['app/', 'app/one=1', 'app/sub/', 'app/sub/two=2']);
    expect(found[0]).toMatchObject({ mode: 0o700 });
  });

  test('links in the destination are followed below the root', async () => {
    await put(source, { a: 'A' });
    await mkdir(join(root, 'run'));
    await symlink('/run', join(root, 'link'));
    await symlink('../../../../run', join(root, 'up'));
    expect(shown(await copied(['a'], options('/link/a')))).toEqual(['run/', 'run/a=A']);
    expect(shown(await copied(['a'], options('/up/')))).toEqual(['run/', 'run/a=A']);
    expect(shown(await copied(['a'], options('/../../etc/a')))).toEqual(['etc/', 'etc/a=A']);
  });

  test('owner and mode asked for; links have none; no time is later than the given one', async () => {
    await put(source, { 'd/run.sh': 'x', 'd/sub/f': '' });
    await chmod(join(source, 'd/run.sh'), 0o755);
    await symlink('run.sh', join(source, 'd/ln'));
    const o = options('/app', { owner: { uid: 7, gid: 8 }, mode: parseMode('go=rX'), latestMs: 5_000 });
    const found = await copied(['d'], o);
    expect(found.map((e) => [e.path, e.mode.toString(8), e.uid, e.gid])).toEqual([
      ['app', '755', 7, 8],
      ['app/ln', '777', 7, 8],
      ['app/run.sh', '755', 7, 8],
      ['app/sub', '755', 7, 8],
      ['app/sub/f', '644', 7, 8],
    ]);
    expect(new Set(found.map((e) => e.mtimeNs))).toEqual(new Set([5_000_000_000n]));
  });

  test('a folder over a file, and a file over a folder, are refused by their path', async () => {
    await put(source, { a: '', 'd/a/b': '' });
    await put(root, { 'x/a/c': '', f: '' });
    await expect(copied(['a'], options('/x/'))).rejects.toThrow(/cannot copy over a directory: \/x\/a/);
    await expect(copied(['a'], options('/f/g'))).rejects.toThrow(/cannot copy to \/f\/g: \/f is not a directory/);
    await expect(copied(['d'], options('/f'))).rejects.toThrow(
      /cannot copy to non-directory: \/f|\/f is not a directory/,
    );
  });

  test('a name that would be read as the removal of another file is refused', async () => {
    await put(source, { 'd/.wh.other': '' });
    await expect(copied(['d'], options('/app/'))).rejects.toThrow(/app\/\.wh\.other: names that begin with \.wh\./);
  });

  test('a key knows content, mode and owner as they land, and no time', async () => {
    await put(source, { a: 'A', b: 'A', d: 'D' });
    const tree = new FolderTree(source);
    const key = async (path: string, o = options('/x')): Promise<string> => {
      const [s] = await select(tree, [path], { parents: false, exclude: IgnorePatterns.of([]), intoFolder: false }, c);
      return s === undefined ? '' : contentKey({ tree, selected: [s] }, s, o, c);
    };
    expect(await key('a')).toBe(await key('b'));
    expect(await key('a')).not.toBe(await key('d'));
    expect(await key('a')).not.toBe(await key('a', options('/x', { owner: { uid: 1, gid: 0 } })));
    expect(await key('a', options('/x', { mode: parseMode('600') }))).not.toBe(await key('a'));
    await chmod(join(source, 'b'), 0o755);
    expect(await key('a')).not.toBe(await key('b'));
    expect(await tree.contentOf('a', c)).toBe(sha256('A'));
  });
});

describe('--chmod', () => {
  test.each([
    ['644', 0o755, false, 0o644],
    ['4755', 0o600, false, 0o4755],
    ['0', 0o755, false, 0],
    ['u+x', 0o644, false, 0o744],
    ['+x', 0o644, false, 0o755],
    ['a-w', 0o666, false, 0o444],
    ['u=rwX,go=rX', 0o600, false, 0o644],
    ['u=rwX,go=rX', 0o700, false, 0o755],
    ['u=rwX,go=rX', 0o600, true, 0o755],
    ['g=', 0o777, false, 0o707],
    ['u+s,g+s', 0o755, false, 0o6755],
    ['+t', 0o777, true, 0o1777],
    ['u+x-w', 0o644, false, 0o544],
  ])('%s of %o', (text, before, isFolder, after) => {
    expect(parseMode(text)(before, isFolder).toString(8)).toBe(after.toString(8));
  });

  test.each(['8', '77777', '999', 'x', 'u', 'z+x', 'u+q', '', ',', '-1'])('%j is refused', (text) => {
    expect(() => parseMode(text)).toThrow(/invalid chmod parameter/);
  });
});
