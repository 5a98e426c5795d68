/**
 * Uploading one blob: mount it from another repository where that works, else in one PUT or in chunks by PATCH. After a chunk
 * whose fate is unknown (lost connection, 5xx) or that came out of order, the registry is asked how far it is, and the upload
 * goes on from there (spec.md "Pushing a blob in chunks").
 */
import { type Ctx, isKind, StatusError } from '#lib/base';
import type { AnyDigest } from './digest.ts';
import { answerError, discard, type HttpRequest, type HttpResponse } from './transport.ts';

/** What a pushed blob is made of: bytes, or a stream that can be opened again at any offset for another attempt. */
export type BlobSource = Uint8Array | ((start: number) => AsyncIterable<Uint8Array>);

export interface UploadOptions {
  /** A repository of the same registry that has the blob. */
  readonly mountFrom?: string | undefined;
  /** Send PATCH requests of this size instead of one PUT. */
  readonly chunkBytes?: number | undefined;
}

/** One repository, with authorization. */
export interface UploadPort {
  /** Opens error messages. */
  readonly subject: string;
  send(r: HttpRequest): Promise<HttpResponse>;
  url(path: string): string;
}

interface Blob {
  readonly digest: AnyDigest;
  readonly sizeBytes: number;
}

interface Position {
  readonly location: string;
  readonly offset: number;
}

type OpenAt = (start: number) => Uint8Array | AsyncIterable<Uint8Array>;

/** Questions in a row after which the registry has not moved: the upload is given up. */
const STALLS_MAX = 4;

export async function uploadBlob(
  port: UploadPort,
  d: Blob,
  source: BlobSource,
  o: UploadOptions,
  c: Ctx,
): Promise<'mounted' | 'uploaded'> {
  const open: OpenAt = (start) => (source instanceof Uint8Array ? source.subarray(start) : source(start));
  const started = await startUpload(port, d.digest, o.mountFrom, c);
  if (started === undefined) return 'mounted';
  let at: Position = { location: started, offset: 0 };
  if (o.chunkBytes !== undefined)
    at = await sendChunks(port, at, { sizeBytes: d.sizeBytes, chunkBytes: o.chunkBytes, open }, c);
  const url = new URL(at.location);
  url.searchParams.set('digest', d.digest);
  const leftBytes = d.sizeBytes - at.offset;
  const answer = await port.send({
    method: 'PUT',
    url: url.href,
    headers: { 'content-type': 'application/octet-stream', 'content-length': `${leftBytes}` },
    body: leftBytes === 0 ? undefined : () => open(at.offset),
  });
  if (answer.status !== 201) throw await answerError(answer, port.subject, c);
  await discard(answer);
  return 'uploaded';
}

/** The upload's URL; undefined when the blob was mounted. */
async function startUpload(
  port: UploadPort,
  digest: AnyDigest,
  mountFrom: string | undefined,
  c: Ctx,
): Promise<string | undefined> {
  const url = new URL(port.url('blobs/uploads/'));
  if (mountFrom !== undefined) {
    url.searchParams.set('mount', digest);
    url.searchParams.set('from', mountFrom);
  }
  const answer = await port.send({ method: 'POST', url: url.href, headers: { 'content-length': '0' } });
  const isMounted = answer.status === 201 && mountFrom !== undefined;
  if (!isMounted && answer.status !== 202) throw await answerError(answer, port.subject, c);
  await discard(answer);
  return isMounted ? undefined : locationOf(answer);
}

async function sendChunks(
  port: UploadPort,
  start: Position,
  o: { sizeBytes: number; chunkBytes: number; open: OpenAt },
  c: Ctx,
): Promise<Position> {
  let at = start;
  for (let stalls = 0; at.offset < o.sizeBytes; ) {
    const end = Math.min(at.offset + o.chunkBytes, o.sizeBytes);
    let next: Position;
    try {
      next = await sendChunk(port, at, end, o.open, c);
    } catch (e) {
      if (!isKind(e, 'Unavailable')) throw e;
      next = await askPosition(port, at.location, c);
    }
    if (next.offset > end)
      throw new StatusError('Invalid', `${port.subject}: the registry claims bytes that were not sent`);
    stalls = next.offset > at.offset ? 0 : stalls + 1;
    if (stalls > STALLS_MAX)
      throw new StatusError('Unavailable', `${port.subject}: the registry takes nothing after byte ${at.offset}`);
    at = next;
  }
  return at;
}

async function sendChunk(port: UploadPort, at: Position, end: number, open: OpenAt, c: Ctx): Promise<Position> {
  const answer = await port.send({
    method: 'PATCH',
    url: at.location,
    headers: {
      'content-type': 'application/octet-stream',
      'content-range': `${at.offset}-${end - 1}`,
      'content-length': `${end - at.offset}`,
    },
    body: () => firstBytes(open(at.offset), end - at.offset),
  });
  if (answer.status === 416) {
    await discard(answer);
    return askPosition(port, at.location, c);
  }
  if (answer.status !== 202) throw await answerError(answer, port.subject, c);
  await discard(answer);
  return { location: locationOf(answer), offset: reachedBy(answer) ?? end };
}

/** How far the registry is. "0-0" is read as nothing: registries say so of an empty upload, and one byte more is sent again. */
async function askPosition(port: UploadPort, location: string, c: Ctx): Promise<Position> {
  const answer = await port.send({ method: 'GET', url: location, headers: {} });
  if (answer.status !== 204) throw await answerError(answer, port.subject, c);
  await discard(answer);
  const reached = reachedBy(answer) ?? 0;
  return { location: locationOf(answer), offset: reached === 1 ? 0 : reached };
}

/** The offset that a Range header stands for: 0-99 means 100 bytes are there. */
function reachedBy(answer: HttpResponse): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(answer.header('range') ?? '')?.[1];
  return last === undefined ? undefined : Number(last) + 1;
}

function locationOf(answer: HttpResponse): string {
  const location = answer.header('location');
  if (location === undefined) throw new StatusError('Invalid', 'the registry gave no Location for the upload');
  return new URL(location, answer.url).href;
}

async function* firstBytes(
  source: Uint8Array | AsyncIterable<Uint8Array>,
  length: number,
): AsyncGenerator<Uint8Array, void, void> {
  if (source instanceof Uint8Array) {
    yield source.subarray(0, length);
    return;
  }
  let left = length;
  for await (const piece of source) {
    yield piece.subarray(0, left);
    left -= Math.min(piece.length, left);
    if (left === 0) return;
  }
}
