/** The protocol, clause by clause, over loopback HTTP without any client library of ours. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { realClock, realRandom, silentLogger, VirtualClock } from '#lib/base';
import { type AnyDigest, digestBytes, FolderContentStore, MEDIA_TYPES } from '#lib/oci';
import { type Registry, startRegistry } from './registry.ts';
import { Uploads } from './uploads.ts';

let folder: string;
let registry: Registry;
let home: string;
let runs = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-registry-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  home = join(folder, `${++runs}`);
  registry = await start();
});
afterEach(async () => {
  await registry[Symbol.asyncDispose]();
});

function start(): Promise<Registry> {
  return startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: home,
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
}

const HELLO = Buffer.from('hello world');
const DIGEST = digestBytes('sha256', HELLO);

function call(
  method: string,
  path: string,
  o: { body?: string | Uint8Array | ReadableStream; headers?: Record<string, string> } = {},
): Promise<Response> {
  const url = path.startsWith('http') ? path : `${registry.url}${path}`;
  return fetch(url, {
    method,
    ...(o.body === undefined ? {} : { body: o.body, duplex: 'half' }),
    headers: o.headers ?? {},
  });
}

async function codeOf(answer: Response): Promise<string> {
  const doc: unknown = await answer.json();
  const errors: unknown = typeof doc === 'object' && doc !== null && 'errors' in doc ? doc.errors : undefined;
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  return `${answer.status} ${typeof first === 'object' && first !== null && 'code' in first ? String(first.code) : '?'}`;
}

/** The path of a new upload. */
async function begin(name = 'a/b'): Promise<string> {
  const answer = await call('POST', `/v2/${name}/blobs/uploads/`);
  expect(answer.status).toBe(202);
  expect(answer.headers.get('docker-upload-uuid')).toMatch(/^[0-9a-f-]{36}$/);
  return answer.headers.get('location') ?? '';
}

async function push(bytes: Buffer, name = 'a/b'): Promise<AnyDigest> {
  const digest = digestBytes('sha256', bytes);
  const answer = await call('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, { body: bytes });
  expect(answer.status).toBe(201);
  return digest;
}

async function imageManifest(extra: object = {}, name = 'a/b'): Promise<Buffer> {
  const config = await push(Buffer.from('{}'), name);
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: config, size: 2 },
      layers: [],
      ...extra,
    }),
  );
}

function putManifest(
  reference: string,
  body: Buffer,
  type: string = MEDIA_TYPES.ociManifest,
  name = 'a/b',
): Promise<Response> {
  return call('PUT', `/v2/${name}/manifests/${reference}`, { body, headers: { 'content-type': type } });
}

describe('registry: pushing blobs', () => {
  test('ping', async () => {
    const answer = await call('GET', '/v2/');
    expect([answer.status, await answer.json()]).toEqual([200, {}]);
    expect(answer.headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  });

  test('POST with digest and body', async () => {
    const answer = await call('POST', `/v2/a/b/blobs/uploads/?digest=${DIGEST}`, { body: HELLO });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/v2/a/b/blobs/${DIGEST}`);
    expect(answer.headers.get('docker-content-digest')).toBe(DIGEST);
    expect(await (await call('GET', `/v2/a/b/blobs/${DIGEST}`)).text()).toBe('hello world');
  });

  test('POST then PUT', async () => {
    const answer = await call('PUT', `${await begin()}?digest=${DIGEST}`, { body: HELLO });
    expect(answer.status).toBe(201);
    expect((await call('HEAD', `/v2/a/b/blobs/${DIGEST}`)).headers.get('content-length')).toBe('11');
  });

  test('docker: one PATCH of unknown length without Content-Range, then an empty PUT', async () => {
    const location = await begin();
    const body = new Blob([HELLO]).stream();
    const patched = await call('PATCH', location, { body });
    expect([patched.status, patched.headers.get('range')]).toEqual([202, '0-10']);
    expect((await call('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
  });

  test('an empty PATCH says 0-0', async () => {
    const patched = await call('PATCH', await begin(), { headers: { 'content-length': '0' } });
    expect([patched.status, patched.headers.get('range')]).toEqual([202, '0-0']);
  });

  test('chunks in order; out of order and repeated ones are 416 with the offset; the last one in PUT', async () => {
    const location = await begin();
    const chunk = (from: number, to: number, method = 'PATCH', query = '') =>
      call(method, `${location}${query}`, {
        body: HELLO.subarray(from, to + 1),
        headers: { 'content-range': `${from}-${to}`, 'content-type': 'application/octet-stream' },
      });
    expect((await chunk(4, 7)).status).toBe(416);
    expect((await chunk(0, 3)).headers.get('range')).toBe('0-3');
    const repeated = await chunk(0, 3);
    expect([repeated.status, repeated.headers.get('range')]).toEqual([416, '0-3']);
    const status = await call('GET', location);
    expect([status.status, status.headers.get('range'), status.headers.get('location')]).toEqual([
      204,
      '0-3',
      location,
    ]);
    expect((await chunk(4, 7)).status).toBe(202);
    expect((await chunk(8, 10, 'PUT', `?digest=${DIGEST}`)).status).toBe(201);
    expect(await (await call('GET', `/v2/a/b/blobs/${DIGEST}`)).text()).toBe('hello world');
  });

  test('a Content-Range that does not fit its length is refused', async () => {
    const headers = { 'content-range': '0-4' };
    expect(await codeOf(await call('PATCH', await begin(), { body: HELLO, headers }))).toBe('400 SIZE_INVALID');
    const bad = await call('PATCH', await begin(), { body: HELLO, headers: { 'content-range': 'a-b' } });
    expect(await codeOf(bad)).toBe('400 BLOB_UPLOAD_INVALID');
  });

  test('an upload survives a restart of the registry, in its own repository only', async () => {
    const location = await begin();
    await call('PATCH', location, { body: HELLO.subarray(0, 6) });
    await registry[Symbol.asyncDispose]();
    registry = await start();
    expect((await call('GET', location)).headers.get('range')).toBe('0-5');
    expect(await codeOf(await call('GET', location.replace('/a/b/', '/other/')))).toBe('404 BLOB_UPLOAD_UNKNOWN');
    await call('PATCH', location, { body: HELLO.subarray(6) });
    expect((await call('PUT', `${location}?digest=${DIGEST}`)).status).toBe(201);
  });

  test('bytes that were acknowledged are in the file: a killed registry loses none of them', async () => {
    const ingests = join(home, 'content', 'ingest');
    const onDisk = async (): Promise<string> => {
      const [file = ''] = await readdir(ingests);
      return await readFile(join(ingests, file), 'utf8');
    };
    const location = await begin();
    expect((await call('PATCH', location, { body: 'hello' })).headers.get('range')).toBe('0-4');
    expect(await onDisk()).toBe('hello');
    expect((await call('PATCH', location, { body: ' wor' })).status).toBe(202);
    expect(await onDisk()).toBe('hello wor');
  });

  test('cancel', async () => {
    const location = await begin();
    expect((await call('DELETE', location)).status).toBe(204);
    expect(await codeOf(await call('GET', location))).toBe('404 BLOB_UPLOAD_UNKNOWN');
    expect(await codeOf(await call('PATCH', '/v2/a/b/blobs/uploads/nonsense', { body: 'x' }))).toBe(
      '404 BLOB_UPLOAD_UNKNOWN',
    );
  });

  test('a wrong digest is refused in every style, and the blob stays unknown', async () => {
    const wrong = digestBytes('sha256', 'other');
    const whole = await call('POST', `/v2/a/b/blobs/uploads/?digest=${wrong}`, { body: HELLO });
    expect(await codeOf(whole)).toBe('400 DIGEST_INVALID');
    expect(await codeOf(await call('PUT', `${await begin()}?digest=${wrong}`, { body: HELLO }))).toBe(
      '400 DIGEST_INVALID',
    );
    const location = await begin();
    await call('PATCH', location, { body: HELLO });
    expect(await codeOf(await call('PUT', `${location}?digest=${wrong}`))).toBe('400 DIGEST_INVALID');
    expect(await codeOf(await call('GET', location))).toBe('404 BLOB_UPLOAD_UNKNOWN');
    for (const digest of [wrong, DIGEST]) expect((await call('HEAD', `/v2/a/b/blobs/${digest}`)).status).toBe(404);
    expect(await readdir(join(home, 'content/ingest'))).toEqual([]);
  });

  test.each(['sha256:abc', `sha256:${'A'.repeat(64)}`, 'md5:d41d8cd98f00b204e9800998ecf8427e', 'x'])(
    'the malformed digest %s',
    async (digest) => {
      expect(await codeOf(await call('PUT', `${await begin()}?digest=${digest}`, { body: HELLO }))).toBe(
        '400 DIGEST_INVALID',
      );
      expect(await codeOf(await call('GET', `/v2/a/b/blobs/${digest}`))).toBe('400 DIGEST_INVALID');
    },
  );

  test('sha512 and empty blobs', async () => {
    const sha512 = digestBytes('sha512', HELLO);
    const location = await call('POST', '/v2/a/b/blobs/uploads/?digest-algorithm=sha512');
    await call('PUT', `${location.headers.get('location')}?digest=${sha512}`, { body: HELLO });
    expect(await (await call('GET', `/v2/a/b/blobs/${sha512}`)).text()).toBe('hello world');
    expect(await codeOf(await call('POST', '/v2/a/b/blobs/uploads/?digest-algorithm=md5'))).toBe('400 DIGEST_INVALID');
    const empty = digestBytes('sha256', '');
    expect((await call('PUT', `${await begin()}?digest=${empty}`)).status).toBe(201);
    expect((await call('GET', `/v2/a/b/blobs/${empty}`)).status).toBe(200);
  });

  test('mount: from a repository that has it; else a normal upload begins', async () => {
    await push(HELLO, 'source');
    const mount = (query: string): Promise<Response> =>
      call('POST', `/v2/target/blobs/uploads/?mount=${DIGEST}${query}`);
    for (const query of ['&from=nowhere', '&from=../source']) {
      const refused = await mount(query);
      expect([refused.status, refused.headers.get('location')?.startsWith('/v2/target/blobs/uploads/')]).toEqual([
        202,
        true,
      ]);
      expect((await call('HEAD', `/v2/target/blobs/${DIGEST}`)).status).toBe(404);
    }
    const anonymous = await call('POST', `/v2/any/blobs/uploads/?mount=${DIGEST}`);
    expect([anonymous.status, anonymous.headers.get('location')]).toEqual([201, `/v2/any/blobs/${DIGEST}`]);
    const mounted = await mount('&from=source');
    expect([mounted.status, mounted.headers.get('location')]).toEqual([201, `/v2/target/blobs/${DIGEST}`]);
    expect(await (await call('GET', `/v2/target/blobs/${DIGEST}`)).text()).toBe('hello world');
  });

  test('two uploads of one blob at the same time both succeed', async () => {
    const bytes = Buffer.alloc(3_000_000, 5);
    await Promise.all([push(bytes), push(bytes), push(bytes, 'c')]);
  });
});

describe('registry: pulling blobs', () => {
  test.each([
    ['bytes=0-4', 206, 'hello', 'bytes 0-4/11'],
    ['bytes=6-', 206, 'world', 'bytes 6-10/11'],
    ['bytes=-5', 206, 'world', 'bytes 6-10/11'],
    ['bytes=0-99', 206, 'hello world', 'bytes 0-10/11'],
    ['bytes=-99', 206, 'hello world', 'bytes 0-10/11'],
    ['bytes=0-1,3-4', 200, 'hello world', null],
    ['bytes=5-2', 416, '', 'bytes */11'],
    ['lines=0-1', 200, 'hello world', null],
    ['bytes=11-', 416, '', 'bytes */11'],
    ['bytes=-0', 416, '', 'bytes */11'],
  ])('Range: %s', async (range, status, body, contentRange) => {
    await push(HELLO);
    const answer = await call('GET', `/v2/a/b/blobs/${DIGEST}`, { headers: { range } });
    expect([answer.status, await answer.text(), answer.headers.get('content-range')]).toEqual([
      status,
      body,
      contentRange,
    ]);
  });

  test('headers, HEAD, If-None-Match, other repositories', async () => {
    await push(HELLO);
    const head = await call('HEAD', `/v2/a/b/blobs/${DIGEST}`);
    expect([head.headers.get('content-length'), head.headers.get('docker-content-digest')]).toEqual(['11', DIGEST]);
    const cached = await call('GET', `/v2/a/b/blobs/${DIGEST}`, { headers: { 'if-none-match': `"${DIGEST}"` } });
    expect(cached.status).toBe(304);
    expect(await codeOf(await call('GET', `/v2/other/blobs/${DIGEST}`))).toBe('404 BLOB_UNKNOWN');
  });

  test('delete unlinks in one repository only', async () => {
    await push(HELLO);
    await push(HELLO, 'other');
    expect((await call('DELETE', `/v2/a/b/blobs/${DIGEST}`)).status).toBe(202);
    expect((await call('GET', `/v2/a/b/blobs/${DIGEST}`)).status).toBe(404);
    expect(await codeOf(await call('DELETE', `/v2/a/b/blobs/${DIGEST}`))).toBe('404 BLOB_UNKNOWN');
    expect((await call('GET', `/v2/other/blobs/${DIGEST}`)).status).toBe(200);
  });
});

describe('registry: manifests', () => {
  test('by tag and by digest, byte for byte, with the type that was pushed', async () => {
    const body = Buffer.from((await imageManifest({ mediaType: undefined })).toString().replace('{', '{ '));
    const digest = digestBytes('sha256', body);
    const put = await putManifest('v1', body, `${MEDIA_TYPES.dockerManifest}; charset=utf-8`);
    expect([put.status, put.headers.get('docker-content-digest')]).toEqual([201, digest]);
    for (const reference of ['v1', digest]) {
      const got = await call('GET', `/v2/a/b/manifests/${reference}`);
      expect(Buffer.from(await got.arrayBuffer()).equals(body)).toBe(true);
      expect(got.headers.get('content-type')).toBe(MEDIA_TYPES.dockerManifest);
      const head = await call('HEAD', `/v2/a/b/manifests/${reference}`);
      expect([head.status, head.headers.get('content-length')]).toEqual([200, `${body.length}`]);
    }
  });

  test('refused: what is not JSON, of another digest, of another type, with missing blobs, with a bad tag, too large', async () => {
    const body = await imageManifest();
    const other = digestBytes('sha256', 'x');
    expect(await codeOf(await putManifest('v1', Buffer.from('{')))).toBe('400 MANIFEST_INVALID');
    expect(await codeOf(await putManifest('v1', body, MEDIA_TYPES.ociIndex))).toBe('400 MANIFEST_INVALID');
    expect(await codeOf(await putManifest(other, body))).toBe('400 DIGEST_INVALID');
    expect(await codeOf(await putManifest('sha256:zz', body))).toBe('400 DIGEST_INVALID');
    expect(await codeOf(await putManifest('-bad', body))).toBe('400 MANIFEST_INVALID');
    const layers = [{ mediaType: MEDIA_TYPES.ociLayer, digest: other, size: 1 }];
    expect(await codeOf(await putManifest('v1', await imageManifest({ layers })))).toBe('404 MANIFEST_BLOB_UNKNOWN');
    const large = await imageManifest({ annotations: { a: 'x'.repeat(4 * 1024 * 1024) } });
    expect((await putManifest('v1', large)).status).toBe(413);
    expect(await codeOf(await call('GET', '/v2/a/b/manifests/v1'))).toBe('404 MANIFEST_UNKNOWN');
  });

  test('accepted: 3.9 MB of annotations, foreign layers that are not here, unknown types, sha512, an empty index', async () => {
    expect((await putManifest('big', await imageManifest({ annotations: { a: 'x'.repeat(3_900_000) } }))).status).toBe(
      201,
    );
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
    const layers = [{ mediaType, digest: digestBytes('sha256', 'f'), size: 1, urls: ['https://x'] }];
    expect((await putManifest('foreign', await imageManifest({ layers }))).status).toBe(201);
    const body = await imageManifest({ artifactType: 'application/x.thing', custom: { a: 1 } });
    const sha512 = digestBytes('sha512', body);
    expect((await putManifest(sha512, body)).status).toBe(201);
    expect((await call('GET', `/v2/a/b/manifests/${sha512}`)).status).toBe(200);
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] }));
    expect((await putManifest('index', index, MEDIA_TYPES.ociIndex)).status).toBe(201);
  });

  test('a tag moves; by digest with tag parameters', async () => {
    const [one, two] = [
      await imageManifest({ annotations: { n: '1' } }),
      await imageManifest({ annotations: { n: '2' } }),
    ];
    await putManifest('v1', one);
    await putManifest('v1', two);
    expect(await (await call('GET', '/v2/a/b/manifests/v1')).text()).toBe(two.toString());
    const digest = digestBytes('sha256', one);
    const put = await putManifest(`${digest}?tag=x&tag=y`, one);
    expect([put.status, put.headers.get('oci-tag')]).toEqual([201, 'x, y']);
    expect(await (await call('GET', '/v2/a/b/manifests/y')).text()).toBe(one.toString());
  });

  test('delete a tag, then a digest with its tags', async () => {
    const body = await imageManifest();
    const digest = digestBytes('sha256', body);
    for (const tag of ['v1', 'v2', 'v3']) await putManifest(tag, body);
    expect((await call('DELETE', '/v2/a/b/manifests/v1')).status).toBe(202);
    expect((await call('GET', `/v2/a/b/manifests/${digest}`)).status).toBe(200);
    expect(await (await call('GET', '/v2/a/b/tags/list')).json()).toEqual({ name: 'a/b', tags: ['v2', 'v3'] });
    expect((await call('DELETE', `/v2/a/b/manifests/${digest}`)).status).toBe(202);
    for (const reference of ['v2', digest])
      expect((await call('GET', `/v2/a/b/manifests/${reference}`)).status).toBe(404);
    expect(await (await call('GET', '/v2/a/b/tags/list')).json()).toEqual({ name: 'a/b', tags: [] });
    expect(await codeOf(await call('DELETE', `/v2/a/b/manifests/${digest}`))).toBe('404 MANIFEST_UNKNOWN');
  });
});

describe('registry: lists', () => {
  test('a tag that looks like a temporary file is a tag; a temporary file that a crash has left is none', async () => {
    const body = await imageManifest();
    const digest = digestBytes('sha256', body);
    for (const tag of ['v1', 'v1.tmp', 'v1.12.3.tmp']) await putManifest(tag, body);
    await writeFile(join(home, 'repositories/a/b/_tags/.v1.12.3.tmp'), digest);
    const tags = async (): Promise<unknown> => (await (await call('GET', '/v2/a/b/tags/list')).json()) as unknown;
    expect(await tags()).toEqual({ name: 'a/b', tags: ['v1', 'v1.12.3.tmp', 'v1.tmp'] });
    expect((await call('DELETE', `/v2/a/b/manifests/${digest}`)).status).toBe(202);
    expect(await tags()).toEqual({ name: 'a/b', tags: [] });
    expect(await readdir(join(home, 'repositories/a/b/_tags'))).toEqual(['.v1.12.3.tmp']);
  });

  test('tags sorted and in pages', async () => {
    const body = await imageManifest();
    for (const tag of ['c', 'a', 'B', 'd', 'b']) await putManifest(tag, body);
    const list = async (query: string): Promise<unknown[]> => {
      const answer = await call('GET', `/v2/a/b/tags/list${query}`);
      const { tags } = JSON.parse(await answer.text());
      return [tags, answer.headers.get('link')];
    };
    expect(await list('')).toEqual([['B', 'a', 'b', 'c', 'd'], null]);
    expect(await list('?n=2')).toEqual([['B', 'a'], '</v2/a/b/tags/list?n=2&last=a>; rel="next"']);
    expect(await list('?n=2&last=a')).toEqual([['b', 'c'], '</v2/a/b/tags/list?n=2&last=c>; rel="next"']);
    expect(await list('?n=2&last=c')).toEqual([['d'], null]);
    expect(await list('?n=0')).toEqual([[], null]);
    expect(await list('?last=zzz')).toEqual([[], null]);
    expect((await call('GET', '/v2/a/b/tags/list?n=-1')).status).toBe(405);
    expect(await codeOf(await call('GET', '/v2/nowhere/tags/list'))).toBe('404 NAME_UNKNOWN');
    expect(await (await call('GET', '/v2/_catalog')).json()).toEqual({ repositories: ['a/b'] });
  });

  test('referrers: none, some, filtered, after deletion; the subject need not be here', async () => {
    const subject = { mediaType: MEDIA_TYPES.ociManifest, digest: digestBytes('sha256', 'nothing'), size: 1 };
    const path = `/v2/a/b/referrers/${subject.digest}`;
    const listed = async (query = ''): Promise<unknown> => {
      const answer = await call('GET', path + query);
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, MEDIA_TYPES.ociIndex]);
      return JSON.parse(await answer.text()).manifests;
    };
    expect(await listed()).toEqual([]);
    const one = await imageManifest({ subject, artifactType: 'x/one', annotations: { k: 'v' } });
    const two = await imageManifest({ subject });
    const put = await putManifest(digestBytes('sha256', one), one);
    expect(put.headers.get('oci-subject')).toBe(subject.digest);
    await putManifest('two', two);
    const expectedOne = {
      mediaType: MEDIA_TYPES.ociManifest,
      digest: digestBytes('sha256', one),
      size: one.length,
      annotations: { k: 'v' },
      artifactType: 'x/one',
    };
    const filtered = await call('GET', `${path}?artifactType=x/one`);
    expect(filtered.headers.get('oci-filters-applied')).toBe('artifactType');
    expect(JSON.parse(await filtered.text()).manifests).toEqual([expectedOne]);
    expect(await listed()).toEqual(
      expect.arrayContaining([expectedOne, expect.objectContaining({ artifactType: MEDIA_TYPES.ociConfig })]),
    );
    await call('DELETE', `/v2/a/b/manifests/${expectedOne.digest}`);
    expect(await listed()).toHaveLength(1);
    expect((await call('GET', '/v2/a/b/referrers/sha256:zz')).status).toBe(400);
  });

  test('names: words of the protocol are fine, others are refused', async () => {
    for (const name of ['blobs/uploads', 'manifests/tags', 'tags/list']) {
      await push(HELLO, name);
      expect((await call('GET', `/v2/${name}/blobs/${DIGEST}`)).status).toBe(200);
    }
    expect(await codeOf(await call('POST', '/v2/UPPER/blobs/uploads/'))).toBe('400 NAME_INVALID');
    expect(await codeOf(await call('POST', '/v2/a/_tags/blobs/uploads/'))).toBe('400 NAME_INVALID');
    expect(await codeOf(await call('GET', '/v2/a/..%2f..%2fetc/tags/list'))).toBe('400 NAME_INVALID');
    expect(await codeOf(await call('PUT', '/v2/a/tags/list'))).toBe('405 UNSUPPORTED');
    expect((await call('GET', '/other')).status).toBe(404);
  });
});

test('uploads: what nobody continued for a day is removed, what is younger stays', async () => {
  const content = await FolderContentStore.open(join(folder, 'sweep'), { keepIngests: true });
  const clock = new VirtualClock(realClock.now());
  await using uploads = new Uploads({ content, clock, random: realRandom, log: silentLogger });
  const id = await uploads.start('a');
  await clock.advance(23 * 3_600_000);
  expect(await uploads.sweep()).toBe(0);
  await clock.advance(2 * 3_600_000);
  await uploads.sweep();
  await expect(uploads.use(id, 'a', async () => undefined)).rejects.toMatchObject({ reason: 'BLOB_UPLOAD_UNKNOWN' });
  expect(await content.ingests()).toEqual([]);
});

test('registry: a taken port is said at once', async () => {
  const port = Number(new URL(registry.url).port);
  const second = startRegistry({
    listen: { host: '127.0.0.1', port },
    folder: join(folder, 'second'),
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
  await expect(second).rejects.toMatchObject({ kind: 'Unavailable' });
});
