import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, realClock, seededRandom, silentLogger } from '#lib/base';
import type { Image } from '../images.ts';
import { ImageAccess, type PullSecret } from './access.ts';
import { DEFAULT_VERIFICATION } from './policy.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const REFERENCE = 'registry.test/team/app:1';
let folder = '';
let images: Image[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-access-'));
  images = [image(1)];
});
afterEach(() => rm(folder, { recursive: true }));

function image(n: number): Image {
  const id = `sha256:${String(n).repeat(64)}` as Image['id'];
  return { id, isTracked: true, reference: REFERENCE, repoDigest: '', sizeBytes: 1 } as Image;
}

const open = (seed = 1): Promise<ImageAccess> =>
  ImageAccess.open(
    {
      folder: join(folder, 'access'),
      keyPath: join(folder, 'key'),
      settings: DEFAULT_VERIFICATION,
      images: { list: async () => images },
      random: seededRandom(seed),
      log: silentLogger,
    },
    c,
  );

const secret = (name: string, password: string, uid = name): PullSecret => ({
  ...{ namespace: 'n', name, uid },
  credentials: { username: 'u', password },
});
const A = secret('a', 'one');
const isOpen = (access: ImageAccess, ...secrets: PullSecret[]): Promise<boolean> =>
  access.isOpenTo(image(1), REFERENCE, secrets);

test('image access: pulled with a secret, it is for who has that secret or says the same', async () => {
  const access = await open();
  expect(await isOpen(access, A)).toBe(false);
  await access.pulled(image(1), REFERENCE, [A], c);
  expect(await isOpen(access, A)).toBe(true);
  expect(await isOpen(access)).toBe(false);
  expect(await isOpen(access, secret('b', 'two'))).toBe(false);
  expect(await isOpen(access, secret('b', 'two'), secret('c', 'one'))).toBe(true);
  expect(await isOpen(access, secret('a', 'a new password'))).toBe(true);
  expect(await isOpen(access, secret('a', 'another uid of that name', 'z'))).toBe(false);
});

test('image access: what agreed once is known by its name too from then on', async () => {
  const access = await open();
  await access.pulled(image(1), REFERENCE, [A], c);
  expect(await isOpen(access, secret('c', 'one'))).toBe(true);
  expect(await isOpen(access, secret('c', 'changed'))).toBe(true);
});

test('image access: pulled without any it is everybody’s, whatever it is pulled with afterwards', async () => {
  const access = await open();
  await access.pulled(image(1), REFERENCE, [A], c);
  await access.pulled(image(1), REFERENCE, [], c);
  expect(await isOpen(access)).toBe(true);
  await access.pulled(image(1), REFERENCE, [A], c);
  expect(await isOpen(access)).toBe(true);
});

test('image access: another repository of the same image is another matter, another tag is not', async () => {
  const access = await open();
  await access.pulled(image(1), REFERENCE, [A], c);
  expect(await access.isOpenTo(image(1), 'registry.test/team/app:2', [A])).toBe(true);
  expect(await access.isOpenTo(image(1), 'registry.test/other/app:1', [A])).toBe(false);
  expect(await access.isOpenTo({ ...image(1), isTracked: false }, 'registry.test/other/app:1', [])).toBe(true);
});

test('image access: after a restart of the agent all is known; of the machine, names and uids', async () => {
  const first = await open();
  await first.pulled(image(1), REFERENCE, [A], c);
  const again = await open(2);
  expect(await isOpen(again, secret('c', 'one'))).toBe(true);
  await rm(join(folder, 'key'));
  const rebooted = await open(3);
  expect(await isOpen(rebooted, secret('d', 'one'))).toBe(false);
  expect(await isOpen(rebooted, { namespace: 'n', name: 'a', uid: 'a' })).toBe(true);
  expect(await isOpen(rebooted, A)).toBe(true);
  expect(await isOpen(rebooted, secret('d', 'one'))).toBe(true);
});

test('image access: the disk holds neither password nor a hash that could be guessed at', async () => {
  const access = await open();
  await access.pulled(image(1), REFERENCE, [A], c);
  const [file = ''] = await readdir(join(folder, 'access'));
  const text = await readFile(join(folder, 'access', file), 'utf8');
  expect(text).not.toContain('one');
  await rm(join(folder, 'key'));
  await rm(join(folder, 'access', file));
  const other = await open(2);
  await other.pulled(image(1), REFERENCE, [A], c);
  expect(await readFile(join(folder, 'access', file), 'utf8')).not.toBe(text);
});

test('image access: of images that are gone, and of files that cannot be read, nothing is known', async () => {
  images = [image(1), image(2)];
  const access = await open();
  for (const n of [1, 2]) await access.pulled(image(n), REFERENCE, [], c);
  images = [image(2), image(3)];
  await access.pulled(image(3), REFERENCE, [], c);
  expect(await readdir(join(folder, 'access'))).toHaveLength(2);
  await writeFile(join(folder, 'access', `${'2'.repeat(64)}.json`), '{"names":{"x":[{}]}}');
  images = [image(2)];
  const again = await open();
  expect(await readdir(join(folder, 'access'))).toHaveLength(1);
  expect(await again.isOpenTo(image(2), REFERENCE, [])).toBe(false);
});
