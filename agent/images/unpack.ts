/**
 * From a stored layer blob to a verified tar stream: the compression is told by the first bytes, not by the media type, and
 * the uncompressed bytes are hashed on their way, to be compared with the config's diff id (image-spec layer.md, config.md).
 * gzip is done by node:zlib in its thread pool; zstd by zlib where Node has it (22.15), else by the zstd program.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Duplex, pipeline, Readable } from 'node:stream';
import zlib from 'node:zlib';
import { assert, type Ctx, type Digest, hexOf, StatusError } from '#lib/base';
import { digestMismatch, type FolderContentStore } from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import type { LayerInput } from './snapshot.ts';

const CHUNK_BYTES = 256 * 1024;
/** A bomb's end: no layer is larger unpacked. */
const UNPACKED_BYTES_MAX = 256 * 1024 ** 3;
const ZSTD_TIMEOUT_MS = 30 * 60 * 1000;

export interface LayerOpener {
  readonly content: FolderContentStore;
  readonly kernel: Kernel;
  /** For uncompressed copies where a program must do the work; on the file system of the images. */
  readonly scratch: string;
}

/** The uncompressed tar of blob `layer`; `verify` compares it with `diffId` after it was read to its end. */
export async function openLayer(o: LayerOpener, layer: Digest, diffId: Digest, c: Ctx): Promise<LayerInput> {
  const hash = createHash('sha256');
  let hasEnded = false;
  const { stream, cleanUp } = await decompressed(o, layer, c);
  const metered = async function* (): AsyncGenerator<Buffer, void, void> {
    let bytes = 0;
    try {
      for await (const chunk of stream) {
        if (!Buffer.isBuffer(chunk)) continue;
        bytes += chunk.length;
        if (bytes > UNPACKED_BYTES_MAX)
          throw new StatusError('TooLarge', `layer ${layer} unpacks to more than 256 GiB`);
        hash.update(chunk);
        yield chunk;
      }
      hasEnded = true;
    } catch (e) {
      throw asDamage(e, layer);
    }
  };
  return {
    stream: Readable.from(metered(), { objectMode: false, highWaterMark: CHUNK_BYTES }),
    async verify() {
      assert(hasEnded, `layer ${layer} was not read to its end`);
      const actual = `sha256:${hash.digest('hex')}`;
      if (actual !== diffId) throw digestMismatch(`${diffId} for the unpacked layer ${layer}`, actual);
    },
    async close() {
      stream.destroy();
      await cleanUp();
    },
  };
}

type Compression = 'none' | 'gzip' | 'zstd';

async function decompressed(
  o: LayerOpener,
  layer: Digest,
  c: Ctx,
): Promise<{ stream: Readable; cleanUp: () => Promise<void> }> {
  const nothing = async (): Promise<void> => undefined;
  const through = async (stage: Duplex): Promise<{ stream: Readable; cleanUp: () => Promise<void> }> => {
    const source = await o.content.read(layer);
    /* A failure of the source ends the stage with the same error, which its reader then meets. */
    pipeline(source, stage, () => undefined);
    return { stream: stage, cleanUp: nothing };
  };
  switch (await compressionOf(o.content.pathOf(layer))) {
    case 'none':
      return { stream: await o.content.read(layer), cleanUp: nothing };
    case 'gzip':
      return through(zlib.createGunzip({ chunkSize: CHUNK_BYTES }));
    case 'zstd': {
      const builtIn = zstdOfNode();
      if (builtIn) return through(builtIn);
      const path = await unzstd(o, layer, c);
      const stream = createReadStream(path, { highWaterMark: CHUNK_BYTES });
      return { stream, cleanUp: () => rm(path, { force: true }) };
    }
  }
}

async function compressionOf(path: string): Promise<Compression> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(4);
    await file.read(head, 0, 4, 0);
    if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
    return head.readUInt32LE(0) === 0xfd2fb528 ? 'zstd' : 'none';
  } finally {
    await file.close();
  }
}

function zstdOfNode(): Duplex | undefined {
  const create: unknown = Reflect.get(zlib, 'createZstdDecompress');
  return typeof create === 'function' ? create.call(zlib, { chunkSize: CHUNK_BYTES }) : undefined;
}

/** By the zstd program into a file: programs have no streams, and the agent forks nothing itself. */
async function unzstd(o: LayerOpener, layer: Digest, c: Ctx): Promise<string> {
  const path = join(o.scratch, `${hexOf(layer)}.tar`);
  await mkdir(dirname(path), { recursive: true });
  const argv = ['zstd', '-d', '-q', '-f', '--memory=128MB', '-o', path, o.content.pathOf(layer)];
  try {
    const result = await o.kernel.programs.run(argv, { timeoutMs: ZSTD_TIMEOUT_MS }, c);
    if (result.code === 0) return path;
    const why = result.code === 127 ? 'the program zstd is not installed' : result.stderr.toString().trim();
    throw new StatusError('Invalid', `layer ${layer} is compressed with zstd and cannot be unpacked: ${why}`);
  } catch (e) {
    await rm(path, { force: true });
    throw e;
  }
}

/** zlib's own errors mean a damaged layer, not a fault of ours. */
function asDamage(e: unknown, layer: Digest): unknown {
  const code = e instanceof Error && 'code' in e && typeof e.code === 'string' ? e.code : '';
  if (!(e instanceof Error) || !code.startsWith('Z_')) return e;
  return new StatusError('Invalid', `layer ${layer} is damaged: ${e.message}`, { cause: e });
}
