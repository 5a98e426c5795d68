/** `docker cp`, `export`, `diff` and `commit` by the stock CLI on a real engine. Needs root. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseDigest } from '#lib/base';
import { readTar, tarBytes, tarHeader } from '#lib/oci';
import { TestEngine } from '../harness/engine.ts';

let engine: TestEngine;
let here: string;
beforeAll(async () => {
  engine = await TestEngine.open();
  here = mkdtempSync(join(engine.home, 'files-'));
  mkdirSync(join(here, 'dir/sub'), { recursive: true });
  writeFileSync(join(here, 'dir/a'), 'A');
  writeFileSync(join(here, 'dir/sub/b'), 'B', { mode: 0o600 });
  writeFileSync(join(here, 'one'), '1');
});
afterAll(() => engine.close());

async function ok(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await engine.docker(...args);
  expect({ args, code, stderr }).toMatchObject({ code: 0 });
  return stdout;
}

const at = (...parts: readonly string[]): string => join(here, ...parts);
/** A container with no network, which is quicker. */
const container = async (name: string, ...more: readonly string[]): Promise<string> => {
  await ok('create', '--name', name, '--network', 'none', ...more);
  return name;
};

async function names(tar: Buffer): Promise<readonly string[]> {
  const out: string[] = [];
  for await (const { header } of readTar(Readable.from([tar]))) out.push(header.path);
  return out;
}

test('docker cp: into and out of a container that never ran: files, folders, what is in them, other names', async () => {
  const c = await container('still', 'busybox', 'true');
  await ok('cp', at('one'), `${c}:/tmp`);
  await ok('cp', at('one'), `${c}:/tmp/renamed`);
  await ok('cp', at('dir'), `${c}:/opt`);
  await ok('cp', `${at('dir')}/.`, `${c}:/home`);
  await ok('cp', `${c}:/tmp`, at('out'));
  expect(readdirSync(at('out')).sort()).toEqual(['one', 'renamed']);
  await ok('cp', `${c}:/opt`, at('opt'));
  expect(readFileSync(at('opt/sub/b'), 'utf8')).toBe('B');
  expect(lstatSync(at('opt/sub/b')).mode & 0o777).toBe(0o600);
  await ok('cp', `${c}:/home/.`, at('home'));
  expect(readFileSync(at('home/a'), 'utf8')).toBe('A');
  await ok('cp', `${c}:/home/a`, at('a2'));
  expect(readFileSync(at('a2'), 'utf8')).toBe('A');
  const missing = await engine.docker('cp', `${c}:/nope`, at('x'));
  expect(missing.stderr).toContain(`Could not find the file /nope in container ${c}`);
  expect((await engine.docker('cp', at('one'), `${c}:/nope/x`)).stderr).toContain(
    `Could not find the file /nope in container ${c}`,
  );
  expect((await engine.docker('cp', at('dir'), `${c}:/tmp/one`)).code).toBe(1);
  // The CLI looks before; who does not is refused by the engine, and both stay as they are.
  const kinds = await Promise.all([
    tarBytes([{ header: tarHeader({ type: 'file', path: 'opt' }), data: Buffer.alloc(0) }]),
    tarBytes([{ header: tarHeader({ type: 'folder', path: 'tmp/one' }), data: Buffer.alloc(0) }]),
  ]);
  for (const body of kinds)
    expect(
      (await engine.ask('PUT', `/containers/${c}/archive?path=/&noOverwriteDirNonDir=true`, { body })).status,
    ).toBe(400);
  await ok('cp', `${c}:/opt/a`, at('a3'));
  await ok('cp', `${c}:/tmp/one`, at('one3'));
  expect([readFileSync(at('a3'), 'utf8'), readFileSync(at('one3'), 'utf8')]).toEqual(['A', '1']);
  expect((await engine.docker('cp', at('one'), 'nobody:/x')).stderr).toContain('No such container: nobody');
});

test('docker cp: a running container sees it; volumes and links are followed inside; -a and -L; stdin and stdout', async () => {
  const c = await container('live', '-v', '/data', '-v', `${at('dir')}:/ro:ro`, '-u', 'app', 'busybox', 'sleep', '300');
  await ok('start', c);
  await ok('cp', at('one'), `${c}:/data/one`);
  expect(await ok('exec', c, 'cat', '/data/one')).toBe('1');
  expect((await engine.docker('cp', at('one'), `${c}:/ro/`)).stderr).toContain('mounted volume is marked read-only');
  await ok('exec', '-u', '0', c, 'sh', '-c', 'ln -s /etc /tmp/link; ln -s /data /tmp/data; echo hi > /tmp/f');
  await ok('cp', at('one'), `${c}:/tmp/data/two`);
  expect(await ok('exec', c, 'cat', '/data/two')).toBe('1');
  await ok('cp', `${c}:/tmp/link`, at('link'));
  expect(lstatSync(at('link')).isSymbolicLink()).toBe(true);
  await ok('cp', '-L', `${c}:/tmp/link`, at('followed'));
  expect(existsSync(at('followed/passwd'))).toBe(true);
  await ok('cp', '-a', at('one'), `${c}:/data/owned`);
  expect((await ok('exec', c, 'stat', '-c', '%u:%g', '/data/owned')).trim()).toBe('1000:1001');
  const tar = await tarBytes([
    { header: tarHeader({ type: 'file', path: 'piped', sizeBytes: 3 }), data: Buffer.from('abc') },
  ]);
  expect((await engine.program('docker', ['cp', '-', `${c}:/tmp`], { stdin: tar })).code).toBe(0);
  expect(await ok('exec', c, 'cat', '/tmp/piped')).toBe('abc');
  const zipped = await engine.ask('PUT', `/containers/${c}/archive?path=/home`, { body: gzipSync(tar) });
  expect(zipped.status).toBe(200);
  expect(await ok('exec', c, 'cat', '/home/piped')).toBe('abc');
  const got = await engine.get(`/containers/${c}/archive?path=/tmp/f`);
  expect(await names(got.body)).toEqual(['f']);
  const stat = JSON.parse(Buffer.from(String(got.headers['x-docker-container-path-stat']), 'base64').toString());
  expect(stat).toMatchObject({ name: 'f', size: 3, mode: 0o644, linkTarget: '' });
  await ok('stop', '-t', '0', c);
  await ok('cp', `${c}:/data/owned`, at('of-a-stopped-one'));
  expect(readFileSync(at('of-a-stopped-one'), 'utf8')).toBe('1');
});

test('docker cp: a read-only root is refused, its volumes are not; what leads out of the root does not', async () => {
  const c = await container('sealed', '--read-only', '-v', '/data', 'busybox', 'true');
  expect((await engine.docker('cp', at('one'), `${c}:/tmp`)).stderr).toContain('container rootfs is marked read-only');
  await ok('cp', at('one'), `${c}:/data`);
  const open = await container('leaky', 'busybox', 'true');
  symlinkSync(here, at('dir/out'));
  await ok('cp', at('dir'), `${open}:/leak`);
  expect((await engine.docker('cp', `${open}:/leak/out/one`, at('leaked'))).code).toBe(1);
  expect((await engine.docker('cp', at('one'), `${open}:/leak/out/planted`)).code).toBe(1);
  expect(existsSync(at('planted'))).toBe(false);
});

test('docker diff, export: what a container has written; neither volumes nor places of mounts', async () => {
  const c = await container(
    'writer',
    '-v',
    '/vol',
    'busybox',
    'sh',
    '-c',
    'echo x > /new; rm /etc/group; echo y >> /etc/passwd; echo v > /vol/v; mkdir -p /d/e',
  );
  await ok('start', '-a', c);
  const changes = (await engine.get(`/containers/${c}/changes`)).json;
  expect(changes).toEqual([
    ...[
      { Path: '/d', Kind: 1 },
      { Path: '/d/e', Kind: 1 },
      { Path: '/etc', Kind: 0 },
      { Path: '/etc/group', Kind: 2 },
    ],
    ...[
      { Path: '/etc/passwd', Kind: 0 },
      { Path: '/new', Kind: 1 },
    ],
  ]);
  expect(await ok('diff', c)).toBe('A /d\nA /d/e\nC /etc\nD /etc/group\nC /etc/passwd\nA /new\n');
  await ok('export', '-o', at('all.tar'), c);
  const all = await names(readFileSync(at('all.tar')));
  expect(all).toEqual(expect.arrayContaining(['new', 'bin/busybox', 'etc/passwd', 'd/e']));
  expect(all).not.toContain('vol/v');
  expect(all).not.toContain('etc/group');
});

test('docker commit: a new layer, the container’s config and changes; what mounts have made is not in it', async () => {
  const c = await container(
    'base',
    '-e',
    'A=1',
    '-l',
    'k=v',
    'busybox',
    'sh',
    '-c',
    'echo made > /made; rm /etc/group; sleep 300',
  );
  await ok('start', c);
  await engine.until('written', async () =>
    (await engine.docker('exec', c, 'cat', '/made')).code === 0 ? true : undefined,
  );
  const changes = ['-c', 'CMD ["cat","/made"]', '--change', 'ENV B=2', '-a', 'me <me@x>', '-m', 'because'];
  const id = (await ok('commit', ...changes, c, 'made:v1')).trim();
  expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect((await engine.get(`/containers/${c}/json`)).json.State).toMatchObject({ Running: true, Paused: false });
  expect(await ok('run', '--rm', '--network', 'none', 'made:v1')).toBe('made\n');
  const image = (await engine.get('/images/made:v1/json')).json;
  expect(image).toMatchObject({ Id: id, Author: 'me <me@x>', Config: { Labels: { k: 'v' }, Cmd: ['cat', '/made'] } });
  expect(image.Config.Env).toEqual(expect.arrayContaining(['A=1', 'B=2']));
  const [newest] = (await engine.get('/images/made:v1/history')).json;
  expect(newest).toMatchObject({ Comment: 'because', Tags: ['made:v1'] });
  const listed = await ok('run', '--rm', '--network', 'none', 'made:v1', 'sh', '-c', 'ls /etc; ls -a /');
  expect(listed).not.toContain('group');
  expect(await names(await layerOf(id))).toEqual(['etc', 'etc/.wh.group', 'made']);
  const nameless = (await ok('commit', '--pause=false', c)).trim();
  expect((await engine.get(`/images/${nameless}/json`)).json.RepoTags).toEqual([]);
  expect((await engine.docker('commit', '-c', 'RUN true', c)).stderr).toContain('RUN is not a valid change command');
  expect((await engine.docker('commit', 'nobody')).stderr).toContain('No such container: nobody');
});

/** The newest layer's tar, as it is stored. */
async function layerOf(id: string): Promise<Buffer> {
  using session = engine.images.builds.session();
  const { layers } = await session.image(id, { pull: false }, engine.c);
  return readFileSync(session.blobPath(parseDigest(layers.at(-1)?.diffId ?? '')));
}
