/** Files of a container's root by the helper: what is seen and written, and that nothing leads out of the root. Needs root. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { readTar, type TarHeader, tarBytes, tarHeader } from '#lib/oci';
import {
  exportRoot,
  listUpper,
  type RootView,
  readTree,
  statInRoot,
  writeTree,
} from '../../agent/kernel/linux/container-files.ts';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';
import { helperPath } from './runtime-host.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const base = mkdtempSync(join(tmpdir(), 'berth-files-'));
let kernel: LinuxKernel;
let root: string;
let outside: string;
let n = 0;
/** What the helper holds open when it has no job. */
let idleSockets = 0;
const sockets = () => process.getActiveResourcesInfo().filter((r) => r === 'PipeWrap').length;
beforeAll(async () => {
  kernel = await openKernel({ helperPath, environment: process.env, random: realRandom });
  idleSockets = sockets();
});
beforeEach(() => {
  root = join(base, `root${++n}`);
  outside = join(base, `outside${n}`);
  mkdirSync(join(root, 'etc/sub'), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(root, 'etc/a'), 'hello');
  writeFileSync(join(outside, 'secret'), 'of the host');
});
afterAll(async () => {
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(base);
  await kernel[Symbol.asyncDispose]();
  rmSync(base, { recursive: true, force: true });
});

const view = (more: Partial<RootView> = {}): RootView => ({ rootfs: root, readOnly: false, mounts: [], ...more });
const file = (path: string, text: string, more: Partial<TarHeader> = {}) => ({
  header: tarHeader({ type: 'file', path, sizeBytes: text.length, ...more }),
  data: Buffer.from(text),
});
const other = (type: TarHeader['type'], path: string, more: Partial<TarHeader> = {}) => ({
  header: tarHeader({ type, path, ...more }),
  data: Buffer.alloc(0),
});

async function put(
  path: string,
  entries: Parameters<typeof tarBytes>[0],
  more: Partial<RootView> & { keeps?: boolean } = {},
) {
  const { keeps, ...rest } = more;
  const bytes = await tarBytes(entries);
  const o = { path, open: async () => Readable.from([bytes]), keepsKinds: keeps ?? true, owner: undefined };
  await writeTree(kernel.helper, view(rest), o, c);
}

async function names(tar: Readable): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for await (const { header, body } of readTar(tar)) {
    let text = '';
    for await (const piece of body) text += piece.toString();
    out[`${header.path}${header.type === 'folder' ? '/' : ''}`] =
      header.linkPath === '' ? text : `-> ${header.linkPath}`;
  }
  return out;
}

const tree = async (path: string, more: Partial<RootView> = {}) =>
  names((await readTree(kernel.helper, view(more), path, c)).tar);

test('cp out: a file, a folder, what is in it, a link itself and what it leads to; nothing outside', async () => {
  symlinkSync('/etc', join(root, 'link'));
  symlinkSync(outside, join(root, 'out'));
  symlinkSync('../../../../../../../../../../../etc', join(root, 'up'));
  expect(await tree('/etc/a')).toEqual({ a: 'hello' });
  expect(await tree('/etc')).toEqual({ 'etc/': '', 'etc/a': 'hello', 'etc/sub/': '' });
  expect(await tree('/etc/.')).toEqual({ './': '', './a': 'hello', './sub/': '' });
  expect(await tree('/link')).toEqual({ link: '-> /etc' });
  expect(await tree('/link/')).toEqual({ 'link/': '', 'link/a': 'hello', 'link/sub/': '' });
  expect(await tree('/up/a')).toEqual({ a: 'hello' });
  expect(await statInRoot(kernel.helper, view(), '/link', c)).toMatchObject({ linkTarget: '/etc', mode: 0o120777 });
  for (const path of ['/out/secret', '/out/', outside, '/none', '/etc/none'])
    await expect(tree(path)).rejects.toMatchObject({ kind: 'NotFound' });
});

test('cp: volumes are seen and written where they are mounted, also below links and where no place was', async () => {
  writeFileSync(join(outside, 'v'), 'volume');
  symlinkSync('/real', join(root, 'data'));
  const mounts = [
    { source: outside, target: '/data/vol', readOnly: false },
    { source: outside, target: '/ro', readOnly: true },
    { source: join(outside, 'v'), target: '/etc/one', readOnly: false },
    { source: join(outside, 'gone'), target: '/gone', readOnly: false },
  ];
  expect(await tree('/real/vol/v', { mounts })).toEqual({ v: 'volume' });
  expect(await tree('/etc/one', { mounts })).toEqual({ one: 'volume' });
  await put('/data/vol', [file('new', 'x')], { mounts });
  expect(readFileSync(join(outside, 'new'), 'utf8')).toBe('x');
  expect(readdirSync(join(root, 'real/vol'))).toEqual([]);
  await expect(put('/ro', [file('new2', 'x')], { mounts })).rejects.toMatchObject({
    ...{ kind: 'Forbidden', message: 'mounted volume is marked read-only' },
  });
  await expect(put('/etc', [file('x', 'x')], { mounts, readOnly: true })).rejects.toMatchObject({
    ...{ kind: 'Forbidden', message: 'container rootfs is marked read-only' },
  });
  await put('/data/vol', [file('new3', 'x')], { mounts, readOnly: true });
  expect(existsSync(join(outside, 'new3'))).toBe(true);
});

test('cp in: kinds are kept or replaced, owners and modes are those of the archive, the folder itself stays as it is', async () => {
  await put('/etc', [other('folder', '.', { mode: 0o700, uid: 5 }), file('f', 'F', { mode: 0o4755, uid: 7, gid: 8 })]);
  expect(lstatSync(join(root, 'etc')).mode & 0o777).toBe(0o755);
  expect(lstatSync(join(root, 'etc/f'))).toMatchObject({ uid: 7, gid: 8, mode: 0o104755 });
  await expect(put('/etc', [file('sub', 'x')])).rejects.toThrow(/cannot overwrite directory .* with non-directory/);
  await expect(put('/etc', [other('folder', 'a')])).rejects.toThrow(/cannot overwrite non-directory .* with directory/);
  await put('/etc', [file('sub', 'x'), file('.wh.a', 'no removal')], { keeps: false });
  expect(readFileSync(join(root, 'etc/sub'), 'utf8')).toBe('x');
  expect(readdirSync(join(root, 'etc')).sort()).toEqual(['.wh.a', 'a', 'f', 'sub']);
  await expect(put('/etc/a', [file('x', 'x')])).rejects.toThrow('extraction point is not a directory');
  await expect(put('/none', [file('x', 'x')])).rejects.toMatchObject({ kind: 'NotFound' });
});

test('cp in: hostile names, links and devices stay in the root', async () => {
  symlinkSync(outside, join(root, 'etc/out'));
  await put('/etc', [
    file('../../../../up', 'clipped'),
    other('symlink', 'esc', { linkPath: outside }),
    file('esc/inside', 'x'),
    file('out/inside', 'y'),
    other('symlink', 'rel', { linkPath: '../../../../../../../..' }),
    file('rel/top', 'z'),
  ]);
  expect(readdirSync(outside)).toEqual(['secret']);
  expect(readFileSync(join(root, 'etc/up'), 'utf8')).toBe('clipped');
  expect(readFileSync(join(root, outside, 'inside'), 'utf8')).toBe('y');
  expect(readFileSync(join(root, 'top'), 'utf8')).toBe('z');
  await expect(put('/etc', [other('hardlink', 'h', { linkPath: '../../../../etc/passwd' })])).rejects.toThrow(
    /hard link/,
  );
  await expect(put('/etc', [other('char', 'w', { deviceMajor: 0, deviceMinor: 0 })])).rejects.toThrow('0:0');
  const junk = { path: '/etc', open: async () => Readable.from([Buffer.alloc(2048, 'x')]), keepsKinds: true };
  await expect(writeTree(kernel.helper, view(), { ...junk, owner: undefined }, c)).rejects.toMatchObject({
    kind: 'Invalid',
  });
});

test('cp out: a device, a pipe and a socket are told or left out, and never opened', async () => {
  execFileSync('mknod', [join(root, 'etc/pipe'), 'p']);
  execFileSync('mknod', [join(root, 'etc/zero'), 'c', '1', '5']);
  expect(await tree('/etc')).toEqual({ 'etc/': '', 'etc/a': 'hello', 'etc/pipe': '', 'etc/sub/': '', 'etc/zero': '' });
  expect(await tree('/etc/zero')).toEqual({ zero: '' });
});

test('cp: a folder that is swapped for a link all the time never leads out, in either direction', async () => {
  mkdirSync(join(root, 'race/dir'), { recursive: true });
  writeFileSync(join(root, 'race/dir/secret'), 'of the container');
  symlinkSync(outside, join(root, 'race/link'));
  const code = `const { renameSync } = require('node:fs'); const { workerData: d } = require('node:worker_threads');
    for (;;) { try { renameSync(d + '/dir', d + '/x'); renameSync(d + '/link', d + '/dir'); renameSync(d + '/dir', d + '/link'); renameSync(d + '/x', d + '/dir'); } catch {} }`;
  const swapper = new Worker(code, { eval: true, workerData: join(root, 'race') });
  try {
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      for (const text of Object.values(await tree('/race').catch(() => ({})))) seen.add(text);
      for (const text of Object.values(await tree('/race/dir/secret').catch(() => ({})))) seen.add(text);
      await put('/race/dir', [file('planted', 'x'), other('folder', 'deep'), file('deep/planted', 'x')]).catch(
        () => undefined,
      );
    }
    expect([...seen]).not.toContain('of the host');
    expect(readdirSync(outside)).toEqual(['secret']);
  } finally {
    await swapper.terminate();
  }
  expect(lstatSync(outside)).toMatchObject({ mode: 0o40755, uid: 0 });
});

test('export: everything but what is mounted; a file that shrinks while it is read is filled up', async () => {
  const mounts = [{ source: outside, target: '/vol', readOnly: false }];
  expect(await tree('/vol', { mounts })).toMatchObject({ 'vol/secret': 'of the host' });
  const all = await names(await exportRoot(kernel.helper, root, c));
  expect(all).toMatchObject({ 'etc/a': 'hello', 'etc/': '', 'vol/': '' });
  expect(Object.keys(all)).not.toContain('vol/secret');
});

test('cp out: who stops reading ends the job; a failure in the middle is no whole archive', async () => {
  execFileSync('truncate', ['-s', '200M', join(root, 'etc/large')]);
  const { tar } = await readTree(kernel.helper, view(), '/etc', c);
  for await (const _ of tar) break;
  tar.destroy();
  const jobs = (): number => readdirSync(`/proc/${kernel.helper.pid}/task/${kernel.helper.pid}`).length;
  expect(jobs()).toBeGreaterThan(0);
  const children = `/proc/${kernel.helper.pid}/task/${kernel.helper.pid}/children`;
  for (let i = 0; i < 400 && readFileSync(children, 'utf8').trim() !== ''; i++) await realClock.sleep(10);
  expect(readFileSync(children, 'utf8').trim()).toBe('');
  const second = await readTree(kernel.helper, view(), '/etc', c);
  const reading = names(second.tar);
  execFileSync('truncate', ['-s', '1M', join(root, 'etc/large')]);
  expect((await reading)['etc/large']?.length).toBe(200 << 20);
});

test("list: an upper folder's removals, opaque folders, empty and other files", async () => {
  const upper = join(base, 'upper');
  mkdirSync(upper);
  const layer = await tarBytes([
    ...[file('.wh.gone', ''), other('folder', 'd'), other('folder', 'd/o'), file('d/o/.wh..wh..opq', '')],
    ...[file('d/o/f', 'x'), file('d/e', ''), other('symlink', 'd/l', { linkPath: '/etc' })],
  ]);
  execFileSync(helperPath, ['unpack', upper], { input: layer });
  const got: Record<string, string> = {};
  for await (const e of listUpper(kernel.helper, upper, c)) got[e.path] = e.kind;
  expect(got).toEqual({
    ...{ '/d': 'folder', '/d/e': 'empty', '/d/l': 'other', '/d/o': 'opaque', '/d/o/f': 'other', '/gone': 'removed' },
  });
});

test('an archive that nobody begins to read: its connection and its job end', async () => {
  for (let i = 0; i < 40; i++) writeFileSync(join(root, `etc/big${i}`), Buffer.alloc(1 << 20));
  // Connections of the tests before may still be closing.
  await expect.poll(sockets).toBe(idleSockets);
  const whole = await exportRoot(kernel.helper, root, c);
  const { tar } = await readTree(kernel.helper, view(), '/etc', c);
  expect(sockets()).toBe(idleSockets + 2);
  for (const stream of [whole, tar]) stream.destroy();
  await expect.poll(sockets).toBe(idleSockets);
});
