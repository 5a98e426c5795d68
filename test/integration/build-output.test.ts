/** Archives of built images where the disk is full, and of a builder that is killed meanwhile. Needs root for a small disk. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Ctx, hexOf, realClock, sha256, silentLogger } from '#lib/base';
import { MEDIA_TYPES } from '#lib/oci';
import type { FinishedImage } from '../../agent/build/node/finish.ts';
import { writeArchive } from '../../agent/build/output/archive.ts';
import { eventually } from '../harness/process.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const MEBIBYTE = 1 << 20;
let base: string;
let disk: string;
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'berth-build-output-'));
  disk = join(base, 'disk');
  mkdirSync(disk);
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

function image(path: string, sizeBytes: number): FinishedImage {
  const config = Buffer.from('{}');
  const digest = sha256(path);
  const blob = { mediaType: MEDIA_TYPES.ociLayer, digest, sizeBytes };
  return { id: sha256(config), config, references: [], layers: [{ blob, diffId: digest, path }] };
}

const write = (i: FinishedImage, dest: string, tar = true): Promise<void> =>
  writeArchive(i, { type: 'oci', dest, tar }, c);

test('a full disk: what stood there stays, the draft goes, and it is told of what', async () => {
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', disk]);
  try {
    const layer = join(base, 'layer');
    writeFileSync(layer, Buffer.alloc(2 * MEBIBYTE));
    const [dest, layout] = [join(disk, 'a.tar'), join(disk, 'layout')];
    writeFileSync(dest, 'before');
    await expect(write(image(layer, 2 * MEBIBYTE), dest)).rejects.toThrow(`${dest} was not written: ENOSPC`);
    expect([readFileSync(dest, 'utf8'), readdirSync(disk)]).toEqual(['before', ['a.tar']]);
    await expect(write(image(layer, 2 * MEBIBYTE), layout, false)).rejects.toThrow(`${layout} was not written: ENOSPC`);
    expect(readdirSync(join(layout, 'blobs/sha256'))).toEqual([]);
    expect(readdirSync(layout)).not.toContain('index.json');
  } finally {
    execFileSync('umount', [disk]);
  }
});

/** DEST LAYER: writes an archive of a layer of 64 MiB. */
const WRITER = `
const { writeArchive } = await import(${JSON.stringify(join(import.meta.dirname, '../../agent/build/output/archive.ts'))});
const { realClock, realRandom, silentLogger } = await import('#lib/base');
const [dest, path] = process.argv.slice(1);
const digest = 'sha256:' + 'a'.repeat(64);
const blob = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest, sizeBytes: 64 << 20 };
const image = { id: digest, config: Buffer.from('{}'), references: [], layers: [{ blob, diffId: digest, path }] };
const c = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
await writeArchive(image, { type: 'oci', dest, tar: true }, c);
`;

test('a builder killed while it writes: what stood there stays, and the next one removes what it left', async () => {
  const [dest, layer] = [join(disk, 'a.tar'), join(base, 'layer')];
  writeFileSync(dest, 'before');
  // A layer of which a part comes, and the rest never.
  execFileSync('mkfifo', [layer]);
  const argv = ['--import', 'tsx', '--input-type=module', '-e', WRITER, dest, layer];
  const child = spawn(process.execPath, argv, { stdio: 'inherit', cwd: join(import.meta.dirname, '../..') });
  const ended = once(child, 'exit');
  const held = openSync(layer, 'r+');
  writeSync(held, Buffer.alloc(60_000));
  const draft = (): string | undefined => readdirSync(disk).find((name) => name.endsWith('.tmp'));
  await eventually(() => statSync(join(disk, draft() ?? 'none'), { throwIfNoEntry: false }) !== undefined, 'a draft');
  child.kill('SIGKILL');
  await ended;
  expect(readFileSync(dest, 'utf8')).toBe('before');
  expect(draft()).toMatch(`.${child.pid}.`);
  const whole = join(base, 'whole');
  writeFileSync(whole, 'a layer');
  await write(image(whole, 7), dest);
  expect(readdirSync(disk)).toEqual(['a.tar']);
  expect(execFileSync('tar', ['-tf', dest]).toString()).toContain(hexOf(sha256(whole)));
});
