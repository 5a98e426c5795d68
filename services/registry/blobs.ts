/**
 * Blobs: HEAD, GET with ranges, DELETE; and the upload requests in all their forms: POST?digest with the body, POST then PUT,
 * chunks by PATCH with or without Content-Range, mount from another repository (spec.md "Pulling blobs", "Pushing Blobs").
 * A blob is readable through a repository only when that repository has it. 201 is said only when everything is on disk.
 */
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { isKind } from '#lib/base';
import { type AnyDigest, type BlobInfo, type Ingest, isRepositoryName } from '#lib/oci';
import { registryError } from './errors.ts';
import { digestParameter, type Exchange, reply } from './exchange.ts';
import type { Repository } from './repository.ts';

const OCTETS = 'application/octet-stream';

export async function getBlob(x: Exchange): Promise<void> {
  const digest = digestParameter(x.reference);
  const info = await x.leases.hold([digest], () => blobOf(x, x.repository, digest));
  if (!info) throw registryError('BLOB_UNKNOWN');
  const headers = {
    'content-type': OCTETS,
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'cache-control': 'max-age=31536000, immutable',
    'accept-ranges': 'bytes',
  };
  if (x.req.headers['if-none-match']?.includes(digest) === true) {
    x.res.writeHead(304, headers).end();
    return;
  }
  const range = parseRange(x.req.headers.range, info.sizeBytes);
  if (range === 'unsatisfiable') {
    reply(x, 416, { 'content-range': `bytes */${info.sizeBytes}` });
    return;
  }
  const { start, end } = range ?? { start: 0, end: info.sizeBytes };
  const bytes = x.method === 'HEAD' ? undefined : await readBlob(x, digest, { start, end });
  x.res.writeHead(range ? 206 : 200, {
    ...headers,
    'content-length': end - start,
    ...(range && { 'content-range': `bytes ${start}-${end - 1}/${info.sizeBytes}` }),
  });
  if (bytes === undefined) x.res.end();
  else await pipeline(bytes, x.res);
}

async function readBlob(x: Exchange, digest: AnyDigest, range: { start: number; end: number }): Promise<Readable> {
  try {
    return await x.content.read(digest, range);
  } catch (e) {
    throw isKind(e, 'NotFound') ? registryError('BLOB_UNKNOWN') : e;
  }
}

export async function deleteBlob(x: Exchange): Promise<void> {
  const digest = digestParameter(x.reference);
  const removed = await x.repositories.lock(x.repository.name, () => x.repository.unlinkBlob(digest));
  if (!removed) throw registryError('BLOB_UNKNOWN');
  reply(x, 202, {});
}

/** POST /v2/<name>/blobs/uploads/ */
export async function startUpload(x: Exchange): Promise<void> {
  const mount = x.query.get('mount');
  if (mount !== null && (await tryMount(x, digestParameter(mount)))) return;
  const algorithm = x.query.get('digest-algorithm');
  if (algorithm !== null && algorithm !== 'sha256' && algorithm !== 'sha512')
    throw registryError('DIGEST_INVALID', `the digest algorithm "${algorithm.slice(0, 40)}" is not supported`);
  await requireRoom(x);
  const whole = x.query.get('digest');
  const expected = whole === null ? undefined : digestParameter(whole);
  const id = await x.uploads.start(x.repository.name);
  if (expected === undefined) {
    reply(x, 202, uploadHeaders(x, id, 0));
    return;
  }
  await x.uploads.use(id, x.repository.name, (ingest) => finish(x, ingest, expected));
}

/** PATCH: one more piece. */
export async function appendUpload(x: Exchange): Promise<void> {
  await x.uploads.use(x.reference, x.repository.name, async (ingest) => {
    if (!isInOrder(x, ingest)) return;
    await receive(x, ingest);
    await kept(x, ingest, () => ingest.flush());
    reply(x, 202, uploadHeaders(x, x.reference, ingest.offset));
  });
}

/** PUT ?digest=: the last piece, if any, and the end. */
export async function finishUpload(x: Exchange): Promise<void> {
  const text = x.query.get('digest');
  if (text === null) throw registryError('DIGEST_INVALID', 'the digest parameter is missing');
  const digest = digestParameter(text);
  await x.uploads.use(x.reference, x.repository.name, async (ingest) => {
    if (isInOrder(x, ingest)) await finish(x, ingest, digest);
  });
}

export async function uploadStatus(x: Exchange): Promise<void> {
  await x.uploads.use(x.reference, x.repository.name, async (ingest) => {
    await kept(x, ingest, () => ingest.flush());
    reply(x, 204, uploadHeaders(x, x.reference, ingest.offset));
  });
}

export async function cancelUpload(x: Exchange): Promise<void> {
  await x.uploads.use(x.reference, x.repository.name, async (ingest) => {
    x.uploads.forget(ingest);
    await ingest.abort();
    reply(x, 204, {});
  });
}

/** The blob, when this repository has it. */
export async function blobOf(x: Exchange, repository: Repository, digest: AnyDigest): Promise<BlobInfo | undefined> {
  return (await repository.hasBlob(digest)) ? x.content.stat(digest) : undefined;
}

/** Links a blob of the repository `from`, which the caller must be allowed to pull from; without `from`, of any. */
async function tryMount(x: Exchange, digest: AnyDigest): Promise<boolean> {
  const isMounted = await x.leases.hold([digest], async () => {
    const info = await mountable(x, digest);
    if (!info) return false;
    await x.quotas.take(x.repository.name, digest, info.sizeBytes);
    await x.repository.linkBlob(digest);
    return true;
  });
  if (isMounted) reply(x, 201, blobHeaders(x, digest));
  return isMounted;
}

async function mountable(x: Exchange, digest: AnyDigest): Promise<BlobInfo | undefined> {
  const from = x.query.get('from');
  // `list` on the registry as a whole stands for all repositories: who may see them all learns nothing by a mount.
  if (from === null) {
    const asked = { right: 'list', repository: '' } as const;
    return (await x.caller.may(asked, x.ctx)) ? x.content.stat(digest) : undefined;
  }
  if (!isRepositoryName(from) || !(await x.caller.may({ right: 'get', repository: from }, x.ctx))) return undefined;
  return blobOf(x, x.repositories.get(from), digest);
}

/** A chunk must begin where the last one ended; else 416 says where that is. */
function isInOrder(x: Exchange, ingest: Ingest): boolean {
  const range = x.req.headers['content-range'];
  if (range === undefined) return true;
  const m = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(range);
  if (!m) throw registryError('BLOB_UPLOAD_INVALID', `Content-Range "${range.slice(0, 80)}" is not <start>-<end>`);
  const [start, end] = [Number(m[1]), Number(m[2])];
  const length = x.req.headers['content-length'];
  if (length !== undefined && Number(length) > 0 && Number(length) !== end - start + 1)
    throw registryError('SIZE_INVALID', 'Content-Length and Content-Range do not agree');
  if (start === ingest.offset) return true;
  reply(x, 416, uploadHeaders(x, x.reference, ingest.offset));
  x.req.resume();
  return false;
}

/** A body that says beforehand that it is too large for the quota is not read. */
async function requireRoom(x: Exchange): Promise<void> {
  const wanted = Math.max(Number(x.req.headers['content-length'] ?? 0), 1);
  if ((await x.quotas.room(x.repository.name, wanted)) < wanted) throw await x.quotas.refusal(x.repository.name);
}

/** What came before a lost connection stays, for the client to go on; after a failure of the disk the upload is gone. */
async function receive(x: Exchange, ingest: Ingest): Promise<void> {
  const { name } = x.repository;
  let room = await x.quotas.room(name, ingest.offset + 1);
  for await (const piece of x.req) {
    if (!Buffer.isBuffer(piece)) continue;
    await kept(x, ingest, async () => {
      const wanted = ingest.offset + piece.length;
      if (wanted > room) room = await x.quotas.room(name, wanted);
      if (wanted > room) throw await x.quotas.refusal(name);
      await ingest.write(piece);
    });
  }
}

async function kept(x: Exchange, ingest: Ingest, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (e) {
    x.uploads.forget(ingest);
    await ingest.abort();
    throw e;
  }
}

async function finish(x: Exchange, ingest: Ingest, digest: AnyDigest): Promise<void> {
  await receive(x, ingest);
  x.uploads.forget(ingest);
  await x.leases.hold([digest], async () => {
    try {
      await x.quotas.take(x.repository.name, digest, ingest.offset);
      await ingest.commit({ digest });
    } catch (e) {
      await ingest.abort();
      if (isKind(e, 'Invalid')) throw registryError('DIGEST_INVALID', e.message, e);
      throw e;
    }
    await x.repository.linkBlob(digest);
  });
  reply(x, 201, blobHeaders(x, digest));
}

function blobHeaders(x: Exchange, digest: AnyDigest): Record<string, string> {
  return { location: `/v2/${x.repository.name}/blobs/${digest}`, 'docker-content-digest': digest };
}

/** Docker's client reads the Range of an empty upload as "0-0" too. */
function uploadHeaders(x: Exchange, id: string, offset: number): Record<string, string> {
  return {
    location: `/v2/${x.repository.name}/blobs/uploads/${id}`,
    range: `0-${Math.max(offset - 1, 0)}`,
    'docker-upload-uuid': id,
  };
}

/** [start, end); undefined for no range, several ranges or another unit, which are answered in full (RFC 9110 §14.2). One that ends before it begins is refused. */
function parseRange(
  header: string | undefined,
  size: number,
): { start: number; end: number } | 'unsatisfiable' | undefined {
  const m = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '');
  if (!m || (m[1] === '' && m[2] === '')) return undefined;
  if (m[1] === '') {
    const length = Math.min(Number(m[2]), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size };
  }
  const start = Number(m[1]);
  const end = m[2] === '' ? size : Math.min(Number(m[2]) + 1, size);
  return start >= size || end <= start ? 'unsatisfiable' : { start, end };
}
