/** Garbage collection in a registry that is killed with SIGKILL while it collects and takes pushes: nothing acknowledged is lost. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededRandom } from '#lib/base';
import { digestBytes, MEDIA_TYPES } from '#lib/oci';
import { limitMs } from '../harness/time-limit.ts';

const root = join(import.meta.dirname, '../..');
const ROUNDS = 4;
const SEED = Number(process.env['SEED'] ?? 7);

let folder: string;
let child: ChildProcess;
let url = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-registry-gc-'));
  await start();
});
afterAll(async () => {
  await kill('SIGTERM');
  await rm(folder, { recursive: true, force: true });
});

async function start(): Promise<void> {
  const main = join(root, 'services/registry/main.ts');
  const places = ['--folder', join(folder, 'data'), '--sockets', join(folder, 'sockets'), '--port', '0'];
  const argv = ['--import', 'tsx', main, ...places];
  child = spawn(process.execPath, argv, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  if (!child.stdout) throw new Error('no stdout');
  for await (const line of createInterface({ input: child.stdout })) {
    const told: { url?: string } = JSON.parse(line);
    if (told.url === undefined) continue;
    ({ url } = told);
    child.stdout.resume();
    return;
  }
  throw new Error('the registry did not start');
}

async function kill(signal: NodeJS.Signals): Promise<void> {
  const ended = once(child, 'exit');
  child.kill(signal);
  await ended;
}

function collect(): Promise<{ blobs: number }> {
  const to = { socketPath: join(folder, 'sockets/admin.sock'), path: '/collect?graceSeconds=0', method: 'POST' };
  return new Promise((resolve, reject) => {
    const sent = request(to, (answer) => {
      text(answer).then((body) => resolve(JSON.parse(body)), reject);
    });
    sent.on('error', reject);
    sent.end();
  });
}

interface Image {
  readonly reference: string;
  readonly blobs: readonly string[];
}

/** Resolves when all of it was acknowledged. */
async function push(name: string, n: number): Promise<Image> {
  const blobs: string[] = [];
  for (const body of [Buffer.alloc(200_000, n), Buffer.from(`{"n":${n}}`)]) {
    const digest = digestBytes('sha256', body);
    const answer = await fetch(`${url}/v2/${name}/blobs/uploads/?digest=${digest}`, { method: 'POST', body });
    if (answer.status !== 201) throw new Error(`push: ${answer.status}`);
    blobs.push(digest);
  }
  const [layer, config] = blobs;
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociManifest,
    config: { mediaType: MEDIA_TYPES.ociConfig, digest: config, size: `{"n":${n}}`.length },
    layers: [{ mediaType: MEDIA_TYPES.ociLayer, digest: layer, size: 200_000 }],
  });
  const headers = { 'content-type': MEDIA_TYPES.ociManifest };
  const put = await fetch(`${url}/v2/${name}/manifests/t${n}`, { method: 'PUT', body: manifest, headers });
  if (put.status === 404) return { reference: '', blobs: [] }; // a pass with no grace came between: the push was refused
  if (put.status !== 201) throw new Error(`manifest: ${put.status}`);
  return { reference: `${name}/manifests/t${n}`, blobs: blobs.map((d) => `${name}/blobs/${d}`) };
}

test(`killed while it collects and takes pushes: all acknowledged is there, no orphan is left (SEED=${SEED})`, {
  timeout: limitMs(120_000),
}, async () => {
  const random = seededRandom(SEED);
  const acknowledged: Image[] = [];
  let n = 0;
  for (let round = 0; round < ROUNDS; round++) {
    let isDead = false;
    const untilDead = async (work: () => Promise<void>): Promise<void> => {
      while (!isDead) await work().catch(() => undefined); // cut off by the kill: not acknowledged
    };
    const pushes = [0, 1, 2].map((i) =>
      untilDead(async () => {
        const image = await push(`r${i}`, ++n);
        if (image.reference !== '') acknowledged.push(image);
      }),
    );
    const orphans = untilDead(async () => {
      const body = Buffer.alloc(50_000, ++n);
      const digest = digestBytes('sha256', body);
      await fetch(`${url}/v2/orphans/blobs/uploads/?digest=${digest}`, { method: 'POST', body });
    });
    const passes = untilDead(async () => void (await collect()));
    const enough = acknowledged.length + 3 + random.below(12);
    while (acknowledged.length < enough) await new Promise((resolve) => setImmediate(resolve));
    await kill('SIGKILL');
    isDead = true;
    await Promise.all([...pushes, orphans, passes]);
    await start();
    for (const { reference, blobs } of acknowledged) {
      const got = await fetch(`${url}/v2/${reference}`);
      expect([reference, got.status]).toEqual([reference, 200]);
      await got.arrayBuffer();
      for (const path of blobs) {
        const bytes = Buffer.from(await (await fetch(`${url}/v2/${path}`)).arrayBuffer());
        expect(path.endsWith(digestBytes('sha256', bytes))).toBe(true);
      }
    }
  }
  await collect();
  const kept = new Set(acknowledged.flatMap((i) => i.blobs.map((b) => b.slice(-64))));
  const names = await readdir(join(folder, 'data/content/blobs/sha256'));
  const manifests = new Set<string>();
  for (const repository of ['r0', 'r1', 'r2'])
    for (const file of await readdir(join(folder, `data/repositories/${repository}/_manifests`)))
      manifests.add(file.replace('sha256-', ''));
  // A manifest that was stored when the kill came, but not answered, may be there with what it names.
  const unanswered = manifests.size - acknowledged.length;
  expect(unanswered).toBeGreaterThanOrEqual(0);
  expect(unanswered).toBeLessThanOrEqual(3 * ROUNDS);
  const orphans = names.filter((h) => !kept.has(h) && !manifests.has(h));
  expect(orphans.length).toBeLessThanOrEqual(2 * unanswered);
});
