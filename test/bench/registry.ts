/**
 * The registry in a process of its own: skopeo's push and pull of 4 x 25 MB of random bytes, beside the same against a server that
 * discards and serves unverified; manifest GETs; 64 pushes at once; its peak of memory over all of that.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { DistributionClient, digestBytes, MEDIA_TYPES } from '#lib/oci';
import { run } from '../harness/cluster.ts';
import type { Figure } from './report.ts';

const REPOSITORY = join(import.meta.dirname, '../..');
const OUT = join(REPOSITORY, 'dist/bench-registry');
const LAYERS = 4;
const LAYER_BYTES = 25 * 1024 * 1024;
const PUSHES = 64;
const PUSH_BYTES = 4 * 1024 * 1024;
const GET_MS = 3_000;
const CONNECTIONS = 16;
const AGENT_FLAG = '--max-semi-space-size=2';

export async function registryFigures(rounds: number, add: (f: Figure) => void): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-bench-registry-'));
  await build({
    entryPoints: { registry: 'services/registry/main.ts', 'plain-registry': 'test/bench/plain-registry.ts' },
    ...{
      absWorkingDir: REPOSITORY,
      outdir: OUT,
      bundle: true,
      splitting: true,
      platform: 'node',
      format: 'esm',
      target: 'node20',
    },
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  const blobs = join(folder, 'data/content/blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const ours = await start('registry', '--folder', join(folder, 'data'), '--port', '0');
  const plain = await start('plain-registry', blobs);
  try {
    await pushAndPull({ folder, ours: ours.port, plain: plain.port, rounds }, add);
    add({
      name: 'registry: manifest GET',
      unit: '/s',
      samples: [await manifestGets(ours.port)],
      reach: 3_000,
      isOurs: true,
    });
    const before = await peakMb(ours.child);
    const { ms, errors } = await manyPushes(ours.port);
    add({
      name: `registry: ${PUSHES} pushes of 4 MB at once`,
      unit: 'ms',
      samples: [ms],
      note: `${errors} errors; peak before it ${Math.round(before)} MB`,
      isOurs: true,
    });
    add({ name: 'registry: peak memory', unit: 'MB', samples: [await peakMb(ours.child)], reach: 120, isOurs: true });
  } finally {
    for (const { child } of [ours, plain]) child.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Sides {
  readonly folder: string;
  readonly ours: number;
  readonly plain: number;
  readonly rounds: number;
}

async function pushAndPull(s: Sides, add: (f: Figure) => void): Promise<void> {
  if ((await run('skopeo', ['--version'], {}, 10_000)).code !== 0) return;
  const samples = { push: [] as number[], pushPlain: [] as number[], pull: [] as number[], pullPlain: [] as number[] };
  for (let i = 0; i < s.rounds; i++) {
    const layout = join(s.folder, `layout-${i}`);
    const digest = await randomLayout(layout);
    /* Who goes first finds the disk quieter: each side does every other time. */
    const turn = <T>(sides: readonly T[]): readonly T[] => (i % 2 === 0 ? sides : sides.toReversed());
    for (const [side, port] of turn([['push', s.ours] as const, ['pushPlain', s.plain] as const]))
      samples[side].push(await copy(`oci:${layout}`, `docker://127.0.0.1:${port}/bench/r${i}:x`));
    for (const [side, port] of turn([['pull', s.ours] as const, ['pullPlain', s.plain] as const])) {
      const to = join(s.folder, `pulled-${side}-${i}`);
      samples[side].push(await copy(`docker://127.0.0.1:${port}/bench/r${i}@${digest}`, `dir:${to}`));
      await rm(to, { recursive: true });
    }
    await rm(layout, { recursive: true });
  }
  const { push, pushPlain, pull, pullPlain } = samples;
  add({
    name: 'skopeo push of 4 x 25 MB',
    unit: 'ms',
    samples: push,
    constant: pushPlain,
    reachOfConstant: 1.5,
    isOurs: true,
  });
  add({
    name: 'skopeo pull of 4 x 25 MB',
    unit: 'ms',
    samples: pull,
    constant: pullPlain,
    reachOfConstant: 1.1,
    isOurs: true,
  });
}

async function copy(from: string, to: string): Promise<number> {
  const flags = ['--src-tls-verify=false', '--dest-tls-verify=false', '--preserve-digests', '-q'];
  const at = performance.now();
  const { code, stderr } = await run('skopeo', ['copy', ...flags, from, to], {}, 60_000);
  if (code !== 0) throw new Error(`skopeo copy ${from} ${to}: ${stderr}`);
  return performance.now() - at;
}

/** An image whose layers are of random bytes; gives its manifest's digest. */
async function randomLayout(folder: string): Promise<string> {
  const blobs = join(folder, 'blobs/sha256');
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Buffer): Promise<object> => {
    const digest = digestBytes('sha256', bytes);
    await writeFile(join(blobs, digest.slice(7)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const layers: object[] = [];
  const diffIds: string[] = [];
  for (let i = 0; i < LAYERS; i++) {
    const bytes = randomBytes(LAYER_BYTES);
    diffIds.push(digestBytes('sha256', bytes));
    layers.push(await put(MEDIA_TYPES.ociLayer, bytes));
  }
  const document = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: diffIds } };
  const config = await put(MEDIA_TYPES.ociConfig, Buffer.from(JSON.stringify(document)));
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config, layers };
  const top = await put(MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)));
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(folder, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [top] }));
  return 'digest' in top ? String(top.digest) : '';
}

async function manifestGets(port: number): Promise<number> {
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  await using client = new DistributionClient({ random: realRandom });
  const to = client.repository(`127.0.0.1:${port}`, 'bench/gets');
  const config = Buffer.from('{}');
  await to.pushBlob({ digest: digestBytes('sha256', config), sizeBytes: config.length }, config, {}, c);
  const descriptor = { mediaType: MEDIA_TYPES.ociConfig, digest: digestBytes('sha256', config), size: config.length };
  const manifest = { schemaVersion: 2, mediaType: MEDIA_TYPES.ociManifest, config: descriptor, layers: [] };
  await to.putManifest('v1', MEDIA_TYPES.ociManifest, Buffer.from(JSON.stringify(manifest)), c);
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const path = '/v2/bench/gets/manifests/v1';
  let count = 0;
  const end = performance.now() + GET_MS;
  const worker = async (): Promise<void> => {
    for (; performance.now() < end; count++) await ask({ port, path, agent, method: 'GET' });
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, worker));
  agent.destroy();
  return (count * 1000) / GET_MS;
}

async function manyPushes(port: number): Promise<{ ms: number; errors: number }> {
  const agent = new Agent({ keepAlive: true, maxSockets: PUSHES });
  const base = randomBytes(PUSH_BYTES);
  const bodies = Array.from({ length: PUSHES }, (_, i) => {
    const body = Buffer.from(base);
    body.writeUInt32LE(i, 0);
    return { body, digest: createHash('sha256').update(body).digest('hex') };
  });
  const at = performance.now();
  const statuses = await Promise.all(
    bodies.map(({ body, digest }, i) =>
      ask({ port, agent, method: 'POST', path: `/v2/many/p${i}/blobs/uploads/?digest=sha256:${digest}`, body }).catch(
        () => 0,
      ),
    ),
  );
  agent.destroy();
  return { ms: performance.now() - at, errors: statuses.filter((s) => s !== 201).length };
}

function ask(o: { port: number; path: string; agent: Agent; method: string; body?: Buffer }): Promise<number> {
  return new Promise((resolve, reject) => {
    const { port, path, agent, method, body } = o;
    const headers = body === undefined ? {} : { 'content-length': body.length };
    const req = request({ host: '127.0.0.1', port, path, agent, method, headers }, (res) => {
      res.resume().on('end', () => resolve(res.statusCode ?? 0));
    });
    req.on('error', reject).end(body);
  });
}

async function peakMb({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) / 1000;
}

/** Until it says its port. */
function start(name: string, ...args: string[]): Promise<{ child: ChildProcess; port: number }> {
  const child = spawn(process.execPath, [AGENT_FLAG, join(OUT, `${name}.js`), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    let text = '';
    child.once('error', reject).once('exit', (code) => reject(new Error(`${name} ended with ${code}: ${text}`)));
    child.stdout?.on('data', (piece: Buffer) => {
      text += piece;
      const port = /127\.0\.0\.1:(\d+)/.exec(text)?.[1] ?? /^(\d+)\n/.exec(text)?.[1];
      if (port !== undefined) resolve({ child, port: Number(port) });
    });
  });
}
