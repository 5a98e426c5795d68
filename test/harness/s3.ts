/**
 * A small S3 server for tests, in memory: signatures verified (by code of its own), whole and in parts, ranges, lists by pages,
 * and faults to order. Source: docs.aws.amazon.com/AmazonS3/latest/API.
 */
import { createHash, createHmac } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Fault {
  /** `PUT /b/key?query` */
  readonly on: RegExp;
  /** true: answered, or cut. */
  act(req: IncomingMessage, res: ServerResponse): boolean;
  /** How often. Default 1. */
  times?: number;
}

interface Part {
  readonly bytes: Buffer;
  readonly etag: string;
}

export const S3_KEY = { accessKeyId: 'AKIDTEST', secretAccessKey: 'secret/with+signs' };
const REGION = 'eu-test-1';

export class TestS3 implements AsyncDisposable {
  readonly objects = new Map<string, { bytes: Buffer; modifiedMs: number }>();
  readonly uploads = new Map<string, { key: string; parts: Map<number, Part> }>();
  readonly faults: Fault[] = [];
  readonly asked: string[] = [];
  pageKeys = 3;
  partBytesMin = 0;
  readonly #server = createServer((req, res) => {
    this.#serve(req, res).catch((e: unknown) => {
      res.headersSent ? res.destroy() : error(res, 500, 'InternalError', String(e));
    });
  });
  #ids = 0;

  async open(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get settings() {
    const { port } = this.#server.address() as AddressInfo;
    return { endpoint: `http://127.0.0.1:${port}`, region: REGION, bucket: 'images', prefix: 'reg/', ...S3_KEY };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(req: IncomingMessage, res: ServerResponse): Promise<void> {
    const line = `${req.method} ${req.url}`;
    this.asked.push(line);
    const fault = this.faults.find((f) => f.on.test(line));
    if (fault !== undefined) {
      fault.times = (fault.times ?? 1) - 1;
      if (fault.times <= 0) this.faults.splice(this.faults.indexOf(fault), 1);
      if (fault.act(req, res)) return;
    }
    const url = new URL(req.url ?? '/', 'http://x');
    const pieces: Buffer[] = [];
    for await (const piece of req as AsyncIterable<Buffer>) pieces.push(piece);
    const body = Buffer.concat(pieces);
    const wrong = verify(req, url, body);
    if (wrong !== undefined) {
      error(res, 403, wrong, 'not signed as it should be');
      return;
    }
    const [, bucket, ...rest] = url.pathname.split('/').map(decodeURIComponent);
    if (bucket !== 'images') {
      error(res, 404, 'NoSuchBucket', 'The specified bucket does not exist');
      return;
    }
    const key = rest.join('/');
    if (key === '') {
      this.#bucket(req, url, res);
      return;
    }
    if (url.searchParams.has('uploads') || url.searchParams.has('uploadId')) {
      this.#multipart(req, { url, key, body }, res);
      return;
    }
    this.#object(req, { key, body }, res);
  }

  #object(req: IncomingMessage, { key, body }: { key: string; body: Buffer }, res: ServerResponse): void {
    const found = this.objects.get(key);
    switch (req.method) {
      case 'PUT':
        this.objects.set(key, { bytes: body, modifiedMs: Date.now() });
        res.writeHead(200, { etag: etagOf(body) }).end();
        return;
      case 'DELETE':
        this.objects.delete(key);
        res.writeHead(204).end();
        return;
      default:
        if (found === undefined) {
          error(res, 404, 'NoSuchKey', key);
          return;
        }
    }
    const { bytes, modifiedMs } = found;
    const range = /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '');
    const start = range === null ? 0 : Number(range[1]);
    const end = range === null || range[2] === '' ? bytes.length : Math.min(Number(range[2]) + 1, bytes.length);
    const headers = {
      'content-length': end - start,
      'last-modified': new Date(modifiedMs).toUTCString(),
      etag: etagOf(bytes),
      ...(range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${bytes.length}` }),
    };
    res.writeHead(range === null ? 200 : 206, headers);
    res.end(req.method === 'HEAD' ? undefined : bytes.subarray(start, end));
  }

  #multipart(req: IncomingMessage, r: { url: URL; key: string; body: Buffer }, res: ServerResponse): void {
    const { url, key, body } = r;
    const id = url.searchParams.get('uploadId');
    if (id === null) {
      const next = `up&load<${++this.#ids}>`;
      this.uploads.set(next, { key, parts: new Map() });
      const told = `up&amp;load&lt;${this.#ids}&gt;`;
      xml(res, `<InitiateMultipartUploadResult><UploadId>${told}</UploadId></InitiateMultipartUploadResult>`);
      return;
    }
    const upload = this.uploads.get(id);
    if (upload === undefined || upload.key !== key) {
      error(res, 404, 'NoSuchUpload', id);
      return;
    }
    if (req.method === 'PUT') {
      const part = { bytes: body, etag: etagOf(body) };
      upload.parts.set(Number(url.searchParams.get('partNumber')), part);
      res.writeHead(200, { etag: part.etag }).end();
      return;
    }
    this.uploads.delete(id);
    if (req.method === 'DELETE') {
      res.writeHead(204).end();
      return;
    }
    const named = [...body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>(.*?)<\/ETag>/g)];
    const parts = named.map(([, n, etag]) => ({
      part: upload.parts.get(Number(n)),
      etag: etag?.replaceAll('&#34;', '"'),
    }));
    if (parts.length === 0 || parts.some((p) => p.part === undefined || p.part.etag !== p.etag)) {
      xml(res, '<Error><Code>InvalidPart</Code><Message>a part is not as it was told</Message></Error>');
      return;
    }
    if (parts.slice(0, -1).some((p) => (p.part?.bytes.length ?? 0) < this.partBytesMin)) {
      error(res, 400, 'EntityTooSmall', 'a part is too small');
      return;
    }
    const bytes = Buffer.concat(parts.map((p) => p.part?.bytes ?? Buffer.alloc(0)));
    this.objects.set(key, { bytes, modifiedMs: Date.now() });
    xml(res, `<CompleteMultipartUploadResult><Key>${key}</Key></CompleteMultipartUploadResult>`);
  }

  #bucket(req: IncomingMessage, url: URL, res: ServerResponse): void {
    const prefix = url.searchParams.get('prefix') ?? '';
    if (req.method !== 'GET') {
      error(res, 405, 'MethodNotAllowed', '');
      return;
    }
    if (url.searchParams.has('uploads')) {
      const marker = [url.searchParams.get('key-marker') ?? '', url.searchParams.get('upload-id-marker') ?? ''].join(
        '\0',
      );
      const all = [...this.uploads]
        .filter(([id, u]) => u.key.startsWith(prefix) && `${u.key}\0${id}` > marker)
        .sort(([a, u], [b, v]) => (`${u.key}\0${a}` < `${v.key}\0${b}` ? -1 : 1));
      const page = all.slice(0, this.pageKeys);
      const [lastId = '', last] = page.at(-1) ?? [];
      const isCut = all.length > page.length;
      const next = `<NextKeyMarker>${last?.key}</NextKeyMarker><NextUploadIdMarker>${lastId}</NextUploadIdMarker>`;
      const items = page.map(
        ([id, u]) =>
          `<Upload><Key>${u.key}</Key><UploadId>${id.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')}</UploadId></Upload>`,
      );
      const told = `<IsTruncated>${isCut}</IsTruncated>${isCut ? next : ''}${items.join('')}`;
      xml(res, `<ListMultipartUploadsResult>${told}</ListMultipartUploadsResult>`);
      return;
    }
    const after = url.searchParams.get('continuation-token') ?? '';
    const keys = [...this.objects.keys()].filter((k) => k.startsWith(prefix) && k > after).sort();
    const page = keys.slice(0, this.pageKeys);
    const items = page.map((k) => {
      const o = this.objects.get(k);
      const at = new Date(o?.modifiedMs ?? 0).toISOString();
      return `<Contents><Key>${k}</Key><LastModified>${at}</LastModified><Size>${o?.bytes.length}</Size><Owner><ID>x</ID></Owner></Contents>`;
    });
    const isCut = keys.length > page.length;
    const next = isCut ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : '';
    xml(
      res,
      `<?xml version="1.0"?><ListBucketResult xmlns="s3"><IsTruncated>${isCut}</IsTruncated>${next}${items.join('')}</ListBucketResult>`,
    );
  }
}

/** Answers with an error of S3's. */
export function error(res: ServerResponse, status: number, code: string, message: string): void {
  res.writeHead(status, { 'content-type': 'application/xml' });
  res.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`);
}

function xml(res: ServerResponse, text: string): void {
  res.writeHead(200, { 'content-type': 'application/xml' }).end(text);
}

function etagOf(bytes: Buffer): string {
  return `"${createHash('md5').update(bytes).digest('hex')}"`;
}

/** undefined: it is well signed. */
function verify(req: IncomingMessage, url: URL, body: Buffer): string | undefined {
  const h = (name: string): string => String(req.headers[name] ?? '');
  const match =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request,\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]{64})$/.exec(
      h('authorization'),
    );
  if (match === null) return 'AccessDenied';
  const [, id, day = '', region = '', names = '', signature] = match;
  if (id !== S3_KEY.accessKeyId || region !== REGION) return 'InvalidAccessKeyId';
  const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
  if (h('x-amz-content-sha256') !== sha256(body)) return 'XAmzContentSHA256Mismatch';
  if (
    Math.abs(Date.now() - Date.parse(h('x-amz-date').replace(/^(....)(..)(..T..)(..)(..)Z$/, '$1-$2-$3:$4:$5Z'))) >
    900_000
  )
    return 'RequestTimeTooSkewed';
  if (!['host', 'x-amz-date', 'x-amz-content-sha256'].every((n) => names.split(';').includes(n))) return 'AccessDenied';
  const query = (url.search.slice(1) === '' ? [] : url.search.slice(1).split('&')).map((p) =>
    p.includes('=') ? p : `${p}=`,
  );
  const lines = [
    ...[req.method, url.pathname, query.sort().join('&')],
    ...names.split(';').map((n) => `${n}:${h(n)}`),
    ...['', names, h('x-amz-content-sha256')],
  ];
  const text = ['AWS4-HMAC-SHA256', h('x-amz-date'), `${day}/${region}/s3/aws4_request`, sha256(lines.join('\n'))].join(
    '\n',
  );
  let key: Buffer = Buffer.from(`AWS4${S3_KEY.secretAccessKey}`);
  for (const part of [day, region, 's3', 'aws4_request', text]) key = createHmac('sha256', key).update(part).digest();
  return key.toString('hex') === signature ? undefined : 'SignatureDoesNotMatch';
}
