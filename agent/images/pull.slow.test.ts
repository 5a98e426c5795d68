/** Pulling against a scripted registry, with a kernel that only counts what it unpacks. */

import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import {
  type Ctx,
  type Digest,
  realClock,
  realRandom,
  StatusError,
  seededRandom,
  sha256,
  silentLogger,
} from '#lib/base';
import { MEDIA_TYPES, tarBytes, tarHeader } from '#lib/oci';
import type { Kernel } from '../kernel/kernel.ts';
import type { PullStep } from './images.ts';
import { type ImagesOptions, type OpenImages, openImages } from './open.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let server: Server;
let host: string;
/** Answers by path; a function may do anything. */
let paths: Map<string, { type: string; body: Buffer } | ((req: IncomingMessage, res: ServerResponse) => void)>;
let asked: string[];
let home: string;
let images: OpenImages;
/** So many layers must be in the kernel at once before any goes on. */
let together = 1;
const waiting: (() => void)[] = [];
let unpacking = { now: 0, most: 0, total: 0 };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-pull-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));
beforeEach(async () => {
  paths = new Map();
  asked = [];
  unpacking = { now: 0, most: 0, total: 0 };
  server = createServer((req, res) => {
    asked.push(`${req.method} ${req.url}`);
    const answer = paths.get(req.url ?? '');
    if (typeof answer === 'function') answer(req, res);
    else if (answer)
      res.writeHead(200, { 'content-type': answer.type, 'content-length': answer.body.length }).end(answer.body);
    else res.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no such image"}]}');
  });
  host = await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      resolve(`127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`);
    });
  });
  home = await mkdtemp(join(folder, 'h-'));
  images = await open();
});
afterEach(async () => {
  await images[Symbol.asyncDispose]();
  server.closeAllConnections();
  server.close();
});

test('nobody but root gets at the files of images and containers from outside', async () => {
  await chmod(home, 0o755);
  await images[Symbol.asyncDispose]();
  images = await open();
  expect((await stat(home)).mode & 0o777).toBe(0o700);
});

async function settings(registry: string, toml: string): Promise<void> {
  const own = join(folder, 'certs.d', registry);
  await mkdir(own, { recursive: true });
  await writeFile(join(own, 'hosts.toml'), toml);
}

function open(o: Partial<ImagesOptions> = {}): Promise<OpenImages> {
  const certsFolder = join(folder, 'certs.d');
  const base = {
    kernel: countingKernel(),
    folder: home,
    clock: realClock,
    random: realRandom,
    log: silentLogger,
    certsFolder,
  };
  return openImages({ ...base, snapshotter: 'overlay', ...o }, c);
}

function countingKernel(): Kernel {
  const never = (): never => {
    throw new Error('not in this test');
  };
  const nothing = async (): Promise<void> => undefined;
  return {
    programs: { run: never },
    mounts: { overlay: nothing, bind: never, tmpfs: never, unmount: nothing, below: async () => [] },
    namespaces: { pin: never, unpin: never, pinUser: never, pinProcesses: never, dial: never },
    cgroups: {
      version: 'v2',
      facts: { hasSwap: false, pageSizes: [] },
      ensure: never,
      set: never,
      usage: never,
      usages: never,
      expectMove: never,
      remove: never,
      children: never,
    },
    unpackLayer: never,
    packFolder: never,
    async unpackBlob({ root, path }) {
      unpacking.most = Math.max(unpacking.most, ++unpacking.now);
      unpacking.total++;
      await meet();
      const blob = await readFile(path);
      let tar = blob;
      try {
        if (blob[0] === 0x1f) tar = gunzipSync(blob);
      } catch (e) {
        throw new StatusError('Invalid', `the layer is damaged: ${String(e)}`);
      }
      await writeFile(join(root, 'unpacked'), `${tar.length}`);
      unpacking.now--;
      return { entries: 1, bytes: tar.length, diffId: sha256(tar) };
    },
    syncFileSystem: nothing,
    ownTree: never,
    removeTree: (path) => rm(path, { recursive: true, force: true }),
    [Symbol.asyncDispose]: nothing,
  };
}

async function meet(): Promise<void> {
  const met = new Promise<void>((resolve) => waiting.push(resolve));
  if (waiting.length >= together) {
    together = 1;
    for (const go of waiting.splice(0)) go();
  }
  await met;
}

function put(path: string, type: string, body: Buffer): { mediaType: string; digest: Digest; size: number } {
  paths.set(path, { type, body });
  return { mediaType: type, digest: sha256(body), size: body.length };
}

function blob(name: string, type: string, body: Buffer): { mediaType: string; digest: Digest; size: number } {
  return put(`/v2/${name}/blobs/${sha256(body)}`, type, body);
}

async function layerTar(content: string): Promise<Buffer> {
  const data = Buffer.from(content);
  return tarBytes([{ header: tarHeader({ type: 'file', path: 'f', sizeBytes: data.length }), data }]);
}

/** Offers name:tag with layers of the given contents. */
async function offer(name: string, tag: string, contents: readonly string[]): Promise<Digest> {
  const tars = await Promise.all(contents.map(layerTar));
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['x'] },
    rootfs: { diff_ids: tars.map((t) => sha256(t)) },
  };
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: blob(name, MEDIA_TYPES.ociConfig, Buffer.from(JSON.stringify(config))),
      layers: tars.map((t) => blob(name, MEDIA_TYPES.ociLayerGzip, gzipSync(t))),
    }),
  );
  put(`/v2/${name}/manifests/${tag}`, MEDIA_TYPES.ociManifest, manifest);
  put(`/v2/${name}/manifests/${sha256(manifest)}`, MEDIA_TYPES.ociManifest, manifest);
  return sha256(manifest);
}

const layerAsks = (): string[] => asked.filter((a) => a.includes('/blobs/')).sort();

test('pull: many callers of one image and of images that share layers load and unpack each layer once', async () => {
  await offer('a', 'v1', ['base', 'one', 'two', 'three', 'four']);
  await offer('a', 'v2', ['base', 'other']);
  together = 3;
  const pulls = ['v1', 'v1', 'v2', 'v1', 'v2'].map((tag) => images.pull(`${host}/a:${tag}`, {}, c));
  const [first, second] = await Promise.all(pulls);
  expect(second).toEqual(first);
  expect(new Set(layerAsks()).size).toBe(layerAsks().length);
  expect(unpacking).toMatchObject({ now: 0, total: 6 });
  expect(unpacking.most).toBeGreaterThanOrEqual(3);
  expect(await images.list(c)).toHaveLength(2);
});

test('pull: again asks only for the manifest; a restart knows the image', async () => {
  const digest = await offer('a', 'v1', ['base']);
  const image = await images.pull(`${host}/a:v1`, {}, c);
  expect(image).toMatchObject({ reference: `${host}/a:v1`, repoDigest: `${host}/a@${digest}`, config: { cmd: ['x'] } });
  asked = [];
  await images.pull(`${host}/a:v1`, {}, c);
  expect(asked.filter((a) => !a.includes('manifests'))).toEqual([]);
  await using again = await open();
  expect(await again.find(`${host}/a:v1`, c)).toEqual(image);
  expect(await again.find(`${host}/a@${digest}`, c)).toEqual(image);
  expect(await again.find(`${host}/b@${digest}`, c)).toBeUndefined();
});

test('pull: a moved tag gives the new image; layers that vanished from disk drop their image at the start', async () => {
  await offer('a', 'v1', ['old']);
  const old = await images.pull(`${host}/a:v1`, {}, c);
  await offer('a', 'v1', ['new']);
  const now = await images.pull(`${host}/a:v1`, {}, c);
  expect(now.id).not.toBe(old.id);
  expect(await images.list(c)).toEqual([now]);
  await rm(join(home, 'snapshots/layers'), { recursive: true });
  await using again = await open();
  expect(await again.list(c)).toEqual([]);
});

test('pull: progress is told to every caller', async () => {
  await offer('a', 'v1', ['base', 'top']);
  const [one, two] = [new Map<string, number>(), new Map<string, number>()];
  const listen = (m: Map<string, number>) => (p: { layer: Digest; doneBytes: number; totalBytes: number }) =>
    void m.set(p.layer, p.doneBytes / p.totalBytes);
  await Promise.all([one, two].map((m) => images.pull(`${host}/a:v1`, { onProgress: listen(m) }, c)));
  for (const m of [one, two]) expect([...m.values()]).toEqual([1, 1]);
});

test('pull: an index gives the image of this machine', async () => {
  const own = await offer('a', 'own', ['base']);
  const entry = (digest: Digest, architecture: string): object => {
    const found = paths.get(`/v2/a/manifests/${digest}`);
    const size = found && typeof found !== 'function' ? found.body.length : 0;
    return { mediaType: MEDIA_TYPES.ociManifest, digest, size, platform: { os: 'linux', architecture } };
  };
  const index = (...manifests: object[]): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, manifests }));
  const machine = { x64: 'amd64' }[process.arch as string] ?? process.arch;
  const good = put(
    '/v2/a/manifests/multi',
    MEDIA_TYPES.ociIndex,
    index(entry(sha256('x'), 's390x'), entry(own, machine)),
  );
  const image = await images.pull(`${host}/a:multi`, {}, c);
  expect(image.repoDigest).toBe(`${host}/a@${good.digest}`);
  expect((await images.find(`${host}/a@${own}`, c))?.id).toBe(image.id);
  put('/v2/a/manifests/foreign', MEDIA_TYPES.ociIndex, index(entry(own, 's390x')));
  await expect(images.pull(`${host}/a:foreign`, {}, c)).rejects.toThrow(/no match for platform linux/);
});

test('pull: refused are artifacts, damaged layers, wrong diff ids; nothing of them shows', async () => {
  const config = blob('a', 'application/x.chart', Buffer.from('{}'));
  const layers = [blob('a', 'application/x.chart.layer', Buffer.from('chart'))];
  put(
    '/v2/a/manifests/chart',
    MEDIA_TYPES.ociManifest,
    Buffer.from(JSON.stringify({ schemaVersion: 2, config, layers })),
  );
  await expect(images.pull(`${host}/a:chart`, {}, c)).rejects.toThrow(/is not a container image/);
  await offer('a', 'v1', ['base']);
  const [layer] = [...paths.keys()].filter((p) => {
    const found = paths.get(p);
    return typeof found === 'object' && found.type === MEDIA_TYPES.ociLayerGzip;
  });
  const sound = paths.get(layer ?? '');
  if (!layer || typeof sound !== 'object') throw new Error('no layer');
  paths.set(layer, { ...sound, body: gzipSync(await layerTar('evil')) });
  await expect(images.pull(`${host}/a:v1`, {}, c)).rejects.toMatchObject({ kind: 'Invalid' });
  const broken = gzipSync(await layerTar('cut')).subarray(0, 40);
  const tar = await layerTar('cut');
  const manifest = {
    schemaVersion: 2,
    config: blob(
      'a',
      MEDIA_TYPES.ociConfig,
      Buffer.from(JSON.stringify({ os: 'linux', rootfs: { diff_ids: [sha256(tar)] } })),
    ),
    layers: [blob('a', MEDIA_TYPES.ociLayerGzip, broken)],
  };
  put('/v2/a/manifests/broken', MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)));
  await expect(images.pull(`${host}/a:broken`, {}, c)).rejects.toThrow(/is damaged/);
  expect(await images.list(c)).toEqual([]);
  expect(await readdir(join(home, 'snapshots/layers'))).toEqual([]);
  expect(await readdir(join(home, 'snapshots/trash'))).toEqual([]);
});

test('pull: a mirror is asked first, and what it cannot give comes from the registry', async () => {
  await offer('a', 'v1', ['base']);
  await settings(host, `[host."http://${host}/mirror"]\n`);
  await using mirrored = await open();
  await mirrored.pull(`${host}/a:v1`, {}, c);
  expect(asked[0]).toBe(`GET /mirror/v2/a/manifests/v1`);
  for (const [path, answer] of [...paths]) paths.set(`/mirror${path}`, answer);
  asked = [];
  await mirrored.remove(`${host}/a:v1`, c);
  await mirrored.pull(`${host}/a:v1`, {}, c);
  expect(asked.every((a) => a.startsWith('GET /mirror/'))).toBe(true);
});

test('pull: the last caller that leaves stops the download; the next pull goes on where it was', async () => {
  await offer('a', 'v1', [realRandom.hex(200_000)]);
  const [path] = [...paths]
    .filter(([, v]) => typeof v === 'object' && v.type === MEDIA_TYPES.ociLayerGzip)
    .map(([k]) => k);
  const whole = paths.get(path ?? '');
  if (path === undefined || typeof whole !== 'object') throw new Error('no layer');
  const stop = new AbortController();
  const ranges: (string | undefined)[] = [];
  paths.set(path, (req, res) => {
    ranges.push(req.headers.range);
    if (ranges.length > 1) {
      const start = Number(/bytes=(\d+)-/.exec(req.headers.range ?? '')?.[1] ?? 0);
      res.writeHead(206, { 'content-range': `bytes ${start}-${whole.body.length - 1}/${whole.body.length}` });
      res.end(whole.body.subarray(start));
      return;
    }
    res.writeHead(200, { 'content-length': whole.body.length });
    res.write(whole.body.subarray(0, 50_000));
  });
  const onProgress = (p: { doneBytes: number }): void => {
    if (p.doneBytes === 50_000) stop.abort(new Error('gone'));
  };
  await expect(images.pull(`${host}/a:v1`, { onProgress }, { ...c, signal: stop.signal })).rejects.toThrow('gone');
  expect(await images.list(c)).toEqual([]);
  await images.pull(`${host}/a:v1`, {}, c);
  expect(ranges).toEqual([undefined, 'bytes=50000-']);
});

test('pull: credentials are asked for by host and repository and make a flight of their own', async () => {
  await offer('team/a', 'v1', ['base']);
  const open = paths.get('/v2/team/a/manifests/v1');
  if (typeof open !== 'object') throw new Error('no manifest');
  const wanted = `Basic ${Buffer.from('me:pw').toString('base64')}`;
  paths.set('/v2/team/a/manifests/v1', (req, res) => {
    if (req.headers.authorization === wanted) res.writeHead(200, { 'content-type': open.type }).end(open.body);
    else res.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end('{"errors":[{"code":"UNAUTHORIZED"}]}');
  });
  const credentials = (registryHost: string, repository: string) =>
    registryHost === host && repository === 'team/a' ? { username: 'me', password: 'pw' } : undefined;
  const results = await Promise.allSettled([
    images.pull(`${host}/team/a:v1`, {}, c),
    images.pull(`${host}/team/a:v1`, { credentials }, c),
  ]);
  expect(results.map((r) => r.status)).toEqual(['rejected', 'fulfilled']);
  expect(results[0]).toMatchObject({ reason: { kind: 'Unauthorized' } });
});

/** Records and roots that name a layer which is not there. A record goes before its layers and comes after them, so a second look decides. */
async function brokenThings(): Promise<string[]> {
  const look = async (path: string): Promise<boolean> => {
    const text = await readFile(path, 'utf8').catch(() => '');
    const chains = path.endsWith('root.json')
      ? text.slice(text.indexOf('layers'))
      : (text.match(/"chainId":"[^"]+"/g)?.join() ?? '');
    const layers = new Set(await readdir(join(home, 'snapshots/layers')));
    return [...chains.matchAll(/sha256:([0-9a-f]{64})/g)].some((m) => !layers.has(m[1] ?? ''));
  };
  const records = (await readdir(join(home, 'images'))).map((n) => join(home, 'images', n));
  const roots = (await readdir(join(home, 'snapshots/roots'))).map((n) =>
    join(home, 'snapshots/roots', n, 'root.json'),
  );
  const out: string[] = [];
  for (const path of [...records, ...roots]) if ((await look(path)) && (await look(path))) out.push(path);
  return out;
}

test.each([1, 2, 3])(
  'pull, mount, remove and collect at the same time never break an image (seed %s)',
  async (seed) => {
    const random = seededRandom(seed);
    await using calm = await open({ clock: { ...realClock, now: () => Number.MAX_SAFE_INTEGER } });
    const contents = [['a'], ['a', 'b'], ['a', 'b', 'c'], ['d', 'b']];
    for (const [i, layers] of contents.entries()) await offer('s', `v${i}`, layers);
    const reference = (): string => `${host}/s:v${random.below(contents.length)}`;
    const roots = new Set<string>();
    const expected = new Set(['NotFound', 'Conflict']);
    const step = async (n: number): Promise<void> => {
      const name = reference();
      const choice = random.below(10);
      if (choice < 4) await calm.pull(name, {}, c);
      else if (choice < 6) await calm.remove(name, c);
      else if (choice < 7) await calm.collect({ freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs: 0 }, c);
      else if (choice < 8) {
        const [id] = roots;
        if (id === undefined) return;
        roots.delete(id);
        await calm.removeRoot(id, c);
      } else {
        const image = (await calm.find(name, c)) ?? (await calm.pull(name, {}, c));
        await calm.mountRoot(`c${n}`, image, c);
        roots.add(`c${n}`);
      }
    };
    const worker = async (w: number): Promise<void> => {
      for (let i = 0; i < 40; i++)
        await step(w * 1000 + i).catch((e: unknown) => {
          if (!(e instanceof StatusError && expected.has(e.kind))) throw e;
        });
    };
    await Promise.all([0, 1, 2, 3].map(worker));
    expect(await brokenThings()).toEqual([]);
    for (const id of await calm.roots(c)) await calm.removeRoot(id, c);
    for (const image of await calm.list(c)) await calm.remove(image.reference, c);
    await calm.collect({ freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs: 0 }, c);
    for (const rest of ['snapshots/layers', 'snapshots/trash', 'content/blobs/sha256', 'content/ingest', 'images'])
      expect([rest, await readdir(join(home, rest))]).toEqual([rest, []]);
  },
);

test('pull by a person: kept, not collected, open to all pods; what a pod pulls afterwards is tracked, and still kept', async () => {
  await offer('a', 'v1', ['base']);
  const name = `${host}/a:v1`;
  expect(await images.pull(name, { isKept: true }, c)).toMatchObject({ isTracked: false });
  const everything = { freeBytes: Number.MAX_SAFE_INTEGER, minAgeMs: 0, unusedForMs: 0 };
  await images.collect(everything, c);
  expect(await images.list(c)).toHaveLength(1);
  expect(await images.pull(name, {}, c)).toMatchObject({ isTracked: true });
  expect(await images.pull(name, { isKept: true }, c)).toMatchObject({ isTracked: true });
  await images.collect(everything, c);
  await offer('a', 'v1', ['moved']);
  const moved = await images.pull(name, {}, c);
  await images.collect(everything, c);
  expect(await images.list(c)).toEqual([]);
  expect(images.catalog.records().map((r) => r.reference)).toEqual([expect.stringMatching(/^sha256:/)]);
  expect(images.catalog.records()[0]?.id).not.toBe(moved.id);
});

test('pull: each layer tells its steps in their order, and alone that it exists', async () => {
  await offer('a', 'v1', ['base', 'top']);
  const steps = new Map<string, string[]>();
  const onProgress = (p: PullStep): void => void steps.set(p.layer, [...(steps.get(p.layer) ?? []), p.phase]);
  await images.pull(`${host}/a:v1`, { onProgress }, c);
  expect([...steps.values()].map((s) => [...new Set(s)])).toEqual([
    ['waiting', 'downloading', 'downloaded', 'extracting', 'extracted'],
    ['waiting', 'downloading', 'downloaded', 'extracting', 'extracted'],
  ]);
  steps.clear();
  await images.pull(`${host}/a:v1`, { onProgress }, c);
  expect([...steps.values()]).toEqual([['exists'], ['exists']]);
});

test('mountRoot: an image that is not here is NotFound', async () => {
  await offer('a', 'v1', ['base']);
  const image = await images.pull(`${host}/a:v1`, {}, c);
  await images.remove(`${host}/a:v1`, c);
  await expect(images.mountRoot('x', image, c)).rejects.toMatchObject({ kind: 'NotFound' });
  await expect(images.remove(`${host}/a:v1`, c)).rejects.toMatchObject({ kind: 'NotFound' });
  expect(await images.roots(c)).toEqual([]);
});

test('a tag that is looked up again costs one request; a config that was harmed on this disk is fetched', async () => {
  await offer('app', 'v1', ['one']);
  const first = await images.pull(`${host}/app:v1`, {}, c);
  asked = [];
  expect((await images.pull(`${host}/app:v1`, {}, c)).id).toBe(first.id);
  expect(asked).toEqual(['GET /v2/app/manifests/v1']);
  const path = join(home, 'content/blobs/sha256', first.id.slice('sha256:'.length));
  await chmod(path, 0o600);
  await writeFile(path, '{}');
  asked = [];
  await images.pull(`${host}/app:v1`, {}, c);
  expect(asked).toEqual(['GET /v2/app/manifests/v1', `GET /v2/app/blobs/${first.id}`]);
});
