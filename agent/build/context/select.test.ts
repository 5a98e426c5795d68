import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, sha256, silentLogger } from '#lib/base';
import { type TarHeader, tarBytes, tarHeader } from '#lib/oci';
import { IgnorePatterns } from './patterns.ts';
import { select } from './select.ts';
import { TarTree } from './tar-tree.ts';
import { resolveIn } from './tree.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-context-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

type Item = readonly [path: string, data?: string | undefined, more?: Partial<TarHeader>];

async function* pieces(bytes: Buffer, length: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

async function tree(items: readonly Item[], bytesMax = 1 << 20): Promise<TarTree> {
  const entries = items.map(([path, text, more]) => {
    const data = Buffer.from(text ?? '');
    const type = text === undefined ? 'folder' : 'file';
    return { header: tarHeader({ type, path, sizeBytes: data.length, ...more }), data };
  });
  return TarTree.receive(pieces(await tarBytes(entries), 700), { path: join(folder, 'data'), bytesMax }, c);
}

const link = (path: string, linkPath: string): Item => [path, '', { type: 'symlink', linkPath, sizeBytes: 0 }];
const hard = (path: string, linkPath: string): Item => [path, '', { type: 'hardlink', linkPath, sizeBytes: 0 }];

async function text(t: TarTree, path: string): Promise<string> {
  const out: Uint8Array[] = [];
  for await (const piece of t.read(path)) out.push(piece);
  return Buffer.concat(out).toString();
}

describe('a context in a tar', () => {
  test('files are read and known by their content; folders are sorted by bytes; ids are root’s', async () => {
    const t = await tree([
      ['d/b', 'bee', { mode: 0o755, uid: 1000 }],
      ['d/a', ''],
      ['d/é', 'x'.repeat(3_000)],
    ]);
    expect(await t.list('d')).toEqual(['a', 'b', 'é']);
    expect(await text(t, 'd/b')).toBe('bee');
    expect(await text(t, 'd/a')).toBe('');
    expect(await text(t, 'd/é')).toHaveLength(3_000);
    expect(await t.contentOf('d/b')).toBe(sha256('bee'));
    expect(await t.contentOf('d/a')).toBe(sha256(''));
    expect(await t.stat('d/b')).toMatchObject({ type: 'file', mode: 0o755, uid: 0, sizeBytes: 3 });
    expect(await t.stat('nope')).toBeUndefined();
  });

  test('a hard link is the file it names; a later entry replaces an earlier one; a folder keeps what is in it', async () => {
    const t = await tree([['a', 'one'], hard('b', 'a'), ['a', 'two'], ['d/x', '1'], ['d', undefined, { mode: 0o700 }]]);
    expect([await text(t, 'a'), await text(t, 'b')]).toEqual(['two', 'one']);
    expect(await t.list('d')).toEqual(['x']);
    expect(await t.stat('d')).toMatchObject({ mode: 0o700 });
  });

  test('names that lead out end at the root, and links too', async () => {
    const t = await tree([
      ['../../a', 'a'],
      ['/b', 'b'],
      link('out', '../../../etc'),
      ['etc/passwd', 'mine'],
      link('abs', '/etc/passwd'),
    ]);
    expect(await t.list('')).toEqual(['a', 'abs', 'b', 'etc', 'out']);
    expect(await resolveIn(t, 'out/passwd', { last: true }, c)).toBe('etc/passwd');
    expect(await resolveIn(t, 'abs', { last: true }, c)).toBe('etc/passwd');
    expect(await resolveIn(t, 'abs', { last: false }, c)).toBe('abs');
    expect(await resolveIn(t, '../../x', { last: true }, c)).toBe('x');
  });

  test('links in a circle, links to nothing, a tar that is cut, one that is too large: refused, and nothing is left', async () => {
    const t = await tree([link('a', 'b'), link('b', 'a')]);
    await expect(resolveIn(t, 'a', { last: true }, c)).rejects.toThrow(/too many levels of symbolic links/);
    await t[Symbol.asyncDispose]();
    await expect(tree([hard('a', 'nope')])).rejects.toThrow(/"a" is a link to "nope", which is not there/);
    await expect(tree([['a', 'x'.repeat(100)]], 99)).rejects.toThrow(/more than the 99 bytes/);
    const cut = (
      await tarBytes([{ header: tarHeader({ type: 'file', path: 'a', sizeBytes: 2_000 }), data: Buffer.alloc(2_000) }])
    ).subarray(0, 1_000);
    await expect(
      TarTree.receive(pieces(cut, 99), { path: join(folder, 'data'), bytesMax: 1 << 20 }, c),
    ).rejects.toThrow(/ends in the middle/);
    expect(await readdir(folder)).toEqual([]);
  });

  test('what .dockerignore takes out is gone with all that is in it', async () => {
    const t = await tree([
      ['d/a', '1'],
      ['e', '2'],
    ]);
    t.remove('d');
    expect(await t.list('')).toEqual(['e']);
  });
});

describe('what COPY takes', () => {
  const items: Item[] = [
    ['a.txt', 'a'],
    ['b.txt', 'b'],
    ['d/one', '1'],
    ['d/sub/two', '2'],
    ['d/sub/three.md', '3'],
    ['e/sub/four', '4'],
    link('ln', 'd/sub'),
    link('d/up', '../a.txt'),
    ['[x]', 'brackets'],
  ];

  const landings = async (
    sources: string[],
    o: { parents?: boolean; exclude?: string[]; intoFolder?: boolean } = {},
  ): Promise<string[]> => {
    const options = {
      parents: o.parents ?? false,
      exclude: IgnorePatterns.of(o.exclude ?? []),
      intoFolder: o.intoFolder ?? false,
    };
    const found = await select(await tree(items), sources, options, c);
    return found.map((s) => s.landing);
  };

  test.each<[string[], object, string[]]>([
    [['a.txt'], {}, ['']],
    [['a.txt'], { intoFolder: true }, ['a.txt']],
    [['./a.txt', '/b.txt'], { intoFolder: true }, ['a.txt', 'b.txt']],
    [['../../a.txt'], { intoFolder: true }, ['a.txt']],
    [['*.txt'], { intoFolder: true }, ['a.txt', 'b.txt']],
    [['d'], {}, ['', 'one', 'sub', 'sub/three.md', 'sub/two', 'up']],
    [['d/'], {}, ['', 'one', 'sub', 'sub/three.md', 'sub/two', 'up']],
    [['d/sub'], {}, ['', 'three.md', 'two']],
    [['*/sub'], {}, ['', 'three.md', 'two', '', 'four']],
    [['d/*'], { intoFolder: true }, ['one', '', 'three.md', 'two', 'up']],
    [['ln'], {}, ['', 'three.md', 'two']],
    [['ln/two'], { intoFolder: true }, ['two']],
    [['d/up'], { intoFolder: true }, ['up']],
    [['[[]x]'], { intoFolder: true }, ['[x]']],
    [['nothing*'], {}, []],
    [['d'], { exclude: ['sub'] }, ['', 'one', 'up']],
    [['d'], { exclude: ['**/*.md'] }, ['', 'one', 'sub', 'sub/two', 'up']],
    [['d'], { exclude: ['sub', '!sub/two'] }, ['', 'one', 'sub', 'sub/two', 'up']],
    [['*.txt'], { exclude: ['b*'], intoFolder: true }, ['a.txt']],
    [['d/sub/two'], { parents: true }, ['d', 'd/sub', 'd/sub/two']],
    [['*/sub/t*'], { parents: true }, ['d', 'd/sub', 'd/sub/three.md', 'd/sub/two']],
    [['d/./sub/two'], { parents: true }, ['sub', 'sub/two']],
    [['d/sub'], { parents: true }, ['d', 'd/sub', 'd/sub/three.md', 'd/sub/two']],
  ])('%j %j: %j', async (sources, o, expected) => {
    expect(await landings(sources, o)).toEqual(expected);
  });

  test('links inside a folder are taken as links, one that is named is followed', async () => {
    const t = await tree(items);
    const o = { parents: false, exclude: IgnorePatterns.of([]), intoFolder: false };
    const inside = await select(t, ['d'], o, c);
    expect(inside.find((s) => s.landing === 'up')?.entry).toMatchObject({ type: 'symlink', linkPath: '../a.txt' });
    expect(await select(t, ['d/up'], o, c)).toMatchObject([{ source: 'a.txt', entry: { type: 'file' } }]);
  });

  test.each([['nope'], ['d/nope'], ['a.txt/x']])('%s is not there', async (source) => {
    await expect(landings([source])).rejects.toThrow(`"/${source}": not found`);
  });
});
