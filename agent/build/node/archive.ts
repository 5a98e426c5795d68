/**
 * Local archives that ADD unpacks, and contexts: told by their first bytes, not by their names. Nothing is unpacked onto a file system: the
 * bodies go to one file, the names to an index. gzip by zlib; bzip2, xz and zstd by their programs.
 * Source: Dockerfile reference, "Adding local tar archives".
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { type Ctx, StatusError } from '#lib/base';
import type { Kernel } from '../../kernel/kernel.ts';
import { TarTree } from '../context/tar-tree.ts';
import type { SourceTree } from '../context/tree.ts';

type Compression = 'none' | 'gzip' | 'bzip2' | 'xz' | 'zstd';

const HEAD_BYTES = 512;
const TIMEOUT_MS = 30 * 60 * 1000;
/** Left free for everything else. */
const RESERVE_BYTES = 64 << 20;
/** 128 + SIGXFSZ */
const FILE_TOO_LARGE = 153;

/** `path` + suffixes are files of the caller's, who removes them. Undefined: no archive. Throws Invalid for a damaged one. */
export async function openArchive(
  tree: SourceTree,
  source: string,
  o: { readonly kernel: Kernel; readonly path: string },
  c: Ctx,
): Promise<TarTree | undefined> {
  const compression = compressionOf(await head(tree.read(source, c)));
  if (compression === undefined) return undefined;
  const what = `the archive "/${source}"`;
  const tar = await uncompressed(
    () => tree.read(source, c),
    compression,
    { ...o, what, bytesMax: await room(o.path) },
    c,
  );
  // A compressed file that holds no tar is a file as any other.
  if (compression !== 'none' && !isTar(await head(tar()))) return undefined;
  return indexed(tar(), { path: o.path, what, keepsOwners: true }, c);
}

/** A tar that is sent, whatever it is packed with; read once. undefined: it is none. `path`: as for `openArchive`. */
export async function plainTar(
  bytes: AsyncIterable<Uint8Array>,
  o: { readonly kernel: Kernel; readonly path: string; readonly what: string },
  c: Ctx,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const { begin, rest } = await peeked(bytes);
  const compression = compressionOf(begin);
  if (compression === undefined) {
    await rest[Symbol.asyncIterator]().return?.();
    return undefined;
  }
  return (await uncompressed(() => chained(begin, rest), compression, { ...o, bytesMax: await room(o.path) }, c))();
}

/** A context that is sent: read once, to its end. All in it is root's. `head` and `rest`: it is no archive. */
export async function receiveArchive(
  bytes: AsyncIterable<Uint8Array>,
  o: { readonly kernel: Kernel; readonly path: string },
  c: Ctx,
): Promise<{ readonly tree: TarTree } | { readonly head: Buffer; readonly rest: AsyncIterable<Uint8Array> }> {
  const { begin, rest } = await peeked(bytes);
  const compression = compressionOf(begin);
  if (compression === undefined) return { head: begin, rest };
  const what = 'the build context';
  const all = (): AsyncIterable<Uint8Array> => chained(begin, rest);
  const tar = await uncompressed(all, compression, { ...o, what, bytesMax: await room(o.path) }, c);
  return { tree: await indexed(tar(), { path: o.path, what, keepsOwners: false }, c) };
}

async function peeked(
  bytes: AsyncIterable<Uint8Array>,
): Promise<{ readonly begin: Buffer; readonly rest: AsyncIterable<Uint8Array> }> {
  const source = bytes[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  for (let size = 0; size < HEAD_BYTES; ) {
    const next = await source.next();
    if (next.done === true) break;
    first.push(next.value);
    size += next.value.length;
  }
  return { begin: Buffer.concat(first), rest: { [Symbol.asyncIterator]: () => source } };
}

/** `rest` is left by whoever leaves this, also before its first piece; it is never told of what its reader failed with. */
async function* chained(begin: Uint8Array, rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const source = rest[Symbol.asyncIterator]();
  try {
    yield begin;
    for await (const piece of { [Symbol.asyncIterator]: () => source }) yield piece;
  } finally {
    await source.return?.();
  }
}

async function room(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path.slice(0, path.lastIndexOf('/')));
  return Math.max(0, bavail * bsize - RESERVE_BYTES);
}

async function indexed(
  tar: AsyncIterable<Uint8Array>,
  o: { readonly path: string; readonly what: string; readonly keepsOwners: boolean },
  c: Ctx,
): Promise<TarTree> {
  const { path, what, keepsOwners } = o;
  try {
    return await TarTree.receive(tar, { path: `${path}.bodies`, bytesMax: await room(path), keepsOwners }, c);
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && String(e.code).startsWith('Z_'))) throw e;
    throw new StatusError('Invalid', `${what} is damaged: ${e.message}`, { cause: e });
  }
}

async function head(bytes: AsyncIterable<Uint8Array>): Promise<Buffer> {
  let out = Buffer.alloc(0);
  try {
    for await (const piece of bytes) {
      out = Buffer.concat([out, piece]);
      if (out.length >= HEAD_BYTES) break;
    }
  } catch (e) {
    if (!(e instanceof Error && 'code' in e && String(e.code).startsWith('Z_'))) throw e;
  }
  return out;
}

function compressionOf(b: Buffer): Compression | undefined {
  const begins = (...bytes: number[]): boolean => bytes.every((byte, i) => b[i] === byte);
  if (begins(0x1f, 0x8b)) return 'gzip';
  if (begins(0x42, 0x5a, 0x68)) return 'bzip2';
  if (begins(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)) return 'xz';
  if (begins(0x28, 0xb5, 0x2f, 0xfd)) return 'zstd';
  return isTar(b) ? 'none' : undefined;
}

/** By the checksum of its first header, which all forms of tar have. */
function isTar(b: Buffer): boolean {
  if (b.length < HEAD_BYTES) return false;
  const told = Number.parseInt(b.toString('latin1', 148, 156).replaceAll('\0', ' ').trim(), 8);
  let sum = 0;
  for (let i = 0; i < HEAD_BYTES; i++) sum += i >= 148 && i < 156 ? 32 : (b[i] ?? 0);
  return sum === told && sum !== 8 * 32;
}

async function uncompressed(
  read: () => AsyncIterable<Uint8Array>,
  compression: Compression,
  o: { readonly kernel: Kernel; readonly path: string; readonly what: string; readonly bytesMax: number },
  c: Ctx,
): Promise<() => AsyncIterable<Uint8Array>> {
  if (compression === 'none') return read;
  if (compression === 'gzip') return () => gunzipped(read());
  const [packed, plain] = [`${o.path}.packed`, `${o.path}.tar`];
  await pipeline(Readable.from(read()), createWriteStream(packed, { flags: 'wx' }), { signal: c.signal });
  // The agent forks nothing itself, and its helper's programs have no streams: the shell's redirection is the file.
  const script = `exec prlimit --fsize=${o.bytesMax} ${compression} -d -c <"$1" >"$2"`;
  const argv = ['sh', '-c', script, 'sh', packed, plain];
  const { code, stderr } = await o.kernel.programs.run(argv, { timeoutMs: TIMEOUT_MS }, c);
  if (code === FILE_TOO_LARGE) throw new StatusError('TooLarge', `${o.what} unpacks to more than there is room for`);
  const why = code === 127 || code === 126 ? `the program ${compression} is not installed` : stderr.toString().trim();
  if (code !== 0) throw new StatusError('Invalid', `${o.what} cannot be unpacked: ${why}`);
  return () => createReadStream(plain) as AsyncIterable<Buffer>;
}

async function* gunzipped(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const gunzip = createGunzip();
  const fed = pipeline(Readable.from(bytes), gunzip);
  fed.catch(() => undefined); // whoever reads meets the same error
  for await (const piece of gunzip) if (piece instanceof Uint8Array) yield piece;
}
