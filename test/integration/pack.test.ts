/**
 * Folders packed as layers by the helper: against our own reader and against unpacking, of a plain folder and of a real
 * overlay's upper folder. Needs root.
 */
import { execFileSync } from 'node:child_process';
import { createReadStream, readdirSync, readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  lstat,
  lutimes,
  mkdir,
  mkdtemp,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Ctx, realClock, sha256, silentLogger } from '#lib/base';
import { readTar, type TarHeader, tarBytes, tarHeader } from '#lib/oci';
import type { Kernel } from '../../agent/kernel/kernel.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let kernel: Kernel;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-pack-'));
  kernel = await openKernel({ helperPath: resolve('dist/berth-helper'), environment: process.env });
});
afterAll(async () => {
  await kernel[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function fresh(): Promise<string> {
  const path = join(folder, String(++count));
  await mkdir(path);
  return path;
}

async function pack(root: string, o: { overlay?: boolean; latestMs?: number } = {}) {
  const file = join(folder, `tar-${++count}`);
  const packed = await kernel.packFolder({ root, file, overlay: o.overlay ?? false, latestMs: o.latestMs }, c);
  return { file, ...packed };
}

async function entries(file: string): Promise<(TarHeader & { data: Buffer })[]> {
  const out: (TarHeader & { data: Buffer })[] = [];
  for await (const { header, body } of readTar(createReadStream(file) as AsyncIterable<Buffer>)) {
    const pieces: Buffer[] = [];
    for await (const piece of body) pieces.push(piece);
    out.push({ ...header, data: Buffer.concat(pieces) });
  }
  return out;
}

/** All that a layer holds of a tree. */
async function described(root: string, at = ''): Promise<string[]> {
  const out: string[] = [];
  for (const name of readdirSync(join(root, at)).sort()) {
    const path = join(root, at, name);
    const s = await lstat(path, { bigint: true });
    const data = s.isFile() ? sha256(readFileSync(path)) : s.isSymbolicLink() ? await readlink(path) : String(s.rdev);
    out.push([join(at, name), s.mode, s.uid, s.gid, s.mtimeNs / 1_000_000_000n, s.nlink, data].join(' '));
    if (s.isDirectory()) out.push(...(await described(root, join(at, name))));
  }
  return out;
}

/** One of everything, with names, owners and sizes that ustar has no room for. */
async function everything(root: string): Promise<void> {
  const long = 'n'.repeat(120);
  await mkdir(join(root, 'd', long), { recursive: true });
  await writeFile(join(root, 'd', long, `${long}é`), 'deep');
  await writeFile(join(root, 'a'), Buffer.alloc(700_000, 7));
  await writeFile(join(root, 'a.b'), 'x'.repeat(512));
  await writeFile(join(root, 'empty'), '');
  await link(join(root, 'a'), join(root, 'z-hard'));
  await symlink('a', join(root, 'soft'));
  await symlink(`/${long}`, join(root, 'soft-long'));
  await chown(join(root, 'a.b'), 3_000_000, 3_000_001);
  await chmod(join(root, 'a.b'), 0o4751);
  await utimes(join(root, 'empty'), -5, -5);
  await lutimes(join(root, 'soft'), 1_000, 1_000);
  execFileSync('mknod', [join(root, 'dev'), 'c', '1', '3']);
  execFileSync('mkfifo', [join(root, 'fifo')]);
}

test('a folder packed and unpacked again is the same, and its digest is that of the tar', async () => {
  const root = await fresh();
  await everything(root);
  const packed = await pack(root);
  expect(packed.digest).toBe(sha256(readFileSync(packed.file)));
  expect(packed.bytes).toBe(readFileSync(packed.file).length);
  expect(packed.entries).toBe((await entries(packed.file)).length);
  const again = await fresh();
  await kernel.unpackBlob({ root: again, path: packed.file, bytesMax: 1 << 24, entriesMax: 100 }, c);
  expect(await described(again)).toEqual(await described(root));
  expect((await pack(again)).digest).toBe(packed.digest);
});

test('attributes that an image holds are kept, sorted; those of overlays are not', async () => {
  const attributes = new Map([
    ['user.z', Buffer.from('one')],
    ['user.a', Buffer.from('two\nlines=3')],
    ['security.capability', Buffer.from('0100000200040000000000000000000000000000', 'hex')],
  ]);
  const given = await tarBytes([
    {
      header: tarHeader({ type: 'folder', path: 'd', xattrs: new Map([['user.of-folder', Buffer.from('yes')]]) }),
      data: Buffer.alloc(0),
    },
    { header: tarHeader({ type: 'file', path: 'f', xattrs: attributes }), data: Buffer.alloc(0) },
  ]);
  const [root, path] = [await fresh(), join(folder, 'given.tar')];
  await writeFile(path, given);
  await kernel.unpackBlob({ root, path, bytesMax: 1 << 20, entriesMax: 100 }, c);
  const found = await entries((await pack(root, { latestMs: 0 })).file);
  expect(found.map((e) => [...e.xattrs])).toEqual([
    [['user.of-folder', Buffer.from('yes')]],
    [...attributes].sort(([a], [b]) => (a < b ? -1 : 1)),
  ]);
});

test('entries of a folder stand in the order of their bytes, a folder before what is in it', async () => {
  const root = await fresh();
  for (const name of ['b', 'a', 'é', 'B', 'a.b', 'aa']) await writeFile(join(root, name), '');
  await mkdir(join(root, 'a.d'));
  await writeFile(join(root, 'a.d', 'x'), '');
  expect((await entries((await pack(root)).file)).map((e) => e.path)).toEqual([
    'B',
    'a',
    'a.b',
    'a.d',
    'a.d/x',
    'aa',
    'b',
    'é',
  ]);
});

test('times are whole seconds, and none is later than the given one', async () => {
  const root = await fresh();
  await writeFile(join(root, 'old'), '');
  await writeFile(join(root, 'new'), '');
  await utimes(join(root, 'old'), 1_000.75, 1_000.75);
  await utimes(join(root, 'new'), 2_000, 2_000);
  const times = (await entries((await pack(root, { latestMs: 1_500_000 })).file)).map((e) => [e.path, e.mtimeNs]);
  expect(times).toEqual([
    ['new', 1_500_000_000_000n],
    ['old', 1_000_000_000_000n],
  ]);
});

test('what was removed and replaced on an overlay becomes whiteouts and opaque folders', async () => {
  const [lower, upper, work, target] = [await fresh(), await fresh(), await fresh(), await fresh()];
  await mkdir(join(lower, 'gone'));
  await writeFile(join(lower, 'gone', 'x'), '');
  await mkdir(join(lower, 'replaced'));
  await writeFile(join(lower, 'replaced', 'old'), '');
  await mkdir(join(lower, 'kept'));
  await writeFile(join(lower, 'kept', 'stays'), '');
  await writeFile(join(lower, 'kept', 'removed'), '');
  await writeFile(join(lower, 'changed'), 'old');
  await kernel.mounts.overlay({ lower: [lower], upper, work, target }, c);
  try {
    await rm(join(target, 'gone'), { recursive: true });
    await rm(join(target, 'replaced'), { recursive: true });
    await mkdir(join(target, 'replaced'));
    await writeFile(join(target, 'replaced', 'new'), '');
    await rm(join(target, 'kept', 'removed'));
    await writeFile(join(target, 'changed'), 'new');
  } finally {
    await kernel.mounts.unmount(target, c);
  }
  const packed = await pack(upper, { overlay: true });
  const found = await entries(packed.file);
  expect(found.map((e) => `${e.path}${e.type === 'folder' ? '/' : ''}`)).toEqual([
    '.wh.gone',
    'changed',
    'kept/',
    'kept/.wh.removed',
    'replaced/',
    'replaced/.wh..wh..opq',
    'replaced/new',
  ]);
  expect(found[1]?.data.toString()).toBe('new');
  // Unpacked again as a layer over the same lower folder, the same is seen.
  const layer = await fresh();
  await kernel.unpackBlob({ root: layer, path: packed.file, bytesMax: 1 << 24, entriesMax: 100 }, c);
  await kernel.mounts.overlay({ lower: [layer, lower], upper: await fresh(), work: await fresh(), target }, c);
  try {
    expect((await described(target)).map((l) => l.split(' ')[0])).toEqual([
      'changed',
      'kept',
      'kept/stays',
      'replaced',
      'replaced/new',
    ]);
  } finally {
    await kernel.mounts.unmount(target, c);
  }
});

test('a folder that was renamed on an overlay is packed whole', async () => {
  const [lower, upper, work, target] = [await fresh(), await fresh(), await fresh(), await fresh()];
  await mkdir(join(lower, 'from'));
  await writeFile(join(lower, 'from', 'x'), 'x');
  await kernel.mounts.overlay({ lower: [lower], upper, work, target }, c);
  try {
    // Without redirect_dir the kernel refuses, and mv copies: as it does in a build.
    await rename(join(target, 'from'), join(target, 'to')).catch(() =>
      execFileSync('mv', [join(target, 'from'), join(target, 'to')]),
    );
  } finally {
    await kernel.mounts.unmount(target, c);
  }
  const paths = (await entries((await pack(upper, { overlay: true })).file)).map((e) => e.path);
  expect(paths).toEqual(['.wh.from', 'to', 'to/x']);
});

test('sockets are left out; a name that would be read as a mark is refused by its path, and no file is left', async () => {
  const root = await fresh();
  const server = createServer().listen(join(root, 'socket'));
  await new Promise((done) => server.once('listening', done));
  await mkdir(join(root, 'd'));
  expect((await entries((await pack(root)).file)).map((e) => e.path)).toEqual(['d']);
  await writeFile(join(root, 'd', '.wh.x'), '');
  const before = readdirSync(folder);
  await expect(pack(root)).rejects.toThrow(/d\/\.wh\.x: names that begin with \.wh\. cannot be kept in an image/);
  expect(readdirSync(folder)).toEqual(before);
  server.close();
});

test('links lead nowhere: what they name is not packed', async () => {
  const root = await fresh();
  await symlink('/etc', join(root, 'etc'));
  expect(await entries((await pack(root)).file)).toMatchObject([
    { path: 'etc', type: 'symlink', linkPath: '/etc', data: Buffer.alloc(0) },
  ]);
});

test('a thousand folders in each other', async () => {
  const root = await fresh();
  execFileSync('sh', ['-c', 'i=0; while [ $i -lt 1000 ]; do mkdir f && cd f; i=$((i+1)); done; echo deep > x'], {
    cwd: root,
  });
  const found = await entries((await pack(root)).file);
  expect(found).toHaveLength(1_001);
  expect(found.at(-1)?.path).toBe(`${'f/'.repeat(1_000)}x`);
});
