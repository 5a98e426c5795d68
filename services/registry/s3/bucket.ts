/**
 * One bucket (or a prefix of it) by the S3 protocol: what a content store needs, path-style, each body signed by its own hash, so
 * that a byte changed on the way is refused there. Requests that failed for a passing reason are repeated.
 *
 * Large objects go in parts. One that is not whole never shows: it is completed by one request, or given up.
 * Source: docs.aws.amazon.com/AmazonS3/latest/API (HeadObject, GetObject, PutObject, CreateMultipartUpload, ListObjectsV2, ...).
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { type BackoffPolicy, type Ctx, type Random, retry, StatusError } from '#lib/base';
import { discard, Transport } from '#lib/oci';
import { EMPTY_SHA256, encodePath, queryText, type S3Credentials, signed } from './sign.ts';
import { elementsOf, escapeXml, textOf } from './xml.ts';

export interface S3Settings extends S3Credentials {
  /** `https://s3.eu-central-1.amazonaws.com`, `http://minio:9000` */
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  /** '' or ends with a slash: begins each key. */
  readonly prefix: string;
  /** PEM; absent = the authorities that the machine trusts. */
  readonly ca?: string | undefined;
}

export interface S3Object {
  /** Without the prefix. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

export interface FileToPut {
  readonly path: string;
  readonly sizeBytes: number;
  /** Hex, when it is known. */
  readonly sha256?: string | undefined;
}

interface Answer {
  readonly status: number;
  header(name: string): string | undefined;
  readonly body: Readable;
  readonly dump: () => Promise<void>;
  readonly url: string;
}

interface Request {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'DELETE';
  readonly key: string;
  readonly query?: readonly (readonly [string, string])[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: { readonly sha256: string; readonly sizeBytes: number; readonly open: () => Uint8Array | Readable };
}

export const PART_BYTES = 16 * 1024 * 1024;
const PARTS_MAX = 10_000;
const PARTS_AT_ONCE = 3;
const ANSWER_BYTES_MAX = 8 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
const ATTEMPTS = 5;
const BACKOFF: BackoffPolicy = { initialMs: 100, maxMs: 5000 };

export interface BucketOptions {
  readonly settings: S3Settings;
  readonly random: Random;
  /** Default 16 MiB; S3 takes none below 5 MiB but the last. */
  readonly partBytes?: number | undefined;
  readonly backoff?: BackoffPolicy | undefined;
}

export class S3Bucket implements AsyncDisposable {
  readonly #o: BucketOptions;
  readonly #transport = new Transport({});
  readonly #base: URL;

  constructor(o: BucketOptions) {
    this.#o = o;
    this.#base = new URL(o.settings.endpoint);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport[Symbol.asyncDispose]();
  }

  async head(key: string, c: Ctx): Promise<S3Object | undefined> {
    return this.#retried(async () => {
      const answer = await this.#send({ method: 'HEAD', key }, c);
      await discard(answer);
      if (answer.status === 404) return undefined;
      if (answer.status !== 200) throw this.#refused(answer.status, `HEAD ${key}`, '');
      return objectOf(key, answer);
    }, c);
  }

  /** Bytes [start, end) as they come; undefined when it is not there. Who reads a stream that breaks asks again from there. */
  async get(
    key: string,
    o: { readonly start: number; readonly end?: number | undefined },
    c: Ctx,
  ): Promise<Readable | undefined> {
    return this.#retried(async () => {
      const isPart = o.start > 0 || o.end !== undefined;
      const range = `bytes=${o.start}-${o.end === undefined ? '' : o.end - 1}`;
      const answer = await this.#send({ method: 'GET', key, headers: isPart ? { range } : {} }, c);
      if (answer.status === 404) {
        await discard(answer);
        return undefined;
      }
      if (answer.status !== (isPart ? 206 : 200)) throw await this.#failure(answer, `GET ${key}`, c);
      return answer.body;
    }, c);
  }

  async put(key: string, file: FileToPut, c: Ctx): Promise<void> {
    const partBytes = Math.max(this.#o.partBytes ?? PART_BYTES, Math.ceil(file.sizeBytes / PARTS_MAX));
    if (file.sizeBytes > partBytes) return this.#putInParts(key, file, partBytes, c);
    const sha256 = file.sha256 ?? (await hashOf(file.path, 0, file.sizeBytes));
    await this.#retried(async () => {
      const body = { sha256, sizeBytes: file.sizeBytes, open: () => partOf(file.path, 0, file.sizeBytes) };
      const answer = await this.#send({ method: 'PUT', key, body }, c);
      if (answer.status !== 200) throw await this.#failure(answer, `PUT ${key}`, c);
      await discard(answer);
    }, c);
  }

  /** Gone is fine. */
  async remove(key: string, c: Ctx): Promise<void> {
    await this.#retried(async () => {
      const answer = await this.#send({ method: 'DELETE', key }, c);
      if (answer.status !== 204 && answer.status !== 200 && answer.status !== 404)
        throw await this.#failure(answer, `DELETE ${key}`, c);
      await discard(answer);
    }, c);
  }

  /** In the order of their keys. */
  async *list(under: string, c: Ctx): AsyncGenerator<S3Object, void, void> {
    const { prefix } = this.#o.settings;
    let token: string | undefined;
    do {
      const query: [string, string][] = [
        ['list-type', '2'],
        ['prefix', `${prefix}${under}`],
        ...(token === undefined ? [] : [['continuation-token', token] as [string, string]]),
      ];
      const xml = await this.#ask({ method: 'GET', key: '', query }, 'list', c);
      for (const entry of elementsOf(xml, 'Contents')) {
        const key = textOf(entry, 'Key') ?? '';
        const modifiedMs = Date.parse(textOf(entry, 'LastModified') ?? '') || 0;
        if (key.startsWith(prefix))
          yield { key: key.slice(prefix.length), sizeBytes: Number(textOf(entry, 'Size') ?? 0), modifiedMs };
      }
      token = textOf(xml, 'IsTruncated') === 'true' ? textOf(xml, 'NextContinuationToken') : undefined;
    } while (token !== undefined);
  }

  /** Uploads in parts that nobody completes any more; gives how many. */
  async giveUpUploads(c: Ctx): Promise<number> {
    const { prefix } = this.#o.settings;
    let count = 0;
    let after: [string, string][] | undefined = [];
    do {
      const query: [string, string][] = [['uploads', ''], ['prefix', prefix], ...after];
      const xml = await this.#ask({ method: 'GET', key: '', query }, 'list', c);
      for (const entry of elementsOf(xml, 'Upload')) {
        const [key, id] = [textOf(entry, 'Key') ?? '', textOf(entry, 'UploadId')];
        if (!key.startsWith(prefix) || id === undefined) continue;
        await this.#giveUp(key.slice(prefix.length), id, c);
        count++;
      }
      const [key, id] = [textOf(xml, 'NextKeyMarker'), textOf(xml, 'NextUploadIdMarker')];
      const isCut = textOf(xml, 'IsTruncated') === 'true' && key !== undefined && id !== undefined;
      after = isCut
        ? [
            ['key-marker', key],
            ['upload-id-marker', id],
          ]
        : undefined;
    } while (after !== undefined);
    return count;
  }

  async #putInParts(key: string, file: FileToPut, partBytes: number, c: Ctx): Promise<void> {
    const started = await this.#ask({ method: 'POST', key, query: [['uploads', '']] }, `start ${key}`, c);
    const id = textOf(started, 'UploadId');
    if (id === undefined) throw new StatusError('Unavailable', `S3 gave no id for the upload of ${key}`);
    try {
      const tags = await this.#sendParts({ key, id, file, partBytes }, c);
      const parts = tags.map((t, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${escapeXml(t)}</ETag></Part>`);
      await this.#complete(
        { key, id, file },
        `<CompleteMultipartUpload>${parts.join('')}</CompleteMultipartUpload>`,
        c,
      );
    } catch (e) {
      await this.#giveUp(key, id, { ...c, signal: new AbortController().signal }).catch((err: unknown) =>
        c.log.debug({ err, key }, 'an upload in parts could not be given up; the next start does'),
      );
      throw e;
    }
  }

  async #sendParts(
    o: { readonly key: string; readonly id: string; readonly file: FileToPut; readonly partBytes: number },
    c: Ctx,
  ): Promise<readonly string[]> {
    const { key, id, file, partBytes } = o;
    const count = Math.ceil(file.sizeBytes / partBytes);
    const tags = Array.from({ length: count }, () => '');
    let next = 0;
    let failure: unknown;
    const worker = async (): Promise<void> => {
      while (next < count && failure === undefined) {
        const n = next++;
        const [start, end] = [n * partBytes, Math.min((n + 1) * partBytes, file.sizeBytes)];
        const sha256 = await hashOf(file.path, start, end);
        const body = { sha256, sizeBytes: end - start, open: () => partOf(file.path, start, end) };
        const query: [string, string][] = [
          ['partNumber', `${n + 1}`],
          ['uploadId', id],
        ];
        tags[n] = await this.#retried(async () => {
          const answer = await this.#send({ method: 'PUT', key, query, body }, c);
          if (answer.status !== 200) throw await this.#failure(answer, `part ${n + 1} of ${key}`, c);
          await discard(answer);
          return answer.header('etag') ?? '';
        }, c);
      }
    };
    const noted = (e: unknown): void => {
      failure ??= e;
    };
    await Promise.all(Array.from({ length: Math.min(PARTS_AT_ONCE, count) }, () => worker().catch(noted)));
    if (failure !== undefined) throw failure;
    return tags;
  }

  /** Its answer may be 200 with an error in it; and one that was lost may have done its work. */
  async #complete(o: { key: string; id: string; file: FileToPut }, xml: string, c: Ctx): Promise<void> {
    const bytes = Buffer.from(xml);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    const body = { sha256, sizeBytes: bytes.length, open: () => bytes };
    try {
      const told = await this.#ask(
        { method: 'POST', key: o.key, query: [['uploadId', o.id]], body },
        `complete ${o.key}`,
        c,
      );
      if (elementsOf(told, 'Error').length > 0) throw this.#refused(500, `complete ${o.key}`, told);
    } catch (e) {
      if ((await this.head(o.key, c))?.sizeBytes !== o.file.sizeBytes) throw e;
    }
  }

  async #giveUp(key: string, id: string, c: Ctx): Promise<void> {
    await this.#retried(async () => {
      const answer = await this.#send({ method: 'DELETE', key, query: [['uploadId', id]] }, c);
      if (answer.status >= 500) throw await this.#failure(answer, `give up ${key}`, c);
      await discard(answer);
    }, c);
  }

  /** The text of an answer 200. */
  #ask(r: Request, what: string, c: Ctx): Promise<string> {
    return this.#retried(async () => {
      const answer = await this.#send(r, c);
      if (answer.status !== 200) throw await this.#failure(answer, what, c);
      return readText(answer.body);
    }, c);
  }

  async #send(r: Request, c: Ctx): Promise<Answer> {
    const { settings } = this.#o;
    const base = this.#base.pathname.replace(/\/$/, '');
    const path = encodePath(`${base}/${settings.bucket}/${r.key === '' ? '' : `${settings.prefix}${r.key}`}`);
    const query = r.query ?? [];
    const sizes: Record<string, string> = r.body === undefined ? {} : { 'content-length': `${r.body.sizeBytes}` };
    const headers = signed(
      {
        ...{ method: r.method, host: this.#base.host, path, query },
        headers: { ...r.headers },
        bodySha256: r.body?.sha256 ?? EMPTY_SHA256,
      },
      { credentials: settings, region: settings.region, nowMs: c.clock.now() },
    );
    const url = `${this.#base.origin}${path}${query.length === 0 ? '' : `?${queryText(query)}`}`;
    const tls = settings.ca === undefined ? undefined : { ca: [settings.ca], client: [], skipVerify: false };
    const own = { method: r.method, url, headers: { ...headers, ...sizes }, body: r.body?.open, connection: { tls } };
    return this.#transport.send(own, c);
  }

  async #failure(answer: Answer, what: string, _c: Ctx): Promise<StatusError> {
    const xml = await readText(answer.body).catch(() => ''); // the status says enough
    return this.#refused(answer.status, what, xml);
  }

  /** Invalid is not tried again. */
  #refused(status: number, what: string, xml: string): StatusError {
    const { bucket, endpoint } = this.#o.settings;
    const words = [textOf(xml, 'Code'), textOf(xml, 'Message')].filter((w) => w !== undefined).join(': ');
    const isPassing = status >= 500 || status === 429 || status === 408 || textOf(xml, 'Code') === 'RequestTimeout';
    const text = `bucket ${bucket} at ${endpoint}: ${what}: ${words === '' ? `answered ${status}` : words}`;
    return new StatusError(isPassing ? 'Unavailable' : 'Invalid', text);
  }

  #retried<T>(fn: () => Promise<T>, c: Ctx): Promise<T> {
    const { backoff, random } = this.#o;
    return retry(fn, { attempts: ATTEMPTS, policy: backoff ?? BACKOFF, random }, c);
  }
}

function objectOf(key: string, answer: Answer): S3Object {
  const sizeBytes = Number(answer.header('content-length') ?? Number.NaN);
  if (!Number.isSafeInteger(sizeBytes)) throw new StatusError('Unavailable', `S3 says no size of ${key}`);
  return { key, sizeBytes, modifiedMs: Date.parse(answer.header('last-modified') ?? '') || 0 };
}

async function readText(body: Readable): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of body as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > ANSWER_BYTES_MAX) throw new StatusError('Unavailable', 'S3 sends an answer without end');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

/** [start, end) of a file. */
function partOf(path: string, start: number, end: number): Uint8Array | Readable {
  if (end <= start) return new Uint8Array(0);
  return createReadStream(path, { start, end: end - 1, highWaterMark: READ_BYTES });
}

async function hashOf(path: string, start: number, end: number): Promise<string> {
  const hash = createHash('sha256');
  const part = partOf(path, start, end);
  if (part instanceof Uint8Array) hash.update(part);
  else for await (const piece of part as AsyncIterable<Buffer>) hash.update(piece);
  return hash.digest('hex');
}
