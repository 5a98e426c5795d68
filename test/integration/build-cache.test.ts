/** Caches of builds that travel by a real registry from one builder to another, and caches that lie. Needs root and crun or runc. */
import { copyFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, realClock, realRandom, Scope, sha256, silentLogger } from '#lib/base';
import { DistributionClient, descriptorJson, MEDIA_TYPES, parseJsonObject, tarBytes, tarHeader } from '#lib/oci';
import { cacheConfig, type TravellingStep } from '../../agent/build/cache/travelling.ts';
import type { FinishedImage } from '../../agent/build/node/finish.ts';
import { pushImage } from '../../agent/build/output/push.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';
import { BuildHost, context } from './build-host.ts';

const TEXT = `FROM scratch AS tools
COPY busybox /bin/busybox
RUN ["/bin/busybox","sh","-c","/bin/busybox ln -s busybox /bin/sh; /bin/busybox ln -s busybox /bin/cat"]
FROM tools AS made
COPY word /word
RUN cat /word /word >/twice
FROM tools
COPY --from=made /twice /twice
RUN cat /twice >/out
`;

let registry: Registry;
let client: DistributionClient;
let one: BuildHost;
let two: BuildHost;
const scope = new Scope('build cache test');

beforeAll(async () => {
  one = scope.own(await BuildHost.open());
  registry = scope.own(
    await startRegistry({
      listen: { host: '127.0.0.1', port: 0 },
      folder: join(one.folder, 'registry'),
      ...{ log: silentLogger, clock: realClock, random: realRandom },
    }),
  );
  client = scope.own(new DistributionClient({ random: realRandom }));
});
afterAll(() => scope[Symbol.asyncDispose]());

/** Equal contexts, with equal times too. */
function prepare(host: BuildHost): void {
  copyFileSync('/bin/busybox', join(host.context, 'busybox'));
  writeFileSync(join(host.context, 'word'), 'word ');
  for (const name of ['busybox', 'word']) utimesSync(join(host.context, name), 1_600_000_000, 1_600_000_000);
}

/** A builder that has built nothing yet. */
beforeEach(async () => {
  two = await BuildHost.open();
  for (const host of [one, two]) prepare(host);
});
afterEach(() => two[Symbol.asyncDispose]());

const ref = (name: string): string => `${registry.host}/cache/${name}`;
const warnings = (host: BuildHost): string[] =>
  host.events.flatMap((e) => (e.kind === 'warning' ? [e.message] : [])).filter((m) => m.startsWith('cache '));

async function pushed(image: FinishedImage, tag: string): Promise<void> {
  const to = client.repository(registry.host, 'cache/image');
  await pushImage(image, { to, tag, folder: join(one.folder, 'pushed') }, context);
}

async function config(name: string): Promise<Record<string, unknown>> {
  const to = client.repository(registry.host, `cache/${name.split(':')[0]}`);
  const { bytes } = await to.getManifest(name.split(':')[1] ?? 'latest', context);
  const descriptor = parseJsonObject(bytes, 'manifest')['config'] as { digest: Digest; size: number };
  const got = { mediaType: MEDIA_TYPES.ociConfig, digest: descriptor.digest, sizeBytes: descriptor.size };
  return parseJsonObject(await to.getBlob(got, 1 << 20, context), 'config');
}

describe('a cache from one builder to another', () => {
  test('mode=max: nothing is run again, and the image is the same', async () => {
    const reference = ref('max:1');
    const first = await one.build(TEXT, { cacheTo: [{ type: 'registry', reference, mode: 'max' }] });
    const second = await two.build(TEXT, { cacheFrom: [reference] });
    expect(two.outcomes).toEqual(Array.from({ length: 6 }, () => 'cached'));
    expect(second.id).toBe(first.id);
    expect(warnings(two)).toEqual([]);
    await two.build(TEXT);
    expect(two.outcomes).toEqual(Array.from({ length: 6 }, () => 'cached'));
  });

  test('only what changed, and what stands on it, is made', async () => {
    const reference = ref('changed:1');
    await one.build(TEXT, { cacheTo: [{ type: 'registry', reference, mode: 'max' }] });
    writeFileSync(join(two.context, 'word'), 'other ');
    await two.build(TEXT, { cacheFrom: [reference] });
    expect(two.outcomes.filter((x) => x === 'cached')).toHaveLength(2);
    expect(two.outcomes.filter((x) => x === 'done')).toHaveLength(4);
  });

  test('mode=min: the steps of the image alone', async () => {
    const reference = ref('min:1');
    await one.build(TEXT, { cacheTo: [{ type: 'registry', reference, mode: 'min' }] });
    const { steps } = (await config('min:1'))['berth.buildcache.v1'] as { steps: { title: string }[] };
    expect(steps.map((s) => s.title).sort()).toEqual([
      'COPY --from=made /twice /twice',
      'COPY busybox /bin/busybox',
      expect.stringContaining('RUN ["/bin/busybox"'),
      'RUN cat /twice >/out',
    ]);
    await two.build(TEXT, { cacheFrom: [reference] });
    expect(two.outcomes.filter((x) => x === 'cached')).toHaveLength(4);
  });

  test('inline: the image that was pushed is its own cache, at the registry and when it was pulled', async () => {
    await pushed(await one.build(TEXT, { cacheTo: [{ type: 'inline' }] }), 'inline');
    await two.build(TEXT, { cacheFrom: [ref('image:inline')] });
    expect(two.outcomes.filter((x) => x === 'cached')).toHaveLength(4);
    await using three = await BuildHost.open();
    prepare(three);
    await three.builder.images.pull(ref('image:inline'), {}, context);
    await three.build(TEXT, { cacheFrom: [ref('image:inline')] });
    expect(three.outcomes.filter((x) => x === 'cached')).toHaveLength(4);
  });
});

describe('caches that are not what they should be', () => {
  const MADE = 'FROM scratch\nCOPY word /word\n';

  /** The one step of MADE, as `one` has it. */
  async function step(): Promise<TravellingStep> {
    const reference = ref('step:1');
    await one.build(MADE, { cacheTo: [{ type: 'registry', reference, mode: 'min' }] });
    const { steps } = (await config('step:1'))['berth.buildcache.v1'] as { steps: TravellingStep[] };
    const [own] = steps;
    if (own === undefined) throw new Error('no step');
    return own;
  }

  async function publish(name: string, steps: readonly TravellingStep[], layers: readonly [Digest, Buffer][]) {
    const to = client.repository(registry.host, `cache/${name}`);
    const put = async (bytes: Buffer, mediaType: string): Promise<object> => {
      const d = { mediaType, digest: sha256(bytes), sizeBytes: bytes.length };
      await to.pushBlob(d, bytes, {}, context);
      return descriptorJson(d);
    };
    const diffIds = layers.map(([id]) => id);
    const doc = cacheConfig(steps, diffIds, { os: 'linux', architecture: process.arch === 'x64' ? 'amd64' : 'arm64' });
    const blobs: object[] = [];
    for (const [, bytes] of layers) blobs.push(await put(bytes, MEDIA_TYPES.ociLayerGzip));
    const head = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest };
    const manifest = { ...head, config: await put(doc, MEDIA_TYPES.ociConfig), layers: blobs };
    await to.putManifest('1', MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)), context);
    return ref(`${name}:1`);
  }

  async function isMadeHere(cacheFrom: string, warning: RegExp): Promise<void> {
    const image = await two.build(MADE, { cacheFrom: [cacheFrom] });
    expect(two.outcomes).toEqual(['done']);
    expect(warnings(two)).toEqual([expect.stringMatching(warning)]);
    const own = await step();
    expect(image.layers.map((l) => l.diffId)).toEqual([own.diffId]);
  }

  test('one that is not there is told, and the build goes on', async () => {
    await isMadeHere(ref('nowhere:1'), /^cache .*nowhere:1: .*(not found|unknown|NAME_UNKNOWN|MANIFEST_UNKNOWN)/i);
  });

  test('an image without steps is told', async () => {
    await pushed(await one.build(MADE), 'plain');
    await isMadeHere(ref('image:plain'), /carries no steps/);
  });

  test('a layer that holds other bytes than the step says', async () => {
    const own = await step();
    const data = Buffer.from('evil');
    const header = tarHeader({ type: 'file', path: 'evil', sizeBytes: data.length });
    const evil = await tarBytes([{ header, data }]);
    const at = await publish('other', [{ ...own, bytes: 1 << 20 }], [[own.diffId, gzipSync(evil)]]);
    await isMadeHere(at, /holds sha256:[0-9a-f]{64}, not sha256:/);
  });

  test('a layer that grows beyond what was told, and one that is no gzip', async () => {
    const own = await step();
    const bomb = gzipSync(Buffer.alloc(1 << 24));
    await isMadeHere(await publish('bomb', [own], [[own.diffId, bomb]]), /more than the \d+ bytes told/);
    await two[Symbol.asyncDispose]();
    two = await BuildHost.open();
    prepare(two);
    await isMadeHere(await publish('torn', [own], [[own.diffId, Buffer.from('no gzip')]]), /incorrect header|damaged/);
  });

  test('a step whose layer is not in it, and more bytes than the disk has', async () => {
    const own = await step();
    await isMadeHere(await publish('missing', [own], []), /names the layer .* which is not in it/);
    await two[Symbol.asyncDispose]();
    two = await BuildHost.open();
    prepare(two);
    const huge = { ...own, bytes: Number.MAX_SAFE_INTEGER };
    await isMadeHere(await publish('huge', [huge], [[own.diffId, gzipSync('x')]]), /no room/);
  });
});
