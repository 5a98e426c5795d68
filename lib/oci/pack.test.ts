import { expect, test } from 'vitest';
import { sha256 } from '#lib/base';
import { parseConfig, parseManifest } from './image.ts';
import { type PackEntry, packImage } from './pack.ts';
import { readTar } from './tar.ts';

const entries: readonly PackEntry[] = [
  { type: 'symlink', path: 'bin/sh', target: 'busybox' },
  { type: 'hardlink', path: 'aaa', target: 'bin/busybox' },
  { type: 'file', path: 'bin/busybox', data: Buffer.from('program'), mode: 0o755 },
  { type: 'folder', path: 'tmp', mode: 0o1777 },
];
const config = { cmd: ['/bin/sh'], exposedPorts: ['80/tcp'], labels: { b: '2', a: '1' } };

test('pack: the same files in any order give the same digests, today and later', async () => {
  const one = await packImage({ entries, config, architecture: 'amd64' });
  const two = await packImage({
    entries: [...entries].reverse(),
    config: { ...config, labels: { a: '1', b: '2' } },
    architecture: 'amd64',
  });
  expect(two.manifestDigest).toBe(one.manifestDigest);
  expect(one.manifestDigest).toBe('sha256:02afc69815be46bf55a5531bbcd6099e5813fd30400a498bf4528af43eb92745');
});

test('pack: documents and layer agree, folders come before what they hold, hardlinks after their targets', async () => {
  const image = await packImage({ entries, config });
  for (const [digest, bytes] of image.blobs) expect(sha256(bytes)).toBe(digest);
  const manifest = parseManifest(image.blobs.get(image.manifestDigest) ?? Buffer.alloc(0), image.manifestMediaType);
  if (manifest.type !== 'manifest') throw new Error('not a manifest');
  expect(manifest.config.digest).toBe(image.configDigest);
  const read = parseConfig(image.blobs.get(image.configDigest) ?? Buffer.alloc(0));
  expect(read.diffIds).toEqual(manifest.layers.map((l) => l.digest));
  expect(read).toMatchObject({ cmd: ['/bin/sh'], exposedPorts: ['80/tcp'] });
  const layer = image.blobs.get(read.diffIds[0] ?? image.configDigest) ?? Buffer.alloc(0);
  const names: string[] = [];
  const source = async function* (): AsyncGenerator<Uint8Array> {
    yield layer;
  };
  for await (const e of readTar(source())) names.push(`${e.header.type} ${e.header.path} ${e.header.mode.toString(8)}`);
  expect(names).toEqual([
    'folder bin 755',
    'file bin/busybox 755',
    'symlink bin/sh 777',
    'folder tmp 1777',
    'hardlink aaa 644',
  ]);
});

test('pack: paths that are not plain are refused', async () => {
  for (const path of ['', '/abs', 'a/../b', './a', 'a//b', 'a/'])
    await expect(packImage({ entries: [{ type: 'folder', path }], config: {} })).rejects.toMatchObject({
      kind: 'BadRequest',
    });
  const twice: PackEntry = { type: 'folder', path: 'a' };
  await expect(packImage({ entries: [twice, twice], config: {} })).rejects.toMatchObject({ kind: 'BadRequest' });
});
