import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseOutput } from '../../agent/build/output/options.ts';
import {
  checkTags,
  latestOf,
  parseBuildArgs,
  parseLabels,
  readBuildFile,
  readSecrets,
  savedCredentials,
} from './build-options.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-build-options-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

test('build args and labels: values, names alone, what is no name', () => {
  const args = parseBuildArgs(['A=1=2', 'B', 'C', 'D='], { B: 'from env' });
  expect([...args]).toEqual([
    ['A', '1=2'],
    ['B', 'from env'],
    ['C', null],
    ['D', ''],
  ]);
  expect(() => parseBuildArgs(['=x'], {})).toThrow('--build-arg =x: a name is missing');
  expect(parseLabels(['a=b=c', 'd'])).toEqual({ a: 'b=c', d: '' });
  expect(() => checkTags([`a@sha256:${'0'.repeat(64)}`])).toThrow('a tag cannot have a digest');
  expect(() => checkTags(['A B'])).toThrow();
});

test('secrets: files, variables, mistakes', async () => {
  await writeFile(join(folder, 's'), 'word');
  const found = await readSecrets([`id=a,src=${folder}/s`, 'id=b,env=V', 'id=W', 'type=env,id=V'], { V: 'v', W: 'w' });
  expect([...found].map(([k, v]) => [k, Buffer.from(v).toString()])).toEqual([
    ['a', 'word'],
    ['b', 'v'],
    ['W', 'w'],
    ['V', 'v'],
  ]);
  await expect(readSecrets(['src=x'], {})).rejects.toThrow('--secret src=x: id is missing');
  await expect(readSecrets(['id=a,mode=1'], {})).rejects.toThrow("unexpected key 'mode'");
  await expect(readSecrets(['id=a,env=NONE'], {})).rejects.toThrow('the environment has no NONE');
  await expect(readSecrets([`id=a,src=${folder}/none`], {})).rejects.toThrow('ENOENT');
});

test("the Dockerfile: the folder's, another one with its own ignore file, none", async () => {
  await expect(readBuildFile(folder, undefined)).rejects.toThrow('failed to read dockerfile');
  await writeFile(join(folder, 'Dockerfile'), 'FROM scratch');
  await writeFile(join(folder, 'other'), 'FROM x');
  await writeFile(join(folder, '.dockerignore'), 'common');
  expect(await readBuildFile(folder, undefined)).toMatchObject({ text: 'FROM scratch', ignore: 'common' });
  await writeFile(join(folder, 'other.dockerignore'), 'own');
  expect(await readBuildFile(folder, join(folder, 'other'))).toMatchObject({ text: 'FROM x', ignore: 'own' });
  await expect(readBuildFile('https://x/y.git', undefined)).rejects.toThrow('archives and URLs are not supported');
  await expect(readBuildFile(join(folder, 'other'), undefined)).rejects.toThrow('is not a folder');
});

test('outputs: what is supported, and what is refused with words', () => {
  expect(parseOutput('type=oci,dest=a.tar')).toEqual({ type: 'oci', dest: 'a.tar', tar: true });
  expect(parseOutput('type=oci,tar=false,dest=d')).toEqual({ type: 'oci', dest: 'd', tar: false });
  for (const [output, why] of [
    ['type=local,dest=x', 'type local is not supported'],
    ['dest=x', 'type (none) is not supported'],
    ['type=oci', 'dest is missing'],
    ['type=oci,dest=-', 'name a file'],
    ['type=oci,dest=x,compression=zstd', 'compression is not supported'],
    ['out', '"out" is no key=value'],
    ['type=docker,tar=false,dest=x', "Docker's archive is a tar"],
  ] as const)
    expect(() => parseOutput(output)).toThrow(why);
});

test('what docker login saved; the time of SOURCE_DATE_EPOCH', async () => {
  const auth = Buffer.from('me:word:with:colons').toString('base64');
  await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { 'reg.example:5000': { auth } } }));
  const credentials = await savedCredentials({ DOCKER_CONFIG: folder });
  expect(credentials?.('reg.example:5000', 'app')).toEqual({ username: 'me', password: 'word:with:colons' });
  expect(credentials?.('other', 'app')).toBeUndefined();
  expect(latestOf(new Map([['SOURCE_DATE_EPOCH', '12']]), {})).toBe(12_000);
  expect(latestOf(new Map(), { SOURCE_DATE_EPOCH: '3' })).toBe(3_000);
  expect(latestOf(new Map(), {})).toBeUndefined();
  expect(() => latestOf(new Map([['SOURCE_DATE_EPOCH', 'now']]), {})).toThrow('is no number of seconds');
});
