/**
 * Layers that are nearly right, thrown at the unpacker by the thousand: archives of odd entries, damaged before and after they are
 * compressed, header checksums made right again. Judged after each: nothing outside the root has changed, the answer is a digest
 * that zlib agrees with or an error in the unpacker's words, and no sanitizer has spoken. One seed, one run.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, deflateRawSync, gunzipSync, gzipSync } from 'node:zlib';
import { type Ctx, messageOf, type Random, realClock, seededRandom, sha256, silentLogger } from '#lib/base';
import { openKernel } from '../../agent/kernel/linux/open.ts';

export interface UnpackFuzz {
  readonly seed: number;
  readonly runs: number;
  readonly limitMs: number;
  /** Made and removed below it; on a file system of its own if need be. */
  readonly folder: string;
}

export interface FuzzResult {
  readonly unpacked: number;
  readonly refused: number;
  /** What went wrong, each with the run it can be repeated by. */
  readonly failures: readonly string[];
}

const NATIVE = join(import.meta.dirname, '../../agent/native');
const NAMES = [
  'a',
  'b',
  'dir/',
  'dir/f',
  '../up',
  '/abs',
  'dir/../../x',
  'l',
  'l/f',
  'l/../y',
  '.wh.a',
  '.wh..wh..opq',
];
const LINKS = ['..', '/', '/etc', '../../..', 'a', 'l', 'dir', '/proc/self/root', 'x'.repeat(99)];
const FAILURES_MAX = 5;

/** The helper with sanitizers, so that a read beyond an end is seen. Throws when the compiler cannot. */
export function sanitizedHelper(folder: string): string {
  const path = join(folder, 'helper');
  const sources = readdirSync(NATIVE).filter((n) => n.endsWith('.c'));
  const flags = ['-fsanitize=address,undefined', '-fno-sanitize-recover=all', '-g', '-O1', '-std=gnu11'];
  const made = spawnSync('gcc', [...flags, '-o', path, ...sources], { cwd: NATIVE, encoding: 'utf8' });
  if (made.status !== 0) throw new Error(`gcc: ${made.stderr}`);
  return path;
}

export async function fuzzUnpack(o: UnpackFuzz, helperPath: string): Promise<FuzzResult> {
  const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
  const random = seededRandom(o.seed);
  const end = realClock.monotonic() + o.limitMs;
  await using kernel = await openKernel({ helperPath });
  const canary = join(o.folder, 'canary');
  mkdirSync(canary, { recursive: true });
  for (const name of ['x', 'y', 'up', 'f', 'a']) writeFileSync(join(canary, name), name);
  const before = listing(o.folder);
  const failures: string[] = [];
  let [unpacked, refused] = [0, 0];
  for (let run = 0; run < o.runs && realClock.monotonic() < end && failures.length < FAILURES_MAX; run++) {
    const blob = makeBlob(random);
    const [root, path] = [join(canary, 'root'), join(o.folder, 'blob')];
    mkdirSync(root);
    writeFileSync(path, blob);
    const fail = (why: string): void => void failures.push(`seed ${o.seed}, run ${run}: ${why}`);
    try {
      const limits = { bytesMax: 4 << 20, entriesMax: 2000 };
      const { diffId } = await kernel.unpackBlob({ root, path, ...limits }, c);
      unpacked++;
      const expected = plainOf(blob);
      if (expected !== undefined && sha256(expected) !== diffId) fail('zlib has read other bytes');
    } catch (e) {
      refused++;
      if (!isOwnWords(messageOf(e))) fail(messageOf(e));
    }
    rmSync(root, { recursive: true, force: true });
    rmSync(path);
    const after = listing(o.folder);
    if (after !== before) fail(`outside the root: ${after}`);
  }
  return { unpacked, refused, failures };
}

/** One line, begun by the verb: not a signal's number, not a sanitizer's report. */
function isOwnWords(text: string): boolean {
  return /^unpack: [^\n]*$/.test(text) && !/Sanitizer|runtime error/.test(text);
}

function plainOf(blob: Buffer): Buffer | undefined {
  if (blob[0] !== 0x1f || blob[1] !== 0x8b) return blob;
  try {
    return gunzipSync(blob, { maxOutputLength: 64 << 20 });
  } catch {
    return undefined; // zlib looks at checksums too: what it refuses for them has no other judge
  }
}

function makeBlob(random: Random): Buffer {
  const tar = Buffer.concat([...Array.from({ length: 1 + random.below(8) }, () => entry(random)), Buffer.alloc(1024)]);
  const plain = damaged(tar, random, random.below(3));
  if (random.below(4) === 0) return plain;
  return damaged(compressed(plain, random), random, random.below(3));
}

/** Every kind of block: stored, fixed and dynamic codes, several members, a header with all its fields. */
function compressed(plain: Buffer, random: Random): Buffer {
  const level = random.below(10);
  const strategies = [constants.Z_DEFAULT_STRATEGY, constants.Z_FIXED, constants.Z_HUFFMAN_ONLY, constants.Z_RLE];
  const strategy = strategies[random.below(strategies.length)] ?? 0;
  if (random.below(6) === 0) {
    const at = random.below(plain.length);
    return Buffer.concat([gzipSync(plain.subarray(0, at), { level, strategy }), gzipSync(plain.subarray(at))]);
  }
  if (random.below(6) !== 0) return gzipSync(plain, { level, strategy });
  const head = Buffer.from([0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 2, 0, 1, 2, 0x61, 0, 0x62, 0, 0, 0]);
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(plain.length, 4);
  return Buffer.concat([head, deflateRawSync(plain, { level, strategy }), trailer]);
}

function entry(random: Random): Buffer {
  const pick = (list: readonly string[]): string => list[random.below(list.length)] ?? '';
  const type = '0125346x7LKg'[random.below(12)] ?? '0';
  const size = random.below(5) === 0 ? random.below(70_000) : random.below(700);
  const data = Buffer.alloc(size, random.hex(16));
  if (type === 'x') data.write(`${size} path=${pick(NAMES)}\n`);
  const h = Buffer.alloc(512);
  h.write(pick(NAMES), 0, 100);
  h.write('0000755\0', 100);
  h.write('0000000\0', 108);
  h.write('0000000\0', 116);
  h.write(`${size.toString(8).padStart(11, '0')}\0`, 124);
  h.write('00000000000\0', 136);
  h.write(type, 156);
  h.write(pick(LINKS), 157, 100);
  h.write('ustar\x0000', 257, 'latin1');
  if (random.below(3) === 0) h[random.below(512)] = random.below(256);
  sign(h);
  const hasData = '0x7LKg'.includes(type);
  return hasData ? Buffer.concat([h, data, Buffer.alloc((512 - (size % 512)) % 512)]) : h;
}

function sign(h: Buffer): void {
  h.write('        ', 148);
  let sum = 0;
  for (const b of h.subarray(0, 512)) sum += b;
  h.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
}

function damaged(bytes: Buffer, random: Random, times: number): Buffer {
  let out = Buffer.from(bytes);
  for (let i = 0; i < times && out.length > 1; i++) {
    const at = random.below(out.length);
    switch (random.below(4)) {
      case 0:
        out[at] = random.below(256);
        break;
      case 1:
        out = out.subarray(0, at + 1);
        break;
      case 2:
        out = Buffer.concat([out.subarray(0, at), Buffer.from(random.hex(8), 'hex'), out.subarray(at)]);
        break;
      default:
        out.copy(out, at, random.below(out.length));
    }
  }
  return out;
}

/** Names, types, sizes and contents of everything. */
function listing(folder: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort();
  return names
    .map((name) => {
      const s = lstatSync(join(folder, name));
      return `${name} ${s.mode} ${s.uid} ${s.isFile() && s.size < 100 ? readFileSync(join(folder, name), 'utf8') : ''}`;
    })
    .join('\n');
}
