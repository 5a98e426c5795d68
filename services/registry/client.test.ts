/** lib/oci's client against our registry: all ways of pushing, and through a server in between that breaks things on demand. */

import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, seededRandom, silentLogger } from '#lib/base';
import {
  ALL_CAPABILITIES,
  type Descriptor,
  DistributionClient,
  type DistributionOptions,
  digestBytes,
  FolderContentStore,
  MEDIA_TYPES,
  packImage,
  pushPacked,
  registryItself,
} from '#lib/oci';
import { type Registry, startRegistry } from './registry.ts';

/** Handles a request itself and returns true, or leaves it to the registry. `alter` changes what the registry answers. */
type Fault = (req: IncomingMessage, res: ServerResponse) => boolean;

let folder: string;
let registry: Registry;
let proxy: Server;
let host: string;
let faults: Fault[];
let seen: string[];
let client: DistributionClient;
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const BYTES = Buffer.alloc(1_000_000, 'berth');
const BLOB: Descriptor = {
  mediaType: MEDIA_TYPES.ociLayer,
  digest: digestBytes('sha256', BYTES),
  sizeBytes: BYTES.length,
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-client-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: await mkdtemp(join(folder, 'r-')),
    log: silentLogger,
    clock: realClock,
    random: realRandom,
  });
  faults = [];
  seen = [];
  proxy = createServer(handle);
  host = await listen(proxy);
  client = newClient();
});
afterEach(async () => {
  await client[Symbol.asyncDispose]();
  proxy.closeAllConnections();
  await new Promise((resolve) => proxy.close(resolve));
  await registry[Symbol.asyncDispose]();
});

function newClient(o: Partial<DistributionOptions> = {}): DistributionClient {
  return new DistributionClient({ random: seededRandom(1), backoff: { initialMs: 1, maxMs: 2 }, ...o });
}

function handle(req: IncomingMessage, res: ServerResponse): void {
  seen.push(`${req.method} ${req.url}`);
  for (const [i, fault] of faults.entries()) {
    if (!fault(req, res)) continue;
    faults.splice(i, 1);
    return;
  }
  forward(req, res);
}

function forward(req: IncomingMessage, res: ServerResponse, cutAfter?: number): void {
  const onward = request(`${registry.url}${req.url}`, { method: req.method, headers: req.headers }, (answer) => {
    res.writeHead(answer.statusCode ?? 500, answer.headers);
    if (cutAfter === undefined) {
      answer.pipe(res);
      return;
    }
    let left = cutAfter;
    answer.on('data', (piece: Buffer) => {
      if (left <= 0) return;
      res.write(piece.subarray(0, left), () => {
        if (left <= 0) res.destroy();
      });
      left -= piece.length;
    });
  });
  onward.on('error', () => res.destroy());
  req.pipe(onward);
}

function listen(server: Server): Promise<string> {
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(`127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`);
    });
  });
}

/** The next request that matches gets `answer`. */
function once(pattern: RegExp, answer: (req: IncomingMessage, res: ServerResponse) => void): void {
  faults.push((req, res) => {
    if (!pattern.test(`${req.method} ${req.url}`)) return false;
    answer(req, res);
    return true;
  });
}

function status(
  code: number,
  headers: Record<string, string> = {},
  body = '',
): (req: IncomingMessage, res: ServerResponse) => void {
  return (req, res) => {
    req.resume();
    res.writeHead(code, headers).end(body);
  };
}

async function freshStore(): Promise<FolderContentStore> {
  return FolderContentStore.open(await mkdtemp(join(folder, 's-')), { keepIngests: false });
}

describe('client: pushing', () => {
  test.each([undefined, 100_000, 999_999, 1_000_000, 5_000_000])('in chunks of %s', async (chunkBytes) => {
    const to = client.repository(host, 'a/b');
    expect(await to.pushBlob(BLOB, BYTES, { chunkBytes }, c)).toBe('uploaded');
    expect(await to.pushBlob(BLOB, BYTES, { chunkBytes }, c)).toBe('existed');
    expect(seen.filter((s) => s.startsWith('PATCH'))).toHaveLength(
      chunkBytes ? Math.ceil(BYTES.length / chunkBytes) : 0,
    );
    expect((await to.getBlob(BLOB, BYTES.length, c)).equals(BYTES)).toBe(true);
  });

  test('from a stream, in one PUT and in chunks', async () => {
    const source = async function* (start: number): AsyncGenerator<Uint8Array> {
      for (let at = start; at < BYTES.length; at += 70_000) yield BYTES.subarray(at, at + 70_000);
    };
    for (const [name, chunkBytes] of [
      ['one', undefined],
      ['two', 300_000],
    ] as const) {
      const to = client.repository(host, name);
      expect(await to.pushBlob(BLOB, source, { chunkBytes }, c)).toBe('uploaded');
      expect((await to.getBlob(BLOB, BYTES.length, c)).equals(BYTES)).toBe(true);
    }
  });

  test('an empty blob', async () => {
    const empty = { digest: digestBytes('sha256', ''), sizeBytes: 0 };
    for (const [name, chunkBytes] of [
      ['one', undefined],
      ['two', 10],
    ] as const)
      expect(await client.repository(host, name).pushBlob(empty, new Uint8Array(0), { chunkBytes }, c)).toBe(
        'uploaded',
      );
  });

  test('mount', async () => {
    await client.repository(host, 'source').pushBlob(BLOB, BYTES, {}, c);
    const to = client.repository(host, 'target');
    expect(await to.pushBlob(BLOB, BYTES, { mountFrom: 'source' }, c)).toBe('mounted');
    expect(await client.repository(host, 'other').pushBlob(BLOB, BYTES, { mountFrom: 'nowhere' }, c)).toBe('uploaded');
  });

  test('a chunk whose connection was cut goes on from where the registry is', async () => {
    let patches = 0;
    faults.push((req, res) => {
      if (req.method !== 'PATCH' || ++patches < 3) return false;
      let taken = 0;
      const onward = request(`${registry.url}${req.url}`, { method: 'PATCH' });
      onward.on('error', () => undefined);
      req.on('data', (piece: Buffer) => {
        taken += piece.length;
        onward.write(piece, () => {
          if (taken < 50_000) return;
          onward.destroy();
          res.destroy();
        });
      });
      return true;
    });
    const to = client.repository(host, 'a');
    await to.pushBlob(BLOB, BYTES, { chunkBytes: 200_000 }, c);
    expect((await to.getBlob(BLOB, BYTES.length, c)).equals(BYTES)).toBe(true);
    expect(seen.filter((s) => s.startsWith('POST'))).toHaveLength(1);
  });

  test('500 on PUT is repeated, 4xx is not', async () => {
    const to = client.repository(host, 'a');
    once(/^PUT/, status(500));
    await to.pushBlob(BLOB, BYTES, {}, c);
    const wrong = { ...BLOB, digest: digestBytes('sha256', 'other') };
    await expect(to.pushBlob(wrong, BYTES, {}, c)).rejects.toThrow(/digest invalid: digest mismatch/);
    expect(seen.filter((s) => s.startsWith('PUT'))).toHaveLength(3);
  });
});

describe('client: pulling', () => {
  beforeEach(async () => {
    await client.repository(host, 'a').pushBlob(BLOB, BYTES, {}, c);
    seen = [];
  });

  test('a cut connection is continued by Range, several times', async () => {
    const store = await freshStore();
    for (const after of [100_000, 300_000, 10]) once(/^GET .*blobs/, (req, res) => forward(req, res, after));
    const heard: number[] = [];
    await client.repository(host, 'a').fetchBlob(BLOB, store, { ref: 'x', onBytes: (n) => heard.push(n) }, c);
    expect((await store.readAll(BLOB.digest, BYTES.length)).equals(BYTES)).toBe(true);
    expect(seen).toHaveLength(4);
    expect(heard).toEqual([...heard].sort((a, b) => a - b));
  });

  test('a server that ignores Range is read from the start again', async () => {
    const store = await freshStore();
    once(/^GET .*blobs/, (req, res) => forward(req, res, 100_000));
    once(/^GET .*blobs/, (req, res) => {
      delete req.headers.range;
      forward(req, res);
    });
    await client.repository(host, 'a').fetchBlob(BLOB, store, { ref: 'x' }, c);
    expect((await store.stat(BLOB.digest))?.sizeBytes).toBe(BYTES.length);
  });

  test('500s are repeated until the attempts are used up', async () => {
    const store = await freshStore();
    for (let i = 0; i < 3; i++) once(/^GET/, status(502));
    await client.repository(host, 'a').fetchBlob(BLOB, store, { ref: 'x' }, c);
    for (let i = 0; i < 9; i++) once(/^GET/, status(500));
    const failed = client.repository(host, 'a').fetchBlob(BLOB, store, { ref: 'y' }, c);
    await expect(failed).rejects.toMatchObject({ kind: 'Unavailable' });
  });

  test.each([
    [
      'another byte',
      (b: Buffer) => Buffer.concat([b.subarray(0, 5), Buffer.from('X'), b.subarray(6)]),
      'DigestMismatch',
    ],
    ['too many bytes', (b: Buffer) => Buffer.concat([b, b]), 'SizeMismatch'],
  ])('%s is refused and leaves nothing', async (_, change, reason) => {
    const store = await freshStore();
    once(/^GET/, (_req, res) => void res.writeHead(200).end(change(BYTES)));
    const failed = client.repository(host, 'a').fetchBlob(BLOB, store, { ref: 'x' }, c);
    await expect(failed).rejects.toMatchObject({ kind: 'Invalid', reason });
    expect(await store.stat(BLOB.digest)).toBeUndefined();
    expect(await store.ingests()).toEqual([]);
  });

  test('a manifest that is not what its digest says is refused', async () => {
    const image = await packImage({ entries: [], config: {} });
    const to = client.repository(host, 'img');
    await pushPacked(to, 'v1', image, c);
    expect((await to.getManifest('v1', c)).digest).toBe(image.manifestDigest);
    const body = '{"schemaVersion":2,"manifests":[]}';
    once(/^GET .*manifests/, status(200, { 'content-type': MEDIA_TYPES.ociIndex }, body));
    await expect(to.getManifest(image.manifestDigest, c)).rejects.toThrow(/^digest mismatch/);
    once(/^GET .*manifests/, status(200, { 'docker-content-digest': image.manifestDigest }, body));
    await expect(to.getManifest('v1', c)).rejects.toThrow(/^digest mismatch/);
  });

  test('a cancel ends at once and says so', async () => {
    const stop = new AbortController();
    once(/^GET/, () => stop.abort());
    const store = await freshStore();
    const failed = client.repository(host, 'a').fetchBlob(BLOB, store, { ref: 'x' }, { ...c, signal: stop.signal });
    await expect(failed).rejects.toMatchObject({ kind: 'Cancelled' });
  });

  test('what is not there, not allowed, not reachable', async () => {
    const from = client.repository(host, 'a');
    await expect(from.getManifest('nope', c)).rejects.toMatchObject({ kind: 'NotFound' });
    await expect(from.getManifest('nope', c)).rejects.toThrow(`${host}/a:nope: manifest unknown`);
    once(/^GET/, status(403, {}, '{"errors":[{"code":"DENIED","message":"not for you"}]}'));
    await expect(from.getManifest('v1', c)).rejects.toThrow(/denied: not for you/);
    once(/^GET/, status(429, { 'retry-after': '7' }));
    const limited = newClient({ attempts: 1 });
    await expect(limited.repository(host, 'a').getManifest('v1', c)).rejects.toMatchObject({
      kind: 'TooManyRequests',
      details: { retryAfterSeconds: 7 },
    });
    await expect(limited.repository('127.0.0.1:1', 'a').getManifest('v1', c)).rejects.toMatchObject({
      kind: 'Unavailable',
    });
    await limited[Symbol.asyncDispose]();
  });

  test('tags through pages, referrers, deletion', async () => {
    const image = await packImage({ entries: [], config: {} });
    const to = client.repository(host, 'img');
    for (const tag of ['a', 'b', 'c', 'd', 'e']) await pushPacked(to, tag, image, c);
    once(/^GET .*tags\/list$/, (req, res) => {
      req.url = `${req.url}?n=2`;
      forward(req, res);
    });
    expect(await to.listTags(c)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect((await to.referrers(image.manifestDigest, undefined, c)).manifests).toEqual([]);
    await to.deleteManifest('a', c);
    expect(await to.headManifest('a', c)).toBeUndefined();
    expect(await to.headManifest('b', c)).toEqual({ digest: image.manifestDigest });
    await to.deleteManifest(image.manifestDigest, c);
    expect(await to.listTags(c)).toEqual([]);
  });
});

describe('client: authorization', () => {
  /** Lets through only what carries `authorization`; challenges the rest. */
  function guard(challenge: string, authorization: string): void {
    const fault: Fault = (req, res) => {
      if (req.url?.startsWith('/token') === true || req.headers.authorization === authorization) return false;
      status(
        401,
        { 'www-authenticate': challenge },
        '{"errors":[{"code":"UNAUTHORIZED","message":"who are you"}]}',
      )(req, res);
      faults.push(fault); // it was taken off the list for having matched
      return true;
    };
    faults.push(fault);
  }

  test('Basic', async () => {
    guard('Basic realm="x"', `Basic ${Buffer.from('me:secret').toString('base64')}`);
    const credentials = { username: 'me', password: 'secret' };
    await client.repository(host, 'a', { credentials }).pushBlob(BLOB, BYTES, {}, c);
    const wrong = client.repository(host, 'a', { credentials: { username: 'me', password: 'no' } });
    await expect(wrong.hasBlob(BLOB.digest, c)).rejects.toMatchObject({ kind: 'Unauthorized' });
    await expect(client.repository(host, 'a').getManifest('x', c)).rejects.toThrow(/unauthorized: who are you/);
  });

  test('Bearer: one token per scope, anonymous and with an account', async () => {
    guard(`Bearer realm="http://${host}/token?x=1",service="reg",scope="repository:a:pull"`, 'Bearer t0k');
    const asked: URLSearchParams[] = [];
    const accounts: (string | undefined)[] = [];
    const tokens: Fault = (req, res) => {
      if (req.url?.startsWith('/token') !== true) return false;
      asked.push(new URL(req.url, 'http://x').searchParams);
      accounts.push(req.headers.authorization);
      status(200, {}, '{"token":"t0k","expires_in":300}')(req, res);
      faults.push(tokens);
      return true;
    };
    faults.push(tokens);
    const to = client.repository(host, 'a');
    await to.pushBlob(BLOB, BYTES, {}, c);
    expect(await to.hasBlob(BLOB.digest, c)).toBe(true);
    expect(asked.map((q) => q.getAll('scope'))).toEqual([
      ['repository:a:pull'],
      ['repository:a:pull,push', 'repository:a:pull'],
    ]);
    expect(asked[0]?.get('service')).toBe('reg');
    expect(accounts).toEqual([undefined, undefined]);
    const credentials = { username: 'me', password: 'pw' };
    await client.repository(host, 'a', { credentials }).hasBlob(BLOB.digest, c);
    expect(accounts[2]).toBe(`Basic ${Buffer.from('me:pw').toString('base64')}`);
    expect(asked[2]?.get('account')).toBe('me');
  });

  test('an identity token is exchanged by a form (oauth.md); a registry token is shown as it is', async () => {
    guard(`Bearer realm="http://${host}/token",service="reg"`, 'Bearer t0k');
    const forms: URLSearchParams[] = [];
    const tokens: Fault = (req, res) => {
      if (req.url?.startsWith('/token') !== true) return false;
      faults.push(tokens);
      let text = '';
      req
        .on('data', (piece: Buffer) => (text += piece))
        .on('end', () => {
          forms.push(new URLSearchParams(`method=${req.method}&${text}`));
          status(200, {}, '{"access_token":"t0k"}')(req, res);
        });
      return true;
    };
    faults.push(tokens);
    const nobody = { username: '', password: '' };
    const by = (o: object) => client.repository(host, 'a', { credentials: { ...nobody, ...o } });
    expect(await by({ identityToken: 'refresh' }).hasBlob(BLOB.digest, c)).toBe(false);
    expect(Object.fromEntries(forms[0] ?? [])).toEqual({
      ...{ method: 'POST', grant_type: 'refresh_token', refresh_token: 'refresh', client_id: 'berth' },
      ...{ service: 'reg', scope: 'repository:a:pull' },
    });
    expect(await by({ registryToken: 't0k' }).hasBlob(BLOB.digest, c)).toBe(false);
    await expect(by({ registryToken: 'no' }).hasBlob(BLOB.digest, c)).rejects.toMatchObject({ kind: 'Unauthorized' });
    expect(forms).toHaveLength(1);
  });

  test('credentials do not follow a redirect to another origin', async () => {
    await client.repository(host, 'a').pushBlob(BLOB, BYTES, {}, c);
    const authorization = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    guard('Basic realm="x"', authorization);
    const leaked: (string | undefined)[] = [];
    const elsewhere = createServer((req, res) => {
      leaked.push(req.headers.authorization);
      res.end(BYTES);
    });
    const other = await listen(elsewhere);
    faults.unshift((req, res) => {
      if (req.method !== 'GET' || req.headers.authorization === undefined) return false;
      status(307, { location: `http://${other}/blob` })(req, res);
      return true;
    });
    const from = client.repository(host, 'a', { credentials: { username: 'me', password: 'secret' } });
    expect((await from.getBlob(BLOB, BYTES.length, c)).equals(BYTES)).toBe(true);
    expect(leaked).toEqual([undefined]);
    elsewhere.closeAllConnections();
    elsewhere.close();
  });
});

describe('client: which scheme', () => {
  test('a registry that is neither loopback nor named insecure is spoken to by https', async () => {
    const failing = newClient({ attempts: 1 });
    await expect(failing.repository('registry.invalid', 'a').getManifest('v1', c)).rejects.toMatchObject({
      kind: 'Unavailable',
    });
    await failing[Symbol.asyncDispose]();
  });

  test('a loopback registry with a CA of its own is spoken to by https, and only with that CA', async () => {
    const { execFile } = await import('node:child_process');
    const { promisify } = await import('node:util');
    const { readFile } = await import('node:fs/promises');
    const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const argv = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-keyout',
      key,
    ];
    await promisify(execFile)('openssl', [
      ...argv,
      '-out',
      cert,
      '-subj',
      '/CN=r',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    ]);
    const pem = await readFile(cert, 'utf8');
    await using secure = await startRegistry({
      listen: { host: '127.0.0.1', port: 0 },
      folder: join(folder, 'tls'),
      log: silentLogger,
      clock: realClock,
      random: realRandom,
      tls: { key: await readFile(key, 'utf8'), cert: pem },
    });
    expect(secure.url).toBe(`https://${secure.host}`);
    const tlsHost = secure.host;
    const atTls = (ca: string[], skipVerify = false) => ({
      at: registryItself(tlsHost, { capabilities: ALL_CAPABILITIES, tls: { ca, client: [], skipVerify } }),
    });
    const trusting = newClient({ attempts: 1 });
    await trusting.repository(tlsHost, 'a', atTls([pem])).pushBlob(BLOB, BYTES, {}, c);
    expect(await trusting.repository(tlsHost, 'a', atTls([], true)).hasBlob(BLOB.digest, c)).toBe(true);
    const doubting = newClient({ attempts: 1 });
    await expect(doubting.repository(tlsHost, 'a', atTls([])).hasBlob(BLOB.digest, c)).rejects.toMatchObject({
      kind: 'Unavailable',
    });
    for (const x of [trusting, doubting]) await x[Symbol.asyncDispose]();
  });
});
