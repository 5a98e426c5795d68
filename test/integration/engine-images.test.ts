/** Images of the engine against registries of our own, by its API and by the stock docker CLI. Needs root. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import Docker from 'dockerode';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseDigest, realClock, realRandom, sha256, silentLogger } from '#lib/base';
import { DistributionClient, encodeHeader, MEDIA_TYPES, packImage, pushPacked, tarBytes, tarHeader } from '#lib/oci';
import { Filters } from '../../agent/engine/http/filters.ts';
import { ImageEvents } from '../../agent/engine/images/events.ts';
import { ImageLibrary } from '../../agent/engine/images/library.ts';
import { ImageRemover, type ImageUser } from '../../agent/engine/images/remove.ts';
import { type Registry, startRegistry } from '../../services/registry/registry.ts';
import { TestEngine } from '../harness/engine.ts';

let t: TestEngine;
let registry: Registry;
let client: DistributionClient;

beforeAll(async () => {
  t = await TestEngine.open();
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(t.home, 'registry'),
    ...{ log: silentLogger, clock: realClock, random: realRandom },
  });
  client = new DistributionClient({ random: realRandom });
});
afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
  await t.close();
});

/** `name:tag` in the registry, with one file. */
async function offer(name: string, tag: string, text: string, labels: Record<string, string> = {}): Promise<string> {
  const image = await packImage({
    entries: [{ type: 'file', path: 'f', data: Buffer.from(text) }],
    config: { cmd: ['x'], labels },
    createdMs: Date.parse('2026-01-02T03:04:05Z'),
  });
  await pushPacked(client.repository(registry.host, name), tag, image, t.c);
  return image.manifestDigest;
}

async function docker(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await t.docker(...args);
  expect(`${code} ${stderr}`).toBe('0 ');
  return stdout.trim();
}

async function refused(...args: string[]): Promise<string> {
  const { code, stderr } = await t.docker(...args);
  expect(code).not.toBe(0);
  return stderr.trim();
}

const lines = (text: string): Record<string, unknown>[] =>
  text
    .trim()
    .split('\r\n')
    .map((l) => JSON.parse(l));

async function imageEvents(): Promise<string[]> {
  const { text } = await t.get(`/events?since=1&until=${Math.ceil(Date.now() / 1000)}&filters={"type":["image"]}`);
  return text
    .split('\n')
    .flatMap((l) => (l === '' ? [] : [`${JSON.parse(l).Action} ${JSON.parse(l).Actor.Attributes.name}`]));
}

test('pull: the lines of Docker’s progress, then up to date; the digest; no login, no tag, no platform', async () => {
  const digest = await offer('team/app', 'v1', 'one', { a: 'b' });
  const name = `${registry.host}/team/app`;
  const first = await t.post(`/images/create?fromImage=${name}&tag=v1`);
  expect(first.status).toBe(200);
  expect(first.headers['content-type']).toBe('application/json');
  const told = lines(first.text);
  expect(told[0]).toEqual({ status: `Pulling from ${name}`, id: 'v1' });
  const layer = told[1]?.['id'];
  expect(told.filter((l) => l['id'] === layer).map((l) => l['status'])).toEqual(
    expect.arrayContaining([
      'Pulling fs layer',
      'Verifying Checksum',
      'Download complete',
      'Extracting',
      'Pull complete',
    ]),
  );
  expect(told.at(-2)).toEqual({ status: `Digest: ${digest}` });
  expect(told.at(-1)).toEqual({ status: `Status: Downloaded newer image for ${name}:v1` });
  const again = lines((await t.post(`/images/create?fromImage=${name}:v1`)).text);
  expect(again.map((l) => l['status'])).toEqual([
    `Pulling from ${name}`,
    'Already exists',
    `Digest: ${digest}`,
    `Status: Image is up to date for ${name}:v1`,
  ]);
  const byDigest = lines((await t.post(`/images/create?fromImage=${name}&tag=${digest}`)).text);
  expect(byDigest.at(-1)?.['status']).toContain(`${name}@${digest}`);
  const missing = await t.post(`/images/create?fromImage=${name}&tag=nope`);
  expect([missing.status, missing.json.message]).toEqual([
    404,
    expect.stringContaining(`manifest for ${name}:nope not found`),
  ]);
  const foreign = await t.post(`/images/create?fromImage=${name}&tag=v1&platform=linux/s390x`);
  expect([foreign.status, foreign.json.message]).toEqual([
    404,
    expect.stringContaining('no matching manifest for linux/s390x'),
  ]);
  expect(await refused('pull', `${registry.host}/no/such`)).toContain(`${registry.host}/no/such`);
  expect(await refused('pull', 'localhost:1/x')).toContain('cannot be reached');
  expect(
    await docker('inspect', '-f', '{{.Os}} {{index .Config.Labels "a"}} {{index .RepoDigests 0}}', `${name}:v1`),
  ).toBe(`linux b ${name}@${digest}`);
});

test('pull --all-tags, list by filters, history, inspect by id and prefix', async () => {
  await offer('many', 'a', 'same');
  await offer('many', 'b', 'same');
  await offer('many', 'c', 'other', { kind: 'odd' });
  const name = `${registry.host}/many`;
  await docker('pull', '-q', '-a', name);
  expect((await docker('images', '--format', '{{.Tag}}', name)).split('\n').sort()).toEqual(['a', 'b', 'c']);
  expect(await docker('images', '--filter', 'label=kind=odd', '--format', '{{.Repository}}:{{.Tag}}')).toBe(
    `${name}:c`,
  );
  expect(await docker('images', '--filter', `reference=${registry.host}/ma*:a`, '-q')).not.toBe('');
  const list = (await t.get('/v1.51/images/json?shared-size=1&filters={"reference":["*/many:a"]}')).json;
  expect(list).toMatchObject([{ RepoTags: [`${name}:a`], Containers: 0, SharedSize: 0 }]);
  expect((await t.get('/v1.40/images/json')).json[0]).toMatchObject({
    VirtualSize: expect.any(Number),
    Containers: -1,
  });
  const { Id: id } = (await t.get(`/images/${name}:c/json`)).json;
  for (const text of [id, id.slice(7), id.slice(7, 19), `sha256:${id.slice(7, 20)}`])
    expect((await t.get(`/images/${text}/json`)).json.RepoTags).toEqual([`${name}:c`]);
  expect((await t.get('/images/nope/json')).json).toEqual({ message: 'No such image: nope:latest' });
  expect((await t.get('/images/UPPER/json')).status).toBe(400);
  expect((await t.get('/images/json?filters={"nope":["x"]}')).status).toBe(400);
  expect((await t.get(`/images/${name}:c/history`)).json).toMatchObject([{ Id: id, CreatedBy: 'berth pack' }]);
  expect(await docker('history', '-q', `${name}:c`)).toBe(id.slice(7, 19));
});

test('tag, untag, remove: names go first, the image with its last one; an id with several must be forced', async () => {
  const before = (await imageEvents()).length;
  await offer('rm', 'v1', 'to remove');
  const name = `${registry.host}/rm:v1`;
  await docker('pull', '-q', name);
  const id = await docker('inspect', '-f', '{{.Id}}', name);
  await docker('tag', name, 'mine');
  await docker('tag', id, 'u/mine:two');
  expect(await refused('tag', name, 'sha256:x')).toContain('refusing to create an ambiguous tag');
  expect(await refused('rmi', id)).toContain(`conflict: unable to delete ${id.slice(7, 19)} (must be forced)`);
  expect((await docker('rmi', 'mine')).split('\n')).toEqual(['Untagged: mine:latest']);
  expect((await docker('rmi', name)).split('\n')).toEqual([`Untagged: ${name}`, expect.stringContaining('Untagged: ')]);
  const last = (await docker('rmi', 'u/mine:two')).split('\n');
  expect(last.slice(0, 2)).toEqual(['Untagged: u/mine:two', `Deleted: ${id}`]);
  expect(last).toHaveLength(3);
  expect(await refused('rmi', id)).toContain('No such image');
  expect((await imageEvents()).slice(before)).toEqual([
    `pull ${registry.host}/rm`,
    'tag mine:latest',
    'tag u/mine:two',
    ...[`untag ${id}`, `untag ${id}`, `untag ${id}`, `delete ${id}`],
  ]);
});

test('remove: what a container uses stays; by force only what no running one uses (image_delete.go)', async () => {
  const { catalog } = t.images;
  const id = await t.addBusybox('used:1', { Labels: { of: 'use' } });
  const users: ImageUser[] = [];
  const library = new ImageLibrary(catalog);
  const events = new ImageEvents({ emit: () => undefined }, library);
  const remover = new ImageRemover({ catalog, library, events, users: () => users });
  const container = 'c0ffee'.repeat(10);
  const why = (text: string, force = false): Promise<string> =>
    remover.remove(text, { force }, t.c).then(
      (removed) => JSON.stringify(removed),
      (e: Error) => e.message,
    );
  const short = id.slice(7, 19);
  users.push({ id: container, imageId: parseDigest(id), isRunning: false });
  expect(await why('used:1')).toBe(
    `conflict: unable to remove repository reference "used:1" (must force) - container c0ffeec0ffee is using its referenced image ${short}`,
  );
  expect(await why(short)).toBe(
    `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container c0ffeec0ffee`,
  );
  users.splice(0, 1, { id: container, imageId: parseDigest(id), isRunning: true });
  expect(await why(short, true)).toBe(
    `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container c0ffeec0ffee`,
  );
  /* By name and force it loses the name and stays. */
  expect(await why('used:1', true)).toBe('[{"Untagged":"used:1"}]');
  expect(library.find(short).records.map((r) => r.reference)).toEqual([id]);
  users.length = 0;
  const image = await t.images.find(id, t.c);
  if (image === undefined) throw new Error('an image without a name is found by its id');
  await t.images.mountRoot('0ddba11', image, t.c);
  expect(await why(id)).toContain('image is being used by running container 0ddba11');
  expect((await remover.prune(Filters.parse('', []), t.c)).removed).toEqual([]);
  await t.images.removeRoot('0ddba11', t.c);
  expect((await remover.prune(Filters.parse('', []), t.c)).removed).toEqual([{ Deleted: id }]);
});

test('a name that moves leaves the image dangling until it is pruned, also over a restart', async () => {
  await t.addBusybox('moving', { Labels: { n: '1' } });
  await t.addBusybox('moving', { Labels: { n: '2' } });
  await t.restart();
  const [dangling] = (await t.get('/images/json?filters={"dangling":["true"]}')).json;
  expect(dangling).toMatchObject({ RepoTags: [], RepoDigests: [], Labels: { n: '1' } });
  expect((await t.get('/v1.42/images/json?filters={"dangling":["true"]}')).json[0].RepoTags).toEqual(['<none>:<none>']);
  const none = (await t.post('/images/prune?filters={"label":["n=3"]}')).json;
  expect(none).toEqual({ ImagesDeleted: null, SpaceReclaimed: 0 });
  expect((await t.post('/images/prune?filters={"until":["2020-01-01"]}')).json.ImagesDeleted).toBeNull();
  expect((await t.post('/images/prune')).json.ImagesDeleted).toEqual([{ Deleted: dangling.Id }]);
  expect((await t.get('/images/moving/json')).json.Config.Labels).toEqual({ n: '2' });
});

test('push: gzipped once, known the second time, mounted elsewhere; what was pulled keeps its digest', async () => {
  await t.addBusybox(`${registry.host}/pushed/a:1`, { Labels: { of: 'push' } });
  const first = lines((await t.post(`/images/${registry.host}/pushed/a/push?tag=1`)).text);
  expect(first[0]).toEqual({ status: `The push refers to repository [${registry.host}/pushed/a]` });
  const statuses = first.map((l) => l['status']);
  expect(statuses).toEqual(expect.arrayContaining(['Preparing', 'Pushing', 'Pushed']));
  const { Tag, Digest, Size } = (first.at(-1)?.['aux'] ?? {}) as Record<string, unknown>;
  expect(statuses.at(-2)).toBe(`1: digest: ${Digest} size: ${Size}`);
  expect(Tag).toBe('1');
  expect(await docker('inspect', '-f', '{{json .RepoDigests}}', `${registry.host}/pushed/a:1`)).toBe(
    JSON.stringify([`${registry.host}/pushed/a@${Digest}`]),
  );
  expect(await docker('push', `${registry.host}/pushed/a:1`)).toContain('Layer already exists');
  await docker('tag', `${registry.host}/pushed/a:1`, `${registry.host}/pushed/b:2`);
  const mounted = lines((await t.post(`/images/${registry.host}/pushed/b/push?tag=2`)).text);
  expect(mounted.map((l) => l['status'])).toContain('Mounted from pushed/a');
  const digest = await offer('as-it-came', 'v1', 'uncompressed in its registry');
  await docker('pull', '-q', `${registry.host}/as-it-came:v1`);
  await docker('tag', `${registry.host}/as-it-came:v1`, `${registry.host}/copy:v1`);
  expect(await docker('push', `${registry.host}/copy:v1`)).toContain(`v1: digest: ${digest} size: `);
  expect(await refused('push', `${registry.host}/copy:no`)).toContain(`tag does not exist: ${registry.host}/copy:no`);
  expect(await refused('push', `${registry.host}/none`)).toContain('An image does not exist locally with the tag');
  const manifest = await client.repository(registry.host, 'pushed/a').getManifest('1', t.c);
  expect(JSON.parse(manifest.bytes.toString()).layers[0].mediaType).toBe(MEDIA_TYPES.ociLayerGzip);
});

test('save and load: the same image with the same digests; by id without a name; compressed archives', async () => {
  const before = (await imageEvents()).length;
  await t.addBusybox('saved:1', { Labels: { of: 'save' } });
  await docker('tag', 'saved:1', 'saved:2');
  const id = await docker('inspect', '-f', '{{.Id}}', 'saved:1');
  const file = join(t.home, 'saved.tar');
  await docker('save', '-o', file, 'saved');
  const shown = execFileSync('skopeo', ['inspect', '--raw', '--config', `docker-archive:${file}:saved:1`]).toString();
  expect(sha256(shown.trim())).toBe(id);
  await docker('rmi', 'saved:1', 'saved:2');
  expect((await docker('load', '-i', file)).split('\n').sort()).toEqual([
    'Loaded image: saved:1',
    'Loaded image: saved:2',
  ]);
  expect(await docker('inspect', '-f', '{{.Id}}', 'saved:2')).toBe(id);
  await docker('save', '-o', file, id);
  await docker('rmi', 'saved:1', 'saved:2');
  execFileSync('zstd', ['-q', '-f', file, '-o', `${file}.zst`]);
  expect(await docker('load', '-i', `${file}.zst`)).toBe(`Loaded image ID: ${id}`);
  const gz = await t.ask('POST', '/images/load', { body: gzipSync(readFileSync(file)), headers: TAR });
  expect(lines(gz.text)).toEqual([{ stream: `Loaded image ID: ${id}\n` }]);
  await docker('rmi', id);
  expect((await imageEvents()).slice(before).filter((e) => /^(save|load)/.test(e))).toEqual([
    ...[`save ${id}`, `load ${id}`, `save ${id}`, `load ${id}`, `load ${id}`],
  ]);
  expect(await refused('save', 'nope')).toContain('No such image: nope:latest');
});

test('load: an archive of old, with one layer a symlink, and an OCI layout without Docker’s manifest', async () => {
  const layer = await tarOf('old', 'layer');
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: 'amd64',
      rootfs: { type: 'layers', diff_ids: [sha256(layer), sha256(layer)] },
    }),
  );
  const docker1 = [{ Config: 'c.json', RepoTags: ['old:1'], Layers: ['a/layer.tar', 'b/layer.tar'] }];
  const old = await tarBytes([
    entry('a/layer.tar', layer),
    { header: tarHeader({ type: 'symlink', path: 'b/layer.tar', linkPath: '../a/layer.tar' }), data: Buffer.alloc(0) },
    entry('c.json', config),
    entry('manifest.json', Buffer.from(JSON.stringify(docker1))),
  ]);
  expect(lines((await load(old)).text)).toEqual([{ stream: 'Loaded image: old:1\n' }]);
  expect((await t.get('/images/old:1/json')).json.Id).toBe(sha256(config));
  const blob = gzipSync(layer);
  const one = Buffer.from(JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [sha256(layer)] } }));
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociManifest,
      config: { mediaType: MEDIA_TYPES.ociConfig, digest: sha256(one), size: one.length },
      layers: [{ mediaType: MEDIA_TYPES.ociLayerGzip, digest: sha256(blob), size: blob.length }],
    }),
  );
  const name = { 'io.containerd.image.name': 'docker.io/library/layout:1' };
  const index = {
    schemaVersion: 2,
    manifests: [
      { mediaType: MEDIA_TYPES.ociManifest, digest: sha256(manifest), size: manifest.length, annotations: name },
    ],
  };
  const layout = await tarBytes([
    entry('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}')),
    ...[blob, one, manifest].map((b) => entry(`blobs/sha256/${sha256(b).slice(7)}`, b)),
    entry('index.json', Buffer.from(JSON.stringify(index))),
  ]);
  expect(lines((await load(layout)).text)).toEqual([{ stream: 'Loaded image: layout:1\n' }]);
  await docker('tag', 'layout:1', `${registry.host}/layout:1`);
  expect(await docker('push', `${registry.host}/layout:1`)).toContain(`digest: ${sha256(manifest)}`);
  await docker('rmi', 'old:1', 'layout:1', `${registry.host}/layout:1`);
});

test('load: hostile archives are refused with words, and nothing of them stays', async () => {
  const before = (await t.get('/images/json?all=1')).text;
  const layer = await tarOf('x', 'x');
  const config = Buffer.from(JSON.stringify({ os: 'linux', rootfs: { type: 'layers', diff_ids: [sha256('else')] } }));
  const manifest = (o: object): Buffer =>
    Buffer.from(JSON.stringify([{ Config: 'c', RepoTags: ['bad:1'], Layers: ['l'], ...o }]));
  const link = (path: string, linkPath: string) => ({
    header: tarHeader({ type: 'symlink', path, linkPath }),
    data: Buffer.alloc(0),
  });
  const cases: [string, Buffer][] = [
    ['leaves it', await tarBytes([entry('../../etc/passwd', layer)])],
    ['absolute path', await tarBytes([entry('/etc/passwd', layer)])],
    ['leaves it', await tarBytes([link('l', '../../../etc/shadow'), entry('manifest.json', manifest({}))])],
    ['absolute path', await tarBytes([link('c', '/etc/shadow'), entry('manifest.json', manifest({}))])],
    [
      'is a char',
      await tarBytes([{ header: tarHeader({ type: 'char', path: 'd', deviceMajor: 1 }), data: Buffer.alloc(0) }]),
    ],
    ['link without an end', await tarBytes([link('c', 'd'), link('d', 'c'), entry('manifest.json', manifest({}))])],
    ['does not contain a manifest.json', await tarBytes([entry('f', layer)])],
    ['layers length mismatch', await tarBytes([entry('c', config), entry('manifest.json', manifest({ Layers: [] }))])],
    ['is not in it', await tarBytes([entry('c', config), entry('manifest.json', manifest({}))])],
    [
      'invalid diffID for layer 0',
      await tarBytes([entry('c', config), entry('l', layer), entry('manifest.json', manifest({}))]),
    ],
    [
      'invalid tag',
      await tarBytes([entry('c', config), entry('l', layer), entry('manifest.json', manifest({ RepoTags: ['x'] }))]),
    ],
    ['no space left', Buffer.concat([hugeHeader(), Buffer.alloc(4096)])],
    ['', Buffer.from('this is no tar at all, however long it may be'.repeat(40))],
    ['damaged', Buffer.concat([gzipSync(layer).subarray(0, 20), Buffer.alloc(100)])],
  ];
  for (const [words, bytes] of cases) {
    const { text, status } = await load(bytes);
    const told =
      status === 200
        ? lines(text)
            .map((l) => l['error'])
            .join()
        : JSON.parse(text).message;
    expect(told, words).toContain(words);
  }
  expect((await t.get('/images/json?all=1')).text).toBe(before);
  expect(execFileSync('ls', [join(t.home, 'images/content/ingest')]).toString()).toBe('');
});

test('import: a root file system with changes; search; distribution; dockerode reads it all', async () => {
  const file = join(t.home, 'rootfs.tar');
  writeFileSync(file, gzipSync(await tarOf('hello', 'world')));
  const id = await docker('import', '-c', 'CMD ["cat","/hello"]', '-c', 'ENV A=1', '-m', 'why', file, 'imported:1');
  expect(id).toMatch(/^sha256:[0-9a-f]{64}$/);
  const dockerode = new Docker({ socketPath: t.socket });
  const info = await dockerode.getImage('imported:1').inspect();
  expect(info).toMatchObject({ Id: id, Comment: 'why', Config: { Cmd: ['cat', '/hello'], Env: ['A=1'] } });
  expect(
    (await t.ask('POST', '/images/create?fromSrc=-&changes=RUN+x', { body: Buffer.alloc(0) })).json.message,
  ).toContain('RUN is not a valid change command');
  expect((await t.post('/images/create?fromSrc=http://x/y')).status).toBe(400);
  expect(await docker('search', 'nginx')).toBe('NAME      DESCRIPTION   STARS     OFFICIAL');
  const digest = await offer('far', 'v1', 'away');
  expect((await t.get(`/distribution/${registry.host}/far:v1/json`)).json).toMatchObject({
    Descriptor: { digest, mediaType: MEDIA_TYPES.ociManifest },
    Platforms: [{ os: 'linux' }],
  });
  const pulling = await dockerode.pull(`${registry.host}/far:v1`);
  await new Promise((resolve) => dockerode.modem.followProgress(pulling, resolve));
  const tags = (await dockerode.listImages()).flatMap((i) => i.RepoTags ?? []);
  expect(tags).toContain(`${registry.host}/far:v1`);
  await dockerode.getImage(`${registry.host}/far:v1`).remove();
});

const TAR = { 'content-type': 'application/x-tar' };

function load(body: Buffer) {
  return t.ask('POST', '/images/load?quiet=1', { body, headers: TAR });
}

function entry(path: string, data: Buffer) {
  return { header: tarHeader({ type: 'file', path, sizeBytes: data.length }), data };
}

async function tarOf(path: string, text: string): Promise<Buffer> {
  return tarBytes([entry(path, Buffer.from(text))]);
}

/** A file that claims a petabyte. */
function hugeHeader(): Buffer {
  return encodeHeader(tarHeader({ type: 'file', path: 'huge', sizeBytes: 2 ** 50 }));
}
