import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { DistributionClient, encodedOf, ImageLayout, packImage, pullLayout, pushLayout, pushPacked } from '#lib/oci';
import { startRegistry } from './registry.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

test('layout: out of a registry and back gives the same digest; damage is noticed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'berth-layout-'));
  await using registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(folder, 'registry'),
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
  await using client = new DistributionClient({ random: realRandom });
  const image = await packImage({ entries: [{ type: 'file', path: 'f', data: Buffer.alloc(100_000, 1) }], config: {} });
  const [one, two] = [client.repository(registry.host, 'one'), client.repository(registry.host, 'two')];
  await pushPacked(one, 'v1', image, c);
  const path = join(folder, 'layout');
  const got = await pullLayout({ from: one, reference: 'v1', name: 'mine' }, path, c);
  expect(got.digest).toBe(image.manifestDigest);
  const layout = await ImageLayout.open(path);
  expect(layout.entries.map((e) => [e.name, e.descriptor.digest])).toEqual([['mine', image.manifestDigest]]);
  expect(layout.find(undefined)).toEqual(layout.find('mine'));
  expect(() => layout.find('other')).toThrow(expect.objectContaining({ kind: 'NotFound' }));
  await pushLayout(layout, layout.find('mine'), { to: two, reference: 'v2' }, c);
  expect((await two.getManifest('v2', c)).digest).toBe(image.manifestDigest);
  const manifest = join(path, 'blobs/sha256', encodedOf(image.manifestDigest));
  await writeFile(manifest, (await readFile(manifest, 'utf8')).replace('2', '3'));
  await expect(pushLayout(layout, layout.find('mine'), { to: two, reference: 'v3' }, c)).rejects.toThrow(
    /digest mismatch/,
  );
  await mkdir(join(folder, 'empty'));
  await expect(ImageLayout.open(join(folder, 'empty'))).rejects.toMatchObject({ kind: 'Invalid' });
  await rm(folder, { recursive: true });
});
