import { execFileSync } from 'node:child_process';
import { lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, hexOf, realClock, sha256, silentLogger } from '#lib/base';
import { MEDIA_TYPES } from '#lib/oci';
import type { FinishedImage, FinishedLayer } from '../node/finish.ts';
import { archiveOf, writeArchive } from './archive.ts';
import { checkDest } from './options.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let base: string;
let folder: string;
beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'berth-archive-'));
  folder = join(base, 'out');
  await mkdir(folder);
});
afterEach(() => rm(base, { recursive: true, force: true }));

async function layer(text: string, sizeBytes = text.length): Promise<FinishedLayer> {
  const digest = sha256(text);
  const path = join(base, hexOf(digest));
  await writeFile(path, text);
  return { blob: { mediaType: MEDIA_TYPES.ociLayer, digest, sizeBytes }, diffId: digest, path };
}

async function image(o: { layers?: readonly FinishedLayer[]; config?: Buffer } = {}): Promise<FinishedImage> {
  const config = o.config ?? Buffer.from('{"os":"linux"}');
  return {
    ...{ id: sha256(config), config, references: ['docker.io/library/app:1'] },
    layers: o.layers ?? [await layer('a layer')],
  };
}

const write = (i: FinishedImage, dest: string, o: { tar?: boolean; signal?: AbortSignal } = {}): Promise<void> =>
  writeArchive(i, { type: 'oci', dest, tar: o.tar ?? true }, { ...c, signal: o.signal ?? c.signal });

const entries = (path: string): string[] => execFileSync('tar', ['-tf', path]).toString().trim().split('\n');
/** Of a process that is no more. */
const GONE = 0x7fffffff;

describe('a tar', () => {
  test('replaces what stood there; nothing else is in the folder', async () => {
    const dest = join(folder, 'a.tar');
    await writeFile(dest, 'before');
    const made = await image();
    await write(made, dest);
    expect(entries(dest)).toEqual([
      ...['blobs/', 'blobs/sha256/', 'oci-layout', `blobs/sha256/${hexOf(sha256('a layer'))}`],
      `blobs/sha256/${hexOf(made.id)}`,
      ...[expect.stringMatching(/^blobs\/sha256\/[0-9a-f]{64}$/), 'index.json'],
    ]);
    expect(await readdir(folder)).toEqual(['a.tar']);
  });

  test.each<[string, () => Promise<FinishedLayer>, string]>([
    ['a layer that lost bytes', () => layer('short', 6), 'has 5 bytes, not 6'],
    ['a layer that has more bytes', () => layer('long', 3), 'has 4 bytes, not 3'],
    [
      'a layer that is gone',
      async () => ({ ...(await layer('x')), path: join(base, 'none') }),
      'was not written: ENOENT',
    ],
  ])('%s: what stood there stays, and no draft', async (_, bad, why) => {
    const dest = join(folder, 'a.tar');
    await writeFile(dest, 'before');
    await expect(write(await image({ layers: [await layer('good'), await bad()] }), dest)).rejects.toThrow(why);
    expect([await readFile(dest, 'utf8'), await readdir(folder)]).toEqual(['before', ['a.tar']]);
  });

  test('a cancel leaves what stood there, and no draft', async () => {
    const dest = join(folder, 'a.tar');
    await writeFile(dest, 'before');
    const stop = new AbortController();
    const writing = write(await image(), dest, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(writing).rejects.toThrow();
    expect([await readFile(dest, 'utf8'), await readdir(folder)]).toEqual(['before', ['a.tar']]);
  });

  test('a link is replaced, what it leads to is not touched; one that leads nowhere too', async () => {
    const victim = join(base, 'victim');
    await writeFile(victim, 'secret');
    for (const [name, target] of [
      ['a.tar', victim],
      ['b.tar', join(base, 'none')],
    ] as const) {
      await symlink(target, join(folder, name));
      await write(await image(), join(folder, name));
      expect((await lstat(join(folder, name))).isFile()).toBe(true);
    }
    expect(await readFile(victim, 'utf8')).toBe('secret');
    expect(await readdir(base)).not.toContain('none');
  });

  test('drafts that a killed process left of this archive go, others stay; a name may be as long as names are', async () => {
    const dest = join(folder, `${'n'.repeat(251)}.tar`);
    const draft = `.berth-archive-${hexOf(sha256(`${'n'.repeat(251)}.tar`)).slice(0, 12)}`;
    const stays = [`${draft}.${process.ppid}.1.tmp`, `.berth-archive-other.${GONE}.1.tmp`, `.x.${GONE}.1.tmp`];
    for (const name of [...stays, `${draft}.${GONE}.77.tmp`]) await writeFile(join(folder, name), '');
    await write(await image(), dest);
    expect((await readdir(folder)).sort()).toEqual([...stays, `${'n'.repeat(251)}.tar`].sort());
  });

  test('a pipe is refused and stays one', async () => {
    const dest = join(folder, 'pipe');
    execFileSync('mkfifo', [dest]);
    await expect(write(await image(), dest)).rejects.toThrow(`--output dest=${dest}: is no regular file`);
    expect((await lstat(dest)).isFIFO()).toBe(true);
  });

  test('of several images: each layer once, all names', async () => {
    const [shared, own] = [await layer('shared'), await layer('own')];
    const one = await image({ layers: [shared] });
    const two = { ...(await image({ layers: [shared, own], config: Buffer.from('{}') })), references: [] };
    const dest = join(folder, 'both.tar');
    const pieces: Uint8Array[] = [];
    for await (const piece of archiveOf([one, two], 'docker')) pieces.push(piece);
    await writeFile(dest, Buffer.concat(pieces));
    const names = entries(dest);
    expect(names.filter((n) => n.endsWith(hexOf(shared.diffId)))).toHaveLength(1);
    expect(new Set(names).size).toBe(names.length);
    const manifest = JSON.parse(execFileSync('tar', ['-xOf', dest, 'manifest.json']).toString());
    expect(manifest).toMatchObject([{ RepoTags: ['app:1'] }, { RepoTags: null }]);
    expect(manifest[1].Layers).toEqual([shared, own].map((l) => `blobs/sha256/${hexOf(l.diffId)}`));
  });
});

test('equal images give equal bytes; the index names each reference, with its tag', async () => {
  const layers = await Promise.all(['one', 'two', 'three'].map((text) => layer(text)));
  const references = ['docker.io/library/app:1', `reg.example/x@sha256:${'0'.repeat(64)}`];
  const made = { ...(await image({ layers })), references };
  const bytes = async (i: FinishedImage): Promise<Buffer> => {
    const pieces: Uint8Array[] = [];
    for await (const piece of archiveOf([i], 'oci')) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  const whole = await bytes(made);
  expect(await bytes({ ...made })).toEqual(whole);
  // Blobs stand in the order of their digests, whatever that of the layers.
  await writeFile(join(folder, 'a.tar'), whole);
  const blobs = entries(join(folder, 'a.tar')).filter((n) => layers.some((l) => n.endsWith(hexOf(l.diffId))));
  expect(blobs).toEqual([...blobs].sort());
  const index = JSON.parse(execFileSync('tar', ['-xOf', join(folder, 'a.tar'), 'index.json']).toString());
  expect(index.manifests.map((m: { annotations: object }) => m.annotations)).toEqual([
    { 'io.containerd.image.name': references[0], 'org.opencontainers.image.ref.name': '1' },
    { 'io.containerd.image.name': references[1] },
  ]);
});

describe('a folder', () => {
  const at = (l: FinishedLayer): string => join(folder, 'blobs/sha256', hexOf(l.diffId));

  test('is made, or written again; its index comes last', async () => {
    const made = await image();
    for (let i = 0; i < 2; i++) {
      await write(made, join(folder, 'new/layout'), { tar: false });
      expect((await readdir(join(folder, 'new/layout'))).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
      expect(await readdir(join(folder, 'new/layout/blobs/sha256'))).toHaveLength(3);
    }
    const bad = await image({ layers: [await layer('short', 6)], config: Buffer.from('{}') });
    const before = await readFile(join(folder, 'new/layout/index.json'), 'utf8');
    await expect(write(bad, join(folder, 'new/layout'), { tar: false })).rejects.toThrow('has 5 bytes, not 6');
    expect(await readFile(join(folder, 'new/layout/index.json'), 'utf8')).toBe(before);
    expect(await readdir(join(folder, 'new/layout/blobs/sha256'))).toHaveLength(3);
  });

  test('links that stand where files go are replaced: nothing is written through them', async () => {
    const l = await layer('what somebody wants in a file of root');
    const victims = ['a', 'b'].map((name) => join(base, name));
    for (const victim of victims) await writeFile(victim, 'secret');
    await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
    await symlink(victims[0] ?? '', at(l));
    await symlink(victims[1] ?? '', join(folder, 'index.json'));
    await write(await image({ layers: [l] }), folder, { tar: false });
    for (const victim of victims) expect(await readFile(victim, 'utf8')).toBe('secret');
    expect((await lstat(at(l))).isFile()).toBe(true);
    expect(await readFile(at(l), 'utf8')).toBe('what somebody wants in a file of root');
    expect((await lstat(join(folder, 'index.json'))).isFile()).toBe(true);
  });

  test('folders below it that are links are refused: nothing is written outside', async () => {
    const outside = join(base, 'outside');
    for (const [made, link] of [
      [outside, 'blobs'],
      [join(folder, 'blobs'), 'blobs/sha256'],
    ] as const) {
      await rm(join(folder, 'blobs'), { recursive: true, force: true });
      await mkdir(outside, { recursive: true });
      await mkdir(made, { recursive: true });
      await symlink(outside, join(folder, link));
      await expect(write(await image(), folder, { tar: false })).rejects.toThrow(`${link} there is no folder`);
      expect(await readdir(outside)).toEqual([]);
    }
  });

  test('documents are written byte for byte', async () => {
    const config = Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]);
    const made = await image({ config });
    await write(made, folder, { tar: false });
    expect(await readFile(join(folder, 'blobs/sha256', hexOf(made.id)))).toEqual(config);
  });

  test('drafts of a killed process go', async () => {
    await mkdir(join(folder, 'blobs/sha256'), { recursive: true });
    await writeFile(join(folder, `blobs/sha256/.${'a'.repeat(64)}.${GONE}.3.tmp`), '');
    await write(await image(), folder, { tar: false });
    expect((await readdir(join(folder, 'blobs/sha256'))).filter((n) => n.startsWith('.'))).toEqual([]);
  });
});

describe('where an archive may be put', () => {
  test.each<[string, boolean, string]>([
    ['none/a.tar', true, 'there is no folder'],
    ['file/a.tar', true, 'there is no folder'],
    ['sub', true, 'is a folder: name a file, or add tar=false'],
    ['new/', true, 'name a file'],
    ['.', true, 'name a file'],
    ['link-to-sub', true, 'is a folder'],
    ['link-to-null', true, 'is no regular file'],
    ['file', false, 'is no folder'],
    ['link-to-null', false, 'is no folder'],
  ])('%s, tar=%s: %s', async (name, tar, why) => {
    await writeFile(join(folder, 'file'), '');
    await mkdir(join(folder, 'sub'));
    await symlink('sub', join(folder, 'link-to-sub'));
    await symlink('/dev/null', join(folder, 'link-to-null'));
    await expect(checkDest({ dest: `${folder}/${name}`, tar })).rejects.toThrow(why);
  });

  test('not among devices and files of the kernel, whatever stands there', async () => {
    await symlink('/dev', join(folder, 'devices'));
    for (const dest of ['/dev/stdout', '/dev/null', '/proc/self/fd/9', `${folder}/devices/new.tar`])
      await expect(checkDest({ dest, tar: true })).rejects.toThrow('name a file elsewhere');
    await checkDest({ dest: '/device.tar', tar: true });
  });
});
