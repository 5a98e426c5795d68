/**
 * What a client sends as an archive, uncompressed: by its first bytes plain, gzip, zstd, xz or bzip2. gzip is read on its way; for
 * the others a program unpacks a file into a file, since the agent gives no program a stream.
 * Source: moby pkg/archive/compression (DetectCompression).
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { rm, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline as pipe, Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Ctx, StatusError } from '#lib/base';
import type { Kernel } from '../../../kernel/kernel.ts';
import { badParameter } from '../../http/contract.ts';

export interface OpenedArchive extends AsyncDisposable {
  readonly bytes: AsyncIterable<Buffer>;
}

export interface ArchiveHost {
  readonly kernel: Kernel;
  /** New paths for what must be a file in between. */
  readonly draft: () => string;
}

const MAGICS: readonly { readonly bytes: readonly number[]; readonly argv: readonly string[] | undefined }[] = [
  { bytes: [0x1f, 0x8b], argv: undefined },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], argv: ['zstd', '-d', '-q', '-c', '--memory=128MB'] },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00], argv: ['xz', '-d', '-q', '-c', '--memlimit-decompress=128MiB'] },
  { bytes: [0x42, 0x5a, 0x68], argv: ['bzip2', '-d', '-q', '-c'] },
];
const MAGIC_BYTES = 6;
const CHUNK_BYTES = 256 * 1024;
const TIMEOUT_MS = 30 * 60 * 1000;
/** Left free for everything else. */
export const RESERVE_BYTES = 64 * 1024 * 1024;
/** 128 + SIGXFSZ */
const FILE_TOO_LARGE = 153;

/** Must be disposed of. */
export async function openArchive(body: Readable, host: ArchiveHost, c: Ctx): Promise<OpenedArchive> {
  const { head, all } = await peek(body);
  const magic = MAGICS.find((m) => m.bytes.every((byte, i) => head[i] === byte));
  if (magic === undefined) return { bytes: all, [Symbol.asyncDispose]: async () => undefined };
  if (magic.argv === undefined) {
    const gunzip = createGunzip({ chunkSize: CHUNK_BYTES });
    const source = Readable.from(all, { objectMode: false });
    pipe(source, gunzip, () => undefined); // Its reader meets the error.
    return {
      bytes: told(gunzip),
      [Symbol.asyncDispose]: async () => {
        gunzip.destroy();
        source.destroy();
      },
    };
  }
  return unpacked(all, magic.argv, host, c);
}

async function unpacked(
  all: AsyncIterable<Buffer>,
  argv: readonly string[],
  host: ArchiveHost,
  c: Ctx,
): Promise<OpenedArchive> {
  const [packed, plain] = [host.draft(), host.draft()];
  try {
    await pipeline(Readable.from(all), createWriteStream(packed, { flags: 'wx' }), { signal: c.signal });
    await run(argv, { packed, plain }, host, c);
  } catch (e) {
    await rm(plain, { force: true });
    throw e;
  } finally {
    await rm(packed, { force: true });
  }
  const stream = createReadStream(plain, { highWaterMark: CHUNK_BYTES });
  return {
    bytes: stream as AsyncIterable<Buffer>,
    [Symbol.asyncDispose]: async () => {
      stream.destroy();
      await rm(plain, { force: true });
    },
  };
}

async function run(
  argv: readonly string[],
  { packed, plain }: { packed: string; plain: string },
  host: ArchiveHost,
  c: Ctx,
): Promise<void> {
  const { bavail, bsize } = await statfs(dirname(plain));
  const bytesMax = Math.max(0, bavail * bsize - RESERVE_BYTES);
  /* A shell only for its redirections: the paths are ours, and nothing of the client is in it. */
  const script = 'out="$1"; shift; exec "$@" <"$0" >"$out"';
  const command = ['prlimit', `--fsize=${bytesMax}`, 'sh', '-c', script, packed, plain, ...argv];
  const result = await host.kernel.programs.run(command, { timeoutMs: TIMEOUT_MS }, c);
  if (result.code === 0) return;
  if (result.code === FILE_TOO_LARGE || result.stderr.includes('File too large')) throw noSpace(bytesMax);
  const words = result.stderr.toString().trim();
  const [name = ''] = argv;
  throw badParameter(
    result.code === 127 ? `the program ${name} is not installed` : `the archive cannot be unpacked: ${words}`,
  );
}

/** zlib's own errors are about what the client sent. */
async function* told(stream: AsyncIterable<unknown>): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const piece of stream) if (Buffer.isBuffer(piece)) yield piece;
  } catch (e) {
    const code = e instanceof Error && 'code' in e && typeof e.code === 'string' ? e.code : '';
    if (e instanceof Error && code.startsWith('Z_')) throw badParameter(`the archive is damaged: ${e.message}`);
    throw e;
  }
}

async function peek(body: Readable): Promise<{ head: Buffer; all: AsyncIterable<Buffer> }> {
  /* What is not read stays the server's, which then can still answer. */
  const pieces = body.iterator({ destroyOnReturn: false });
  const first: Buffer[] = [];
  let length = 0;
  let isDone = false;
  while (length < MAGIC_BYTES && !isDone) {
    const next = await pieces.next();
    isDone = next.done === true;
    if (!Buffer.isBuffer(next.value)) continue;
    first.push(next.value);
    length += next.value.length;
  }
  const all = async function* (): AsyncGenerator<Buffer, void, void> {
    try {
      yield* first;
      for (;;) {
        const next = isDone ? { done: true, value: undefined } : await pieces.next();
        if (next.done === true) return;
        if (Buffer.isBuffer(next.value)) yield next.value;
      }
    } finally {
      await pieces.return?.();
    }
  };
  return { head: Buffer.concat(first), all: all() };
}

export function noSpace(bytes: number): StatusError {
  return new StatusError('Internal', `no space left on device: ${bytes} bytes are free for it`, { reason: 'NoSpace' });
}
