/** Images for other machines, made here without their programs: bases by platform, ARGs, an index. Needs root and crun or runc. */
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, realRandom, Scope, silentLogger } from '#lib/base';
import { DistributionClient, localPlatform, MEDIA_TYPES, parseManifest } from '#lib/oci';
import type { FinishedImage } from '../../agent/build/node/finish.ts';
import { type PushedManifest, pushImage, pushIndex } from '../../agent/build/output/push.ts';
import { parsePlatform } from '../../agent/images/platform.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';
import { BuildHost, context } from './build-host.ts';

const OWN = localPlatform();
const OTHER = parsePlatform(OWN.architecture === 'amd64' ? 'linux/arm64' : 'linux/amd64');
const scope = new Scope('build platforms test');
let host: BuildHost;
let registry: Registry;
let client: DistributionClient;

/** Of a program for a machine that is neither: the kernel refuses it. */
function foreignProgram(): Buffer {
  const header = Buffer.alloc(64);
  header.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(0xf7, 18);
  return header;
}

beforeAll(async () => {
  host = scope.own(await BuildHost.open());
  await host.base();
  registry = scope.own(
    await startRegistry({
      listen: { host: '127.0.0.1', port: 0 },
      folder: join(host.folder, 'registry'),
      ...{ log: silentLogger, clock: realClock, random: realRandom },
    }),
  );
  client = scope.own(new DistributionClient({ random: realRandom }));
  writeFileSync(join(host.context, 'foreign'), foreignProgram());
  chmodSync(join(host.context, 'foreign'), 0o755);
  const text = 'FROM scratch\nARG TARGETARCH\nCOPY <<EOF /arch\nof $TARGETARCH\nEOF\nLABEL arch=$TARGETARCH\n';
  const to = client.repository(registry.host, 'many');
  const images: { platform: typeof OWN; pushed: PushedManifest }[] = [];
  for (const platform of [OWN, OTHER]) {
    const folder = join(host.folder, 'pushed');
    const outputs = [
      async (image: FinishedImage) => {
        const pushed = await pushImage(image, { to, tag: undefined, folder }, context);
        images.push({ platform, pushed });
      },
    ];
    await host.build(text, { platform, outputs });
  }
  await pushIndex(images, { to, tag: 'v1' }, context);
});
afterAll(() => scope[Symbol.asyncDispose]());

const configOf = (image: FinishedImage): { architecture: string; config: { Labels?: Record<string, string> } } =>
  JSON.parse(image.config.toString());

test('the index names both, and a base is the one of the platform that is built for', async () => {
  const { bytes, mediaType } = await client.repository(registry.host, 'many').getManifest('v1', context);
  const index = parseManifest(bytes, mediaType);
  expect(index.mediaType).toBe(MEDIA_TYPES.ociIndex);
  expect(index.type === 'index' && index.manifests.map((m) => m.platform?.architecture)).toEqual([
    OWN.architecture,
    OTHER.architecture,
  ]);
  for (const platform of [OWN, OTHER]) {
    const image = await host.build(`FROM ${registry.host}/many:v1\nCOPY foreign /x\n`, { platform });
    expect(configOf(image)).toMatchObject({
      architecture: platform.architecture,
      config: { Labels: { arch: platform.architecture } },
    });
  }
});

test('no name of this node stands for an image of another machine', async () => {
  await host.build(`FROM ${registry.host}/many:v1\n`, { platform: OTHER, pull: true });
  const pulled = await host.builder.images.pull(`${registry.host}/many:v1`, {}, context);
  expect(pulled.config.labels['arch']).toBe(OWN.architecture);
});

test('cross-building: a stage of this machine makes what the image of another gets', async () => {
  const text = `FROM --platform=$BUILDPLATFORM base AS make
ARG TARGETARCH BUILDARCH
RUN echo $BUILDARCH makes $TARGETARCH >/made
FROM ${registry.host}/many:v1
COPY --from=make /made /made
`;
  const image = await host.build(text, { platform: OTHER });
  expect(configOf(image).architecture).toBe(OTHER.architecture);
  await host.build(`${text}FROM --platform=$BUILDPLATFORM base\nCOPY --from=1 /made /made\nRUN cat /made\n`, {
    platform: OTHER,
  });
  expect(host.printed).toBe(`${OWN.architecture} makes ${OTHER.architecture}\n`);
});

test('a program of another machine is refused with what to do', async () => {
  const text = 'FROM scratch\nCOPY foreign /foreign\nRUN ["/foreign"]\n';
  await expect(host.build(text, { platform: parsePlatform('linux/s390x') })).rejects.toThrow(
    /this machine \(linux\/\w+\) runs no programs for linux\/s390x: install handlers .*qemu-user-static.*FROM --platform=\$BUILDPLATFORM/,
  );
});

test('a base that has nothing for the platform, and one that is of another', async () => {
  const text = `FROM ${registry.host}/many:v1\n`;
  await expect(host.build(text, { platform: parsePlatform('linux/riscv64') })).rejects.toThrow(
    /no match for platform linux\/riscv64 in the manifest list/,
  );
  await host.build('FROM scratch\nCOPY foreign /x\n', { platform: OTHER, tags: ['only-other'] });
  await expect(host.build('FROM only-other\n')).rejects.toThrow(/is for linux\/\w+, not for linux\/\w+/);
  const image = await host.build('FROM only-other\n', { platform: OTHER });
  expect(configOf(image).architecture).toBe(OTHER.architecture);
});

test('a platform that is none names its line', async () => {
  await expect(host.build('FROM base\nFROM --platform=a/b/c/d base\n')).rejects.toThrow(
    /platform "a\/b\/c\/d" is not OS\/ARCHITECTURE/,
  );
});
