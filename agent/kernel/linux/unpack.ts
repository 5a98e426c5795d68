/** Layers unpacked by children of the helper: agent/native/unpack.c. */
import { pipeline } from 'node:stream/promises';
import { type Ctx, isDigest, StatusError } from '#lib/base';
import type { BlobToUnpack, LayerToUnpack, Programs, UnpackedBlob } from '../kernel.ts';
import type { Helper } from './helper.ts';

const SYNC_TIMEOUT_MS = 10 * 60_000;

/** Feeds the archive to a child of the helper. The child's verdict wins over the broken pipe that it leaves behind. */
export async function unpackLayer(
  helper: Helper,
  o: LayerToUnpack,
  c: Ctx,
): Promise<{ entries: number; bytes: number }> {
  const stream = await helper.expectStream();
  const feeding = new AbortController();
  let inputError: unknown;
  const feed = stream.socket.then((socket) =>
    pipeline(o.input, socket, { signal: feeding.signal }).catch((e: unknown) => {
      inputError = e;
      socket.destroy();
    }),
  );
  try {
    const { bytesMax = Number.MAX_SAFE_INTEGER, entriesMax = Number.MAX_SAFE_INTEGER } = o;
    const answer = await helper.call('unpack', [o.root, helper.streamsPath, stream.token, bytesMax, entriesMax], c);
    await feed;
    if (inputError !== undefined) throw inputError;
    const [entries, bytes] = answer.trim().split(' ').map(Number);
    if (entries === undefined || bytes === undefined) throw new StatusError('Internal', `bad answer: ${answer}`);
    return { entries, bytes };
  } catch (e) {
    feeding.abort();
    /* An input that failed by itself (a bad digest, a lost connection) is the cause; the child only saw its end. */
    throw inputError !== undefined && !isBrokenPipe(inputError) ? inputError : e;
  } finally {
    stream.forget();
  }
}

export async function unpackBlob(helper: Helper, o: BlobToUnpack, c: Ctx): Promise<UnpackedBlob> {
  const answer = await helper.call('unpackBlob', [o.root, o.path, o.bytesMax, o.entriesMax], c);
  const [entries, bytes, hex] = answer.trim().split(' ');
  const diffId = `sha256:${hex}`;
  if (!isDigest(diffId)) throw new StatusError('Internal', `bad answer: ${answer}`);
  return { entries: Number(entries), bytes: Number(bytes), diffId };
}

/** By coreutils' `sync -f`, which is syncfs(2). */
export async function syncFileSystem(programs: Programs, path: string, c: Ctx): Promise<void> {
  const result = await programs.run(['sync', '-f', path], { timeoutMs: SYNC_TIMEOUT_MS }, c);
  if (result.code !== 0)
    throw new StatusError('Internal', `sync of ${path} failed: ${result.stderr.toString().trim()}`);
}

function isBrokenPipe(e: unknown): boolean {
  const code = e instanceof Error && 'code' in e ? e.code : undefined;
  return code === 'EPIPE' || code === 'ECONNRESET' || code === 'ERR_STREAM_PREMATURE_CLOSE';
}
