import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Clock, realClock, realRandom, silentLogger } from '#lib/base';
import { digestBytes, MEDIA_TYPES } from '#lib/oci';
import { type Registry, startRegistry } from './registry.ts';
import { DEFAULT_SETTINGS } from './settings.ts';

let folder: string;
let registry: Registry;
let aheadMs = 0;
const clock: Clock = { ...realClock, monotonic: () => realClock.monotonic() + aheadMs };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-quota-'));
  const quotas = [
    { prefix: 'team/', bytes: 1000 },
    { prefix: 'team/small', bytes: 100 },
  ];
  registry = await startRegistry({
    listen: { host: '127.0.0.1', port: 0 },
    folder,
    settings: () => ({ ...DEFAULT_SETTINGS, quotas }),
    ...{ log: silentLogger, clock, random: realRandom },
  });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const bytes = (size: number, fill: number): Buffer => Buffer.alloc(size, fill);

async function call(method: string, path: string, body?: Buffer | ReadableStream): Promise<[number, string]> {
  const answer = await fetch(`${registry.url}/v2/${path}`, {
    method,
    ...(body === undefined ? {} : { body, duplex: 'half' }),
    headers: path.includes('/manifests/') ? { 'content-type': MEDIA_TYPES.ociIndex } : {},
  });
  return [answer.status, await answer.text()];
}

function push(name: string, body: Buffer): Promise<[number, string]> {
  return call('POST', `${name}/blobs/uploads/?digest=${digestBytes('sha256', body)}`, body);
}

test('pushes up to the quota, side by side; a blob counts once; what is deleted is free again', async () => {
  const all = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => push('team/a', bytes(300, n))));
  expect(all.map(([status]) => status).sort()).toEqual([201, 201, 201, 403, 403, 403]);
  const [, told] = all.find(([status]) => status === 403) ?? [];
  expect(JSON.parse(told ?? '').errors[0]).toMatchObject({
    code: 'DENIED',
    message: expect.stringMatching(
      /^quota exceeded: team\/a belongs to repositories of "team\/", which may have 1000 bytes and have/,
    ),
  });
  const held = all.findIndex(([status]) => status === 201) + 1;
  expect(
    await call('POST', `team/b/blobs/uploads/?mount=${digestBytes('sha256', bytes(300, held))}&from=team/a`),
  ).toMatchObject([201, '']);
  expect((await push('other/a', bytes(2000, 9)))[0]).toBe(201);
  for (const name of ['team/a', 'team/b'])
    await call('DELETE', `${name}/blobs/${digestBytes('sha256', bytes(300, held))}`);
  aheadMs += 10_000;
  expect((await push('team/a', bytes(300, 8)))[0]).toBe(201);
});

test('a body of unknown length is cut off at the quota, and nothing of it is kept', async () => {
  const begun = await fetch(`${registry.url}/v2/team/small/blobs/uploads/`, { method: 'POST' });
  const path = (begun.headers.get('location') ?? '').replace('/v2/', '');
  expect((await call('PATCH', path, new Blob([bytes(90, 1)]).stream()))[0]).toBe(202);
  const [status, body] = await call('PATCH', path, new Blob([bytes(90, 1)]).stream());
  expect([status, body]).toEqual([403, expect.stringContaining('quota exceeded: team/small')]);
  expect(await readdir(join(folder, 'content/ingest'))).toEqual([]);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MEDIA_TYPES.ociIndex,
      manifests: [],
      annotations: { a: 'x'.repeat(100) },
    }),
  );
  expect(await call('PUT', 'team/small/manifests/v1', manifest)).toEqual([403, expect.stringContaining('DENIED')]);
  expect((await call('GET', 'team/small/manifests/v1'))[0]).toBe(404);
});
