/** Pull-through: one registry of ours before another one, with a door between them that counts and fails. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Clock, realClock, realRandom, silentLogger } from '#lib/base';
import {
  ALL_CAPABILITIES,
  DistributionClient,
  MEDIA_TYPES,
  packImage,
  parseAnyDigest,
  pushPacked,
  registryItself,
} from '#lib/oci';
import { type Registry, startRegistry } from '../registry.ts';
import { DEFAULT_SETTINGS, type RegistrySettings } from '../settings.ts';

const HOST = 'up.example';
const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let upstream: Registry;
let cache: Registry;
let door: Server;
let seen: string[] = [];
let fault: ((res: ServerResponse, path: string) => boolean) | undefined;
let aheadMs = 0;
const clock: Clock = { ...realClock, monotonic: () => realClock.monotonic() + aheadMs };
let settings: RegistrySettings = DEFAULT_SETTINGS;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-upstream-'));
  const common = { listen: { host: '127.0.0.1', port: 0 }, log: silentLogger, random: realRandom };
  upstream = await startRegistry({ ...common, clock: realClock, folder: join(folder, 'upstream') });
  door = createServer((req, res) => {
    const path = req.url ?? '';
    seen.push(`${req.method} ${path.replace(/sha256:[0-9a-f]{64}/, 'DIGEST')}`);
    if (fault?.(res, path) === true) return;
    const onward = request(`${upstream.url}${path}`, { method: req.method, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(res);
    });
    req.pipe(onward);
  });
  await new Promise<void>((resolve) => door.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(door.address() as AddressInfo).port}`;
  const rest = { username: undefined, passwordFile: undefined, caFile: undefined, revalidateSeconds: 60 };
  settings = { ...DEFAULT_SETTINGS, upstreams: [{ host: HOST, url, ...rest }] };
  cache = await startRegistry({ ...common, clock, folder: join(folder, 'cache'), settings: () => settings });
});
afterAll(async () => {
  for (const r of [cache, upstream]) await r[Symbol.asyncDispose]();
  door.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  seen = [];
  fault = undefined;
  aheadMs += 3_600_000;
});

async function pushUpstream(name: string, tag: string, fill: number): Promise<string> {
  await using client = new DistributionClient({ random: realRandom });
  const entries = [{ type: 'file' as const, path: 'f', data: Buffer.alloc(50_000, fill) }];
  const image = await packImage({ entries, config: {} });
  await pushPacked(client.repository(upstream.host, name), tag, image, c);
  return image.manifestDigest;
}

/** As a node with a mirror does: by the upstream's name, with `?ns=`. Gives the digest when every byte came. */
async function pull(name: string, reference: string): Promise<string> {
  await using client = new DistributionClient({ random: realRandom, attempts: 1 });
  const at = { ...registryItself(cache.host, { capabilities: ALL_CAPABILITIES }), url: `${cache.url}/v2` };
  const from = client.repository(HOST, name, { at });
  const m = await from.getManifest(reference, c);
  const { config, layers }: { config: Wire; layers: Wire[] } = JSON.parse(m.bytes.toString());
  for (const d of [config, ...layers])
    await from.getBlob({ ...d, sizeBytes: d.size, digest: parseAnyDigest(d.digest) }, 10_000_000, c);
  return m.digest;
}

interface Wire {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

describe('pull-through', () => {
  test('the first pull brings it, later ones ask nobody for a while, then the tag alone is compared', async () => {
    const digest = await pushUpstream('library/app', 'v1', 1);
    expect(await pull('library/app', 'v1')).toBe(digest);
    expect(seen).toEqual([
      'HEAD /v2/library/app/manifests/v1',
      'GET /v2/library/app/manifests/v1',
      'GET /v2/library/app/blobs/DIGEST',
      'GET /v2/library/app/blobs/DIGEST',
    ]);
    seen = [];
    expect([await pull('library/app', 'v1'), await pull('library/app', digest)]).toEqual([digest, digest]);
    expect(seen).toEqual([]);
    aheadMs += 61_000;
    expect(await pull('library/app', 'v1')).toBe(digest);
    expect(seen).toEqual(['HEAD /v2/library/app/manifests/v1']);
    // The same by its path here.
    const direct = await fetch(`${cache.url}/v2/${HOST}/library/app/manifests/v1`);
    expect(direct.headers.get('docker-content-digest')).toBe(digest);
  });

  test('a tag that moved is followed; one that is gone is gone here, what it was by digest is not', async () => {
    const old = await pushUpstream('library/moves', 'v1', 2);
    await pull('library/moves', 'v1');
    const next = await pushUpstream('library/moves', 'v1', 3);
    aheadMs += 61_000;
    expect(await pull('library/moves', 'v1')).toBe(next);
    await fetch(`${upstream.url}/v2/library/moves/manifests/v1`, { method: 'DELETE' });
    aheadMs += 61_000;
    await expect(pull('library/moves', 'v1')).rejects.toMatchObject({ kind: 'NotFound' });
    expect(await pull('library/moves', old)).toBe(old);
    await expect(pull('library/none', 'v1')).rejects.toMatchObject({ kind: 'NotFound' });
  });

  test.each<[string, (res: ServerResponse) => boolean]>([
    [
      'does not answer',
      (res) => {
        res.destroy();
        return true;
      },
    ],
    [
      'is broken',
      (res) => {
        res.writeHead(503).end();
        return true;
      },
    ],
    [
      'wants a login',
      (res) => {
        res.writeHead(401).end();
        return true;
      },
    ],
  ])('an upstream that %s: what is here is served, what is not is an error', async (what, how) => {
    const name = `library/${what.replaceAll(' ', '-')}`;
    const digest = await pushUpstream(name, 'v1', 4);
    await pull(name, 'v1');
    aheadMs += 3_600_000;
    fault = how;
    expect(await pull(name, 'v1')).toBe(digest);
    const missing = await fetch(`${cache.url}/v2/${name}/manifests/v2?ns=${HOST}`);
    expect([404, 503]).toContain(missing.status);
    expect(JSON.parse(await missing.text()).errors[0].message).toMatch(/upstream/);
  });

  test('429 is obeyed: no further question until Retry-After has passed', async () => {
    const digest = await pushUpstream('library/limited', 'v1', 5);
    await pull('library/limited', 'v1');
    aheadMs += 61_000;
    fault = (res) => {
      res.writeHead(429, { 'retry-after': '120' }).end();
      return true;
    };
    expect(await pull('library/limited', 'v1')).toBe(digest);
    const asked = seen.filter((s) => s.startsWith('HEAD')).length;
    aheadMs += 61_000;
    expect(await pull('library/limited', 'v1')).toBe(digest);
    const refused = await fetch(`${cache.url}/v2/library/other/manifests/v1?ns=${HOST}`);
    expect([refused.status, Number(refused.headers.get('retry-after')) <= 120]).toEqual([429, true]);
    expect(JSON.parse(await refused.text()).errors[0].code).toBe('TOOMANYREQUESTS');
    expect(seen.filter((s) => s.startsWith('HEAD'))).toHaveLength(asked);
    fault = undefined;
    aheadMs += 121_000;
    expect(await pull('library/limited', 'v1')).toBe(digest);
    expect(seen.filter((s) => s.startsWith('HEAD'))).toHaveLength(asked + 1);
  });

  test('many at once cause one question each', async () => {
    const digest = await pushUpstream('library/busy', 'v1', 6);
    expect(await Promise.all(Array.from({ length: 12 }, () => pull('library/busy', 'v1')))).toEqual(
      Array(12).fill(digest),
    );
    expect(seen.sort()).toEqual([
      'GET /v2/library/busy/blobs/DIGEST',
      'GET /v2/library/busy/blobs/DIGEST',
      'GET /v2/library/busy/manifests/v1',
      'HEAD /v2/library/busy/manifests/v1',
    ]);
  });

  test('wrong bytes are not kept', async () => {
    await pushUpstream('library/liar', 'v1', 7);
    fault = (res, path) => {
      if (!path.includes('/blobs/')) return false;
      res.writeHead(200).end('something else');
      return true;
    };
    await expect(pull('library/liar', 'v1')).rejects.toMatchObject({ kind: 'Unavailable' });
    fault = undefined;
    await pull('library/liar', 'v1');
  });

  test('an upstream that is this registry itself gives its own images under that name', async () => {
    const before = settings;
    const [first] = settings.upstreams;
    if (first === undefined) throw new Error('no upstream');
    settings = { ...settings, upstreams: [{ ...first, host: 'itself.example', url: cache.url }] };
    const body = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] });
    const headers = { 'content-type': MEDIA_TYPES.ociIndex };
    await fetch(`${cache.url}/v2/own/app/manifests/v1`, { method: 'PUT', body, headers });
    for (const [name, status] of [
      ['own/app', 200],
      ['own/none', 404],
    ] as const)
      expect((await fetch(`${cache.url}/v2/${name}/manifests/v1?ns=itself.example`)).status).toBe(status);
    settings = before;
  });

  test('nothing is pushed over what is kept; a blob that no manifest names is not fetched; other names are our own', async () => {
    const path = `${HOST}/library/app`;
    const push = await fetch(`${cache.url}/v2/${path}/blobs/uploads/`, { method: 'POST' });
    expect([push.status, await push.text()]).toEqual([403, expect.stringContaining(`kept from ${HOST}`)]);
    seen = [];
    const blob = await fetch(`${cache.url}/v2/library/app/blobs/sha256:${'0'.repeat(64)}?ns=${HOST}`);
    expect([blob.status, seen]).toEqual([404, []]);
    expect((await fetch(`${cache.url}/v2/library/app/manifests/v1?ns=other.example`)).status).toBe(404);
    expect((await fetch(`${cache.url}/v2/library/app/manifests/v1`)).status).toBe(404);
  });

  test('credentials go to the upstream that asks for them, as their file holds them', async () => {
    const digest = await pushUpstream('library/private', 'v1', 8);
    const passwordFile = join(folder, 'password');
    await writeFile(passwordFile, 'secret\n');
    const [first] = settings.upstreams;
    if (first === undefined) throw new Error('no upstream');
    const before = settings;
    settings = { ...settings, upstreams: [{ ...first, username: 'me', passwordFile }] };
    const wanted = `Basic ${Buffer.from('me:secret').toString('base64')}`;
    door.prependListener('request', (req, res: ServerResponse) => {
      if (req.url?.includes('/private/') !== true || req.headers.authorization === wanted) return;
      res.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    });
    fault = (res) => res.writableEnded;
    expect(await pull('library/private', 'v1')).toBe(digest);
    settings = before;
  });
});
