/** What nobody well-meaning sends: names and digests that try to leave the storage root, too many tags, bodies without end. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { realClock, realRandom, silentLogger } from '#lib/base';
import { digestBytes, MEDIA_TYPES } from '#lib/oci';
import { type Registry, startRegistry } from './registry.ts';

let folder: string;
let registry: Registry;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-hostile-'));
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder: join(folder, 'data'),
    ...{ log: silentLogger, clock: realClock, random: realRandom },
  });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** The path as it is: `fetch` would take `..` out of it first. */
function raw(method: string, path: string, body = ''): Promise<{ status: number; code: string }> {
  const { port } = new URL(registry.url);
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method }, (answer) => {
      text(answer).then((t) => {
        const status = answer.statusCode ?? 0;
        resolve({ status, code: status >= 400 && t !== '' ? String(JSON.parse(t).errors[0].code) : '' });
      }, reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

const HEX = 'a'.repeat(64);

test.each([
  ['POST', '/v2/../../etc/blobs/uploads/'],
  ['POST', '/v2/a/%2e%2e/%2e%2e/b/blobs/uploads/'],
  ['POST', '/v2/a/..%2f..%2fb/blobs/uploads/'],
  ['POST', '/v2/a//b/blobs/uploads/'],
  ['POST', '/v2/_layers/blobs/uploads/'],
  ['POST', '/v2/a/_manifests/blobs/uploads/'],
  ['POST', '/v2/a%00b/blobs/uploads/'],
  ['POST', '/v2/a\\..\\b/blobs/uploads/'],
  ['POST', `/v2/${'a/'.repeat(300)}b/blobs/uploads/`],
  ['GET', '/v2/a/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd'],
  ['GET', `/v2/a/blobs/sha256:${HEX}%2f..`],
  ['GET', `/v2/a/blobs/../${HEX}`],
  ['GET', '/v2/a/blobs/sha256:%00'],
  ['PUT', '/v2/a/manifests/..%2fv1'],
  ['PUT', '/v2/a/manifests/.v1.1.1.tmp'],
  ['PUT', `/v2/a/manifests/${'t'.repeat(129)}`],
  ['PUT', `/v2/a/manifests/sha256:${HEX}?tag=..%2fv1`],
  ['DELETE', '/v2/a/manifests/..%2f..%2fx'],
  ['GET', '/v2/a/referrers/sha256:..%2f..'],
  ['PATCH', '/v2/a/blobs/uploads/..%2f..%2fx'],
  ['PUT', `/v2/a/blobs/uploads/%2e%2e?digest=sha256:${HEX}`],
  ['GET', '/v2/%'],
  ['GET', '//evil/v2/'],
])('%s %.60s is refused, and nothing is made', async (method, path) => {
  const { status, code } = await raw(method, path, method === 'PUT' || method === 'PATCH' ? 'x' : '');
  expect([400, 404, 405]).toContain(status);
  expect(code).toMatch(
    /^(NAME_INVALID|NAME_UNKNOWN|DIGEST_INVALID|MANIFEST_INVALID|MANIFEST_UNKNOWN|BLOB_UPLOAD_UNKNOWN|UNSUPPORTED)$/,
  );
  const all = await readdir(folder, { recursive: true });
  expect(all.filter((f) => !/^data(\/(content(\/(ingest|blobs(\/sha(256|512))?))?|repositories))?$/.test(f))).toEqual(
    [],
  );
});

test('ten thousand tags: listed in order, in pages, and the manifest with all of them deleted', async () => {
  const body = JSON.stringify({ schemaVersion: 2, mediaType: MEDIA_TYPES.ociIndex, manifests: [] });
  const digest = digestBytes('sha256', body);
  const headers = { 'content-type': MEDIA_TYPES.ociIndex };
  const url = `${registry.url}/v2/many`;
  expect((await fetch(`${url}/manifests/first`, { method: 'PUT', body, headers })).status).toBe(201);
  const tags = join(folder, 'data/repositories/many/_tags');
  await mkdir(tags, { recursive: true });
  for (let i = 0; i < 9_999; i++) await writeFile(join(tags, `v${i}`), digest);
  const seen: string[] = [];
  let pages = 0;
  for (let next: string | undefined = '/v2/many/tags/list?n=1000'; next !== undefined; pages++) {
    const page: Response = await fetch(`${registry.url}${next}`);
    seen.push(...JSON.parse(await page.text()).tags);
    next = /^<([^>]+)>/.exec(page.headers.get('link') ?? '')?.[1];
  }
  expect([pages, seen.length, new Set(seen).size]).toEqual([10, 10_000, 10_000]);
  expect(seen).toEqual([...seen].sort());
  expect((await fetch(`${url}/manifests/${digest}`, { method: 'DELETE' })).status).toBe(202);
  expect(JSON.parse(await (await fetch(`${url}/tags/list`)).text()).tags).toEqual([]);
});
