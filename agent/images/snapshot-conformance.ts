/**
 * What every `Snapshotter` must do, whatever its format: layers appear whole or not at all, upper layers hide and remove what
 * lower ones have, roots are writable, apart from each other, survive a restart and leave nothing behind.
 */
import { createHash } from 'node:crypto';
import { lstat, readdir, readFile, readlink, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { type Ctx, type Digest, StatusError, sha256 } from '#lib/base';
import { chainIds, type TarHeader, tarBytes, tarHeader } from '#lib/oci';
import { isThere, type LayerInput, type Snapshotter } from './snapshot.ts';

export interface SnapshotSubject {
  readonly snapshotter: Snapshotter;
  /** The same folder, opened anew as after a crash. */
  reopen(): Promise<Snapshotter>;
  readonly context: Ctx;
}

export interface SnapshotSuite {
  test(name: string, fn: (subject: SnapshotSubject) => Promise<void>): void;
  equal(actual: unknown, expected: unknown): void;
}

type Item = readonly [path: string, content: string] | (Partial<TarHeader> & Pick<TarHeader, 'type' | 'path'>);

interface Layer {
  readonly bytes: Buffer;
  readonly diffId: Digest;
}

export function snapshotConformance(suite: SnapshotSuite): void {
  const { test, equal } = suite;
  const IMAGE = sha256('an image');

  test('upper layers replace, remove and hide what lower ones have', async ({ snapshotter, context }) => {
    const chain = await addAll(snapshotter, LAYERS, context);
    const root = await snapshotter.mountRoot('c1', { imageId: IMAGE, layers: chain }, context);
    equal(await readFile(join(root, 'etc/name'), 'utf8'), 'top');
    equal(await isThere(join(root, 'etc/gone')), false);
    equal((await readdir(join(root, 'opaque'))).sort(), ['fresh']);
    equal((await readdir(join(root, 'kept'))).sort(), ['a', 'b']);
    equal((await lstat(join(root, 'was-folder'))).isFile(), true);
    equal((await lstat(join(root, 'was-file'))).isDirectory(), true);
    equal(await readlink(join(root, 'link')), 'etc/name');
    const [one, two] = [await stat(join(root, 'hard1')), await stat(join(root, 'hard2'))];
    equal(one.ino === two.ino, true);
    equal((await stat(join(root, 'setuid'))).mode & 0o7777, 0o4755);
    equal([(await stat(join(root, 'owned'))).uid, (await stat(join(root, 'owned'))).gid], [1234, 5678]);
    await snapshotter.removeRoot('c1', context);
  });

  test('roots of one image are writable and apart', async ({ snapshotter, context }) => {
    const source = { imageId: IMAGE, layers: await addAll(snapshotter, LAYERS, context) };
    const [a, b] = [
      await snapshotter.mountRoot('a', source, context),
      await snapshotter.mountRoot('b', source, context),
    ];
    await writeFile(join(a, 'etc/name'), 'changed');
    equal(await readFile(join(b, 'etc/name'), 'utf8'), 'top');
    await snapshotter.removeRoot('a', context);
    const again = await snapshotter.mountRoot('a', source, context);
    equal(await readFile(join(again, 'etc/name'), 'utf8'), 'top');
    for (const id of ['a', 'b']) await snapshotter.removeRoot(id, context);
  });

  test('a root outlives a restart with its changes, is listed, and is gone after removal', async (subject) => {
    const { context, snapshotter } = subject;
    const source = { imageId: IMAGE, layers: await addAll(snapshotter, LAYERS, context) };
    const root = await snapshotter.mountRoot('c1', source, context);
    await writeFile(join(root, 'mine'), 'kept');
    const next = await subject.reopen();
    equal(await next.roots(), [{ containerId: 'c1', source }]);
    const other = { imageId: sha256('another image'), layers: [] };
    equal(await next.mountRoot('c1', other, context), root);
    equal(await readFile(join(root, 'mine'), 'utf8'), 'kept');
    await next.removeRoot('c1', context);
    await next.removeRoot('c1', context);
    equal(await next.roots(), []);
    equal(await isThere(root), false);
  });

  test('a discarded root is none at once; what a crash leaves of it goes with the next opening', async (subject) => {
    const { snapshotter, context } = subject;
    const source = { imageId: IMAGE, layers: [] };
    const root = await snapshotter.mountRoot('d1', source, context);
    await writeFile(join(root, 'mine'), 'gone');
    const { gone } = await snapshotter.discardRoot('d1');
    equal(await snapshotter.roots(), []);
    equal(await isThere(root), false);
    const next = await subject.reopen();
    equal(await readdir(await next.mountRoot('d1', source, context)), []);
    await gone(context);
    await (await next.discardRoot('d1')).gone(context);
    await (await next.discardRoot('d1')).gone(context);
    equal(await next.roots(), []);
  });

  test('an image without layers gives an empty writable root', async ({ snapshotter, context }) => {
    const root = await snapshotter.mountRoot('scratch', { imageId: IMAGE, layers: [] }, context);
    equal(await readdir(root), []);
    await writeFile(join(root, 'f'), 'x');
    await snapshotter.removeRoot('scratch', context);
  });

  test('a layer with the wrong bytes never appears', async ({ snapshotter, context }) => {
    const layer = await makeLayer([['file', 'content']]);
    const wrong = sha256('something else');
    const failed = await snapshotter
      .addLayer(wrong, () => inputOf(layer, wrong), context)
      .then(
        () => 'added',
        (e: unknown) => (e instanceof StatusError ? e.kind : String(e)),
      );
    equal(failed, 'Invalid');
    equal(await snapshotter.hasLayer(wrong), false);
    equal(await snapshotter.layers(), []);
    const missing = await snapshotter
      .mountRoot('c', { imageId: IMAGE, layers: [wrong] }, context)
      .catch((e: unknown) => e);
    equal(missing instanceof StatusError && missing.kind, 'NotFound');
    equal(await snapshotter.roots(), []);
  });

  test('layers are listed with their bytes and removed', async ({ snapshotter, context }) => {
    const chain = await addAll(snapshotter, LAYERS, context);
    equal((await snapshotter.layers()).map((l) => l.chainId).sort(), [...chain].sort());
    for (const id of chain) await snapshotter.removeLayer(id, context);
    for (const id of chain) await snapshotter.removeLayer(id, context);
    equal(await snapshotter.layers(), []);
  });
}

const LAYERS: readonly (readonly Item[])[] = [
  [
    ['etc/name', 'base'],
    ['etc/gone', 'base'],
    ['opaque/old', 'base'],
    ['kept/a', 'base'],
    ['was-folder/inside', 'base'],
    ['was-file', 'base'],
    ['hard1', 'one'],
    { type: 'hardlink', path: 'hard2', linkPath: 'hard1' },
    { type: 'file', path: 'setuid', mode: 0o4755 },
    { type: 'file', path: 'owned', uid: 1234, gid: 5678 },
  ],
  [
    ['opaque/fresh', 'top'],
    ['opaque/.wh..wh..opq', ''],
    ['etc/.wh.gone', ''],
    ['etc/name', 'top'],
    ['kept/b', 'top'],
    ['was-folder', 'now a file'],
    ['was-file/inside', 'now a folder'],
    { type: 'symlink', path: 'link', linkPath: 'etc/name' },
  ],
];

/** Adds the layers on top of each other; gives their chain ids. */
async function addAll(
  snapshotter: Snapshotter,
  items: readonly (readonly Item[])[],
  c: Ctx,
): Promise<readonly Digest[]> {
  const layers = await Promise.all(items.map(makeLayer));
  const chain = chainIds(layers.map((l) => l.diffId));
  for (const [i, layer] of layers.entries()) {
    const id = chain[i];
    if (id !== undefined) await snapshotter.addLayer(id, () => inputOf(layer, layer.diffId), c);
  }
  return chain;
}

async function makeLayer(items: readonly Item[]): Promise<Layer> {
  const bytes = await tarBytes(
    items.map((item) => {
      if ('type' in item) return { header: tarHeader(item), data: new Uint8Array(0) };
      const data = Buffer.from(item[1]);
      return { header: tarHeader({ type: 'file', path: item[0], sizeBytes: data.length }), data };
    }),
  );
  return { bytes, diffId: sha256(bytes) };
}

async function inputOf(layer: Layer, expected: Digest): Promise<LayerInput> {
  return {
    bytesMax: 1 << 30,
    entriesMax: 1000,
    open: async () => Readable.from([layer.bytes], { objectMode: false }),
    close: async () => undefined,
    async verify() {
      const actual = `sha256:${createHash('sha256').update(layer.bytes).digest('hex')}`;
      if (actual !== expected) throw new StatusError('Invalid', `digest mismatch: ${actual}`);
    },
  };
}
