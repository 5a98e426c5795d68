/**
 * From a stored layer blob to a verified tar stream: the compression is told by the first bytes, not by the media type, and
 * the uncompressed bytes are hashed on their way, to be compared with the config's diff id (image-spec layer.md, config.md).
 * gzip is done by the native helper, which reads the blob itself; for the copying format by node:zlib in its thread pool. zstd is
 * done by zlib where Node has it (22.15), else by the zstd program.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Duplex, pipeline, Readable } from 'node:stream';
import zlib from 'node:zlib';
import { assert, type Ctx, type Digest, hexOf, StatusError } from '#lib/base';
import { digestMismatch, type FolderContentStore } from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import type { LayerInput } from './snapshot.ts';

const CHUNK_BYTES = 256 * 1024;
/** Left free for everything else by a layer that is unpacked. */
const RESERVE_BYTES = 16 * 1024 * 1024;
const RESERVE_ENTRIES = 1024;
/** 128 + SIGXFSZ */
const FILE_TOO_LARGE = 153;
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
  const { file, open: start, cleanUp } = await sourceOf(o, layer, c);
  const { bytesMax, entriesMax } = await freeOf(o.content.pathOf(layer));
  let stream: Readable | undefined;
  const metered = async function* (source: Readable): AsyncGenerator<Buffer, void, void> {
    let bytes = 0;
    try {
      for await (const chunk of source) {
        if (!Buffer.isBuffer(chunk)) continue;
        bytes += chunk.length;
        if (bytes > bytesMax) throw tooLarge(bytesMax);
        hash.update(chunk);
        yield chunk;
      }
      hasEnded = true;
    } catch (e) {
      throw asDamage(e, layer);
    }
  };
  return {
    file,
    bytesMax,
    entriesMax,
    async open() {
      stream = await start();
      return Readable.from(metered(stream), { objectMode: false, highWaterMark: CHUNK_BYTES });
    },
    async verify(known?: Digest) {
      assert(known !== undefined || hasEnded, `layer ${layer} was not read to its end`);
      const actual = known ?? `sha256:${hash.digest('hex')}`;
      if (actual !== diffId) throw digestMismatch(`${diffId} for the unpacked layer ${layer}`, actual);
    },
    async close() {
      stream?.destroy();
      await cleanUp();
    },
  };
}

/** A tar that is told by nobody beforehand, on its way to the file system of `folder`. */
export async function streamed(tar: AsyncGenerator<Uint8Array, void, void>, folder: string): Promise<LayerInput> {
  const stream = Readable.from(tar, { objectMode: false, highWaterMark: CHUNK_BYTES });
  return {
    ...(await freeOf(folder)),
    open: async () => stream,
    verify: async () => undefined,
    close: async () => void stream.destroy(),
  };
}

/** A bomb is as a full disk: told before anything else meets its end. */
function tooLarge(bytesMax: number): StatusError {
  const text = `No space left on device: the layer unpacks to more than the ${bytesMax} bytes that are free`;
  return new StatusError('Internal', text, { reason: 'NoSpace' });
}

async function freeOf(path: string): Promise<{ bytesMax: number; entriesMax: number }> {
  const { bavail, bsize, files, ffree } = await statfs(path);
  const bytesMax = Math.max(0, bavail * bsize - RESERVE_BYTES);
  /* Some file systems count no inodes. */
  return { bytesMax, entriesMax: files === 0 ? Number.MAX_SAFE_INTEGER : Math.max(0, ffree - RESERVE_ENTRIES) };
}

type Compression = 'none' | 'gzip' | 'zstd';

interface Source {
  /** Where it lies plain or as gzip. */
  readonly file: string | undefined;
  open(): Promise<Readable>;
  cleanUp(): Promise<void>;
}

async function sourceOf(o: LayerOpener, layer: Digest, c: Ctx): Promise<Source> {
  const cleanUp = async (): Promise<void> => undefined;
  const through = async (stage: Duplex): Promise<Readable> => {
    const source = await o.content.read(layer);
    /* A failure of the source ends the stage with the same error, which its reader then meets. */
    pipeline(source, stage, () => undefined);
    return stage;
  };
  const path = o.content.pathOf(layer);
  switch (await compressionOf(path)) {
    case 'none':
      return { file: path, open: () => o.content.read(layer), cleanUp };
    case 'gzip':
      return { file: path, open: () => through(zlib.createGunzip({ chunkSize: CHUNK_BYTES })), cleanUp };
    case 'zstd': {
      const builtIn = zstdOfNode();
      if (builtIn) return { file: undefined, open: () => through(builtIn), cleanUp };
      const file = await unzstd(o, layer, c);
      const open = async (): Promise<Readable> => createReadStream(file, { highWaterMark: CHUNK_BYTES });
      return { file, open, cleanUp: () => rm(file, { force: true }) };
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
  const { bytesMax } = await freeOf(o.content.pathOf(layer));
  const limited = ['prlimit', `--fsize=${bytesMax}`];
  const argv = [...limited, 'zstd', '-d', '-q', '-f', '--memory=128MB', '-o', path, o.content.pathOf(layer)];
  try {
    const result = await o.kernel.programs.run(argv, { timeoutMs: ZSTD_TIMEOUT_MS }, c);
    if (result.code === 0) return path;
    if (result.code === FILE_TOO_LARGE || result.stderr.includes('File too large')) throw tooLarge(bytesMax);
    const why =
      result.code === 127 || result.stderr.includes('failed to execute')
        ? 'the program zstd is not installed'
        : result.stderr.toString().trim();
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
