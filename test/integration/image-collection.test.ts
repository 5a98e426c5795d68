/** Collection of images on a small disk: thresholds in bytes, age, and that what containers and image volumes hold stays. Needs root. */
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Event, Pod } from '#lib/api';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { DistributionClient, packImage, pushPacked } from '#lib/oci';
import { collectOnce } from '../../agent/images/collection/collector.ts';
import { DEFAULT_IMAGE_GC } from '../../agent/images/collection/settings.ts';
import { openImages } from '../../agent/images/open.ts';
import type { Kernel } from '../../agent/kernel/kernel.ts';
import { openKernel } from '../../agent/kernel/linux/open.ts';
import { openVolumes } from '../../agent/volumes/open.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const MB = 1 << 20;
let folder: string;
let home: string;
let kernel: Kernel;
let registry: Registry;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-collection-'));
  home = join(folder, 'home');
  await mkdir(home);
  kernel = await openKernel({ helperPath: join(import.meta.dirname, '../../dist/berth-helper') });
  await kernel.mounts.tmpfs(home, { sizeBytes: 200 * MB }, c);
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(folder, 'registry'),
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  for (const point of await kernel.mounts.below(home, c)) await kernel.mounts.unmount(point, c);
  await kernel[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

test('a full disk is made free down to the low threshold, oldest first; a volume and a container keep theirs', async () => {
  const options = { kernel, folder: join(home, 'node'), clock: realClock, random: realRandom, log: silentLogger };
  const certsFolder = join(folder, 'none');
  const open = () => openImages({ ...options, certsFolder }, c);
  const events: Pick<Partial<Event>, 'reason' | 'message'>[] = [];
  const references: string[] = [];
  for (const n of ['volume', 'container', 'old', 'new']) references.push(await push(n));
  const [ofVolume = '', ofContainer = '', old = '', fresh = ''] = references;
  let images = await open();
  const pass = (settings: Partial<typeof DEFAULT_IMAGE_GC>, ranMs = 0) =>
    collectOnce(
      {
        images,
        folder: home,
        settings: { ...DEFAULT_IMAGE_GC, minimumAgeMs: 0, ...settings },
        nodeName: 'n',
        event: (e) => void events.push(e),
      },
      ranMs,
      c,
    );
  const there = async (): Promise<string[]> => (await images.list(c)).map((i) => i.reference).sort();

  for (const r of references) await images.pull(r, {}, c);
  const sources = {
    configMap: () => undefined,
    secret: () => undefined,
    claim: () => undefined,
    persistentVolume: () => undefined,
    serviceAccountToken: () => Promise.reject(new Error('no tokens here')),
    nodeAllocatable: () => ({}),
  };
  const storage = { folderOf: () => Promise.reject(new Error('no claims here')) };
  const volumes = await openVolumes({ kernel, folder: join(home, 'volumes'), images, sources, storage }, c);
  const pod = {
    metadata: { name: 'p', namespace: 'd', uid: 'u-1' },
    spec: { containers: [], volumes: [{ name: 'data', image: { reference: ofVolume } }] },
  } as unknown as Pod;
  const { hostPath, readOnly } = await volumes.prepare({ pod, volumeName: 'data' }, c);
  expect(readOnly).toBe(true);
  const image = await images.find(ofContainer, c);
  if (image === undefined) throw new Error('the image is not there');
  await images.mountRoot('c1', image, c);
  expect(await images.roots(c)).toEqual(['c1']);

  await pass({ highThresholdPercent: 95, lowThresholdPercent: 90 });
  expect(await there()).toEqual([...references].sort());
  /* Four images of 20 MB, as blobs and unpacked: 160 of 200 MB. One of them must go, the one not used for longest. */
  await pass({ highThresholdPercent: 75, lowThresholdPercent: 70 });
  expect(await there()).toEqual([ofVolume, ofContainer, fresh].sort());
  expect(events).toEqual([]);

  /* After a restart of the agent, nothing but what lies on disk says who uses what. */
  await images[Symbol.asyncDispose]();
  images = await open();
  await pass({ highThresholdPercent: 10, lowThresholdPercent: 5 });
  expect(await there()).toEqual([ofVolume, ofContainer].sort());
  expect(events).toMatchObject([{ reason: 'FreeDiskSpaceFailed' }]);
  expect((await readFile(join(hostPath, 'name'))).toString()).toBe('volume');

  await images.pull(old, {}, c);
  await pass({ maximumAgeMs: 3_600_000 }, 3_600_001);
  expect(await there()).toContain(old);
  await realClock.sleep(20);
  await pass({ maximumAgeMs: 10 }, 11);
  expect(await there()).toEqual([ofVolume, ofContainer].sort());

  await volumes.cleanup('u-1', c);
  await images.removeRoot('c1', c);
  await pass({ highThresholdPercent: 1, lowThresholdPercent: 0 });
  expect(await there()).toEqual([]);
  await images[Symbol.asyncDispose]();
});

async function push(name: string): Promise<string> {
  await using client = new DistributionClient({ random: realRandom });
  const entries = [
    { type: 'file' as const, path: 'name', data: Buffer.from(name) },
    { type: 'file' as const, path: 'data', data: Buffer.from(realRandom.hex(20 * MB), 'hex') },
  ];
  await pushPacked(client.repository(registry.host, name), 'v1', await packImage({ entries, config: {} }), c);
  return `${registry.host}/${name}:v1`;
}
