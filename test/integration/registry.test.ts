/** The registry as its own process against real skopeo 1.9: every way it pushes, pulls, lists and deletes; kill -9 in the middle. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { realClock, realRandom, sha256, silentLogger } from '#lib/base';
import { MEDIA_TYPES, packImage, tarBytes, tarHeader } from '#lib/oci';
import { startRegistry } from '../../services/registry/registry.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
let folder: string;
let process_: ChildProcess;
let host: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-registry-it-'));
  await start();
  await layout('image', 3_000_000);
});
afterAll(async () => {
  await stop('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

async function start(port = 0): Promise<void> {
  const argv = [
    '--import',
    'tsx',
    join(root, 'services/registry/main.ts'),
    '--folder',
    join(folder, 'data'),
    '--port',
    `${port}`,
  ];
  process_ = spawn(process.execPath, argv, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  if (!process_.stdout) throw new Error('no stdout');
  for await (const line of createInterface({ input: process_.stdout })) {
    const { url }: { url?: string } = JSON.parse(line);
    if (url === undefined) continue;
    host = new URL(url).host;
    return;
  }
  throw new Error('the registry did not start');
}

async function stop(signal: NodeJS.Signals): Promise<void> {
  const ended = once(process_, 'exit');
  process_.kill(signal);
  await ended;
}

function skopeo(...argv: string[]): Promise<{ stdout: string }> {
  return run('skopeo', argv);
}

/** An OCI layout `folder/name` with one random gzip layer of about `bytes`, tagged v1. */
async function layout(name: string, bytes: number): Promise<void> {
  const blobs = join(folder, name, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (data: Buffer, mediaType: string): Promise<object> => {
    await writeFile(join(blobs, sha256(data).slice(7)), data);
    return { mediaType, digest: sha256(data), size: data.length };
  };
  const content = Buffer.from(realRandom.hex(bytes / 2), 'hex');
  const tar = await tarBytes([
    { header: tarHeader({ type: 'file', path: 'f', sizeBytes: content.length }), data: content },
  ]);
  const layer = await put(gzipSync(tar, { level: 1 }), MEDIA_TYPES.ociLayerGzip);
  const config = {
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: [sha256(tar)] },
  };
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: await put(Buffer.from(JSON.stringify(config)), MEDIA_TYPES.ociConfig),
    layers: [layer],
  };
  const listed = await put(Buffer.from(JSON.stringify(manifest)), MEDIA_TYPES.ociManifest);
  const annotations = { 'org.opencontainers.image.ref.name': 'v1' };
  await writeFile(join(folder, name, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(
    join(folder, name, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...listed, annotations }] }),
  );
}

async function digestOfLayout(name: string): Promise<string> {
  const index: { manifests: { digest: string }[] } = JSON.parse(
    await readFile(join(folder, name, 'index.json'), 'utf8'),
  );
  return index.manifests[0]?.digest ?? '';
}

describe('registry with skopeo', () => {
  test('push, inspect, list tags, copy back with the same digest, delete', async () => {
    await skopeo('copy', '--dest-tls-verify=false', `oci:${folder}/image:v1`, `docker://${host}/team/app:v1`);
    const inspected = JSON.parse(
      (await skopeo('inspect', '--tls-verify=false', `docker://${host}/team/app:v1`)).stdout,
    );
    expect(inspected).toMatchObject({ Digest: await digestOfLayout('image'), RepoTags: ['v1'], Os: 'linux' });
    await skopeo(
      'copy',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      `docker://${host}/team/app:v1`,
      `docker://${host}/team/app:v2`,
    );
    const tags = JSON.parse((await skopeo('list-tags', '--tls-verify=false', `docker://${host}/team/app`)).stdout);
    expect(tags.Tags).toEqual(['v1', 'v2']);
    await skopeo(
      'copy',
      '--src-tls-verify=false',
      `docker://${host}/team/app@${await digestOfLayout('image')}`,
      `oci:${folder}/back:v1`,
    );
    expect(await digestOfLayout('back')).toBe(await digestOfLayout('image'));
    for (const blob of await readdir(join(folder, 'image/blobs/sha256'))) {
      const [sent, got] = await Promise.all(
        ['image', 'back'].map((l) => readFile(join(folder, l, 'blobs/sha256', blob))),
      );
      expect(got && sent?.equals(got)).toBe(true);
    }
    await skopeo('delete', '--tls-verify=false', `docker://${host}/team/app:v1`);
    await expect(skopeo('inspect', '--tls-verify=false', `docker://${host}/team/app:v1`)).rejects.toThrow(
      /manifest unknown/,
    );
  });

  test('Docker schema 2 and whole indexes', async () => {
    await skopeo(
      'copy',
      '--dest-tls-verify=false',
      '--format=v2s2',
      `oci:${folder}/image:v1`,
      `docker://${host}/docker/app:v1`,
    );
    const raw = (await skopeo('inspect', '--raw', '--tls-verify=false', `docker://${host}/docker/app:v1`)).stdout;
    expect(JSON.parse(raw).mediaType).toBe(MEDIA_TYPES.dockerManifest);
    await skopeo('copy', '--src-tls-verify=false', `docker://${host}/docker/app:v1`, `dir:${folder}/as-dir`);
    await skopeo('copy', '--dest-tls-verify=false', `dir:${folder}/as-dir`, `docker://${host}/docker/dir:v1`);
  });

  test('a layer that another repository has is mounted or found, not sent again', async () => {
    await skopeo('copy', '--dest-tls-verify=false', `oci:${folder}/image:v1`, `docker://${host}/one/app:v1`);
    await skopeo(
      'copy',
      '--src-tls-verify=false',
      '--dest-tls-verify=false',
      `docker://${host}/one/app:v1`,
      `docker://${host}/two/app:v1`,
    );
    await skopeo('copy', '--src-tls-verify=false', `docker://${host}/two/app:v1`, `oci:${folder}/two:v1`);
    expect(await digestOfLayout('two')).toBe(await digestOfLayout('image'));
  });

  test('what our packer makes is an image for skopeo', async () => {
    const image = await packImage({
      entries: [{ type: 'file', path: 'bin/x', data: Buffer.from('x'), mode: 0o755 }],
      config: { cmd: ['/bin/x'], labels: { a: 'b' } },
    });
    const path = join(folder, 'packed');
    await mkdir(join(path, 'blobs/sha256'), { recursive: true });
    for (const [digest, bytes] of image.blobs) await writeFile(join(path, 'blobs/sha256', digest.slice(7)), bytes);
    const size = image.blobs.get(image.manifestDigest)?.length;
    const entry = { mediaType: image.manifestMediaType, digest: image.manifestDigest, size };
    await writeFile(join(path, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
    await writeFile(join(path, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
    const inspected = JSON.parse((await skopeo('inspect', '--config', `oci:${path}`)).stdout);
    expect(inspected.config).toMatchObject({ Cmd: ['/bin/x'], Labels: { a: 'b' } });
    await skopeo('copy', '--dest-tls-verify=false', `oci:${path}`, `docker://${host}/packed:v1`);
  });
});

describe('registry: crashes', () => {
  test('kill -9 in the middle of a push: nothing half-made shows, what was acknowledged is there, the push succeeds again', async () => {
    await skopeo('copy', '--dest-tls-verify=false', `oci:${folder}/image:v1`, `docker://${host}/kept/app:v1`);
    const upload = await startUpload('half/app');
    const piece = Buffer.alloc(500_000, 3);
    const sending = request(`http://${host}${upload}`, {
      method: 'PATCH',
      headers: { 'content-length': piece.length * 4 },
    });
    sending.on('error', () => undefined);
    await new Promise((resolve) => sending.write(piece, resolve));
    const port = Number(host.split(':').at(-1));
    await stop('SIGKILL');
    await start(port);
    const digest = sha256(piece);
    expect((await fetch(`http://${host}/v2/half/app/blobs/${digest}`)).status).toBe(404);
    const status = await fetch(`http://${host}${upload}`);
    expect(status.status).toBe(204);
    await skopeo('inspect', '--tls-verify=false', `docker://${host}/kept/app:v1`);
    await skopeo('copy', '--src-tls-verify=false', `docker://${host}/kept/app:v1`, `oci:${folder}/kept:v1`);
    expect(await digestOfLayout('kept')).toBe(await digestOfLayout('image'));
  });

  test('SIGTERM ends it, code 0; bad flags are told together, code 2', async () => {
    const port = Number(host.split(':').at(-1));
    const ended = once(process_, 'exit');
    process_.kill('SIGTERM');
    expect((await ended)[0]).toBe(0);
    await start(port);
    const argv = ['--import', 'tsx', join(root, 'services/registry/main.ts'), '--port', '99999', '--tls-key', '/x'];
    const failed = await run(process.execPath, argv, { cwd: root }).catch((e: unknown) => e);
    expect(failed).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/--folder is missing[\s\S]*--port 99999[\s\S]*go together/),
    });
  });
});

test('registry: a full disk is told, leaves nothing half-made and heals', async () => {
  const home = await mkdtemp(join(folder, 'small-'));
  await run('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', home]);
  try {
    await using registry = await startRegistry({
      listen: { host: '127.0.0.1', port: 0 },
      folder: home,
      log: silentLogger,
      clock: realClock,
      random: realRandom,
    });
    const large = Buffer.alloc(20_000_000, 1);
    for (const path of [`?digest=${sha256(large)}`, '']) {
      const started = await fetch(`${registry.url}/v2/a/blobs/uploads/${path}`, {
        method: 'POST',
        body: path === '' ? null : large,
      });
      const next = started.headers.get('location') ?? '';
      const answer = path === '' ? await fetch(`${registry.url}${next}`, { method: 'PATCH', body: large }) : started;
      expect([answer.status, await answer.text()]).toEqual([507, expect.stringContaining('ENOSPC')]);
      expect(await readdir(join(home, 'content/ingest'))).toEqual([]);
    }
    expect((await fetch(`${registry.url}/v2/a/blobs/${sha256(large)}`)).status).toBe(404);
    const small = Buffer.from('fits');
    const fits = await fetch(`${registry.url}/v2/a/blobs/uploads/?digest=${sha256(small)}`, {
      method: 'POST',
      body: small,
    });
    expect(fits.status).toBe(201);
  } finally {
    await run('umount', [home]);
  }
});

async function startUpload(name: string): Promise<string> {
  const answer = await fetch(`http://${host}/v2/${name}/blobs/uploads/`, { method: 'POST' });
  return answer.headers.get('location') ?? '';
}
