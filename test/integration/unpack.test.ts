/** berth-helper unpack: what layers hold arrives, what they hide is hidden, and no archive reaches outside its root. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, seededRandom, silentLogger } from '#lib/base';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';

const helperPath = resolve('dist/berth-helper');
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

interface Entry {
  name: string;
  type?: string;
  data?: string | Buffer;
  link?: string;
  mode?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  major?: number;
  minor?: number;
  pax?: Record<string, string | Buffer>;
  /** Written instead of what fits. */
  sizeText?: string;
  uidBytes?: Buffer;
}

/** A tar writer that writes whatever it is told, legal or not. */
function tar(entries: readonly Entry[], o: { end?: boolean } = {}): Buffer {
  const out: Buffer[] = [];
  for (const e of entries) {
    if (e.pax) {
      const records = Object.entries(e.pax).map(([k, v]) => paxRecord(k, Buffer.from(v as Buffer)));
      out.push(member({ name: 'PaxHeaders/x', type: 'x', data: Buffer.concat(records) }));
    }
    out.push(member(e));
  }
  if (o.end !== false) out.push(Buffer.alloc(1024));
  return Buffer.concat(out);
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let size = rest.length + 1;
  while (String(size).length + rest.length !== size) size = String(size).length + rest.length;
  return Buffer.concat([Buffer.from(String(size)), rest]);
}

function member(e: Entry): Buffer {
  const data = Buffer.from((e.data ?? '') as Buffer);
  const h = Buffer.alloc(512);
  h.write(e.name, 0, 100);
  h.write(`${(e.mode ?? (e.type === '5' ? 0o755 : 0o644)).toString(8).padStart(7, '0')}\0`, 100);
  h.write(`${(e.uid ?? 0).toString(8).padStart(7, '0')}\0`, 108);
  h.write(`${(e.gid ?? 0).toString(8).padStart(7, '0')}\0`, 116);
  if (e.uidBytes) e.uidBytes.copy(h, 108);
  h.write(e.sizeText ?? `${data.length.toString(8).padStart(11, '0')}\0`, 124, 12);
  h.write(`${(e.mtime ?? 1_500_000_000).toString(8).padStart(11, '0')}\0`, 136);
  h.write('        ', 148);
  h.write(e.type ?? '0', 156);
  h.write(e.link ?? '', 157, 100);
  h.write('ustar\x0000', 257, 'latin1');
  h.write(`${(e.major ?? 0).toString(8).padStart(7, '0')}\0`, 329);
  h.write(`${(e.minor ?? 0).toString(8).padStart(7, '0')}\0`, 337);
  let sum = 0;
  for (const b of h) sum += b;
  h.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return Buffer.concat([h, data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

function gnuLong(type: 'L' | 'K', text: string): Entry {
  return { name: '././@LongLink', type, data: `${text}\0` };
}

let base: string;
let kernel: LinuxKernel;
let count = 0;
let root: string;

beforeAll(async () => {
  base = mkdtempSync(join(tmpdir(), 'berth-test-unpack-'));
  kernel = await openKernel({ helperPath });
});
afterAll(async () => {
  await kernel[Symbol.asyncDispose]();
  rmSync(base, { recursive: true, force: true });
});
beforeEach(() => {
  root = newRoot();
});

function newRoot(): string {
  const path = join(base, `root-${++count}`);
  mkdirSync(path);
  return path;
}

const unpack = (entries: readonly Entry[], to = root): Promise<{ entries: number; bytes: number }> =>
  kernel.unpackLayer({ root: to, input: Readable.from([tar(entries)]) }, c);
const at = (name: string): string => join(root, name);

describe('unpack: what layers hold', () => {
  test('files, folders, links, devices, owners, modes, times', async () => {
    const counted = await unpack([
      { name: './', type: '5', mode: 0o750, mtime: 1_400_000_000 },
      { name: 'bin/', type: '5', mode: 0o711, mtime: 1_300_000_000 },
      { name: 'bin/tool', data: 'tool', mode: 0o4755, uid: 1234, gid: 567 },
      { name: 'bin/same', type: '1', link: 'bin/tool' },
      { name: 'bin/link', type: '2', link: '/bin/tool', uid: 7, gid: 8 },
      { name: 'fifo', type: '6' },
      { name: 'null', type: '3', major: 1, minor: 3, mode: 0o666 },
      { name: 'implicit/parent/file', data: 'x', pax: { mtime: '1234567890.123456789' } },
      { name: 'old', data: 'y', pax: { mtime: '-1.25' } },
    ]);
    expect(counted).toEqual({ entries: 9, bytes: 6 });
    const tool = statSync(at('bin/tool'));
    expect([tool.mode & 0o7777, tool.uid, tool.gid, tool.nlink]).toEqual([0o4755, 1234, 567, 2]);
    expect(statSync(at('bin/same')).ino).toBe(tool.ino);
    expect(readlinkSync(at('bin/link'))).toBe('/bin/tool');
    expect([lstatSync(at('bin/link')).uid, lstatSync(at('bin/link')).gid]).toEqual([7, 8]);
    expect(lstatSync(at('fifo')).isFIFO()).toBe(true);
    expect([lstatSync(at('null')).isCharacterDevice(), lstatSync(at('null')).rdev]).toEqual([true, 259]);
    expect([statSync(root).mode & 0o7777, statSync(root).mtimeMs]).toEqual([0o750, 1.4e12]);
    expect([statSync(at('bin')).mode & 0o7777, statSync(at('bin')).mtimeMs]).toEqual([0o711, 1.3e12]);
    expect(statSync(at('implicit/parent/file'), { bigint: true }).mtimeNs).toBe(1234567890123456789n);
    expect(statSync(at('implicit')).mode & 0o7777).toBe(0o755);
    expect(statSync(at('old')).mtimeMs).toBe(-1250);
  });

  test('long names: GNU, pax, ustar prefix; base-256 owners; non-UTF-8', async () => {
    const long = `${'d'.repeat(120)}/${'e'.repeat(200)}`;
    const base256 = Buffer.from([0x80, 0, 0, 0, 0x3b, 0x9a, 0xca, 0]);
    await unpack([
      gnuLong('L', long),
      { name: 'cut', data: '1' },
      gnuLong('K', `${'t'.repeat(250)}/x`),
      { name: 'link', type: '2', link: 'cut' },
      { name: 'p', data: '2', pax: { path: `${'p'.repeat(255)}/q`, uid: '3000000000' } },
      { name: 'rich', data: '3', uidBytes: base256 },
    ]);
    expect(readFileSync(at(long), 'utf8')).toBe('1');
    expect(readlinkSync(at('link'))).toBe(`${'t'.repeat(250)}/x`);
    expect(readFileSync(at(`${'p'.repeat(255)}/q`), 'utf8')).toBe('2');
    expect(statSync(at(`${'p'.repeat(255)}/q`)).uid).toBe(3_000_000_000);
    expect(statSync(at('rich')).uid).toBe(1_000_000_000);
    const raw = tar([{ name: 'XX', data: '' }]);
    raw.write('\xff\xfe', 0, 'latin1');
    let sum = 0;
    raw.write('        ', 148);
    for (const b of raw.subarray(0, 512)) sum += b;
    raw.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    await kernel.unpackLayer({ root, input: Readable.from([raw]) }, c);
    expect(readdirSync(root, { encoding: 'buffer' }).some((n) => n.equals(Buffer.from([0xff, 0xfe])))).toBe(true);
  });

  test('extended attributes, file capabilities after the owner; none of overlayfs', async () => {
    const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
    await unpack([
      {
        name: 'ping',
        data: 'p',
        uid: 5,
        pax: {
          'SCHILY.xattr.security.capability': capability,
          'SCHILY.xattr.user.note': 'a b',
          'SCHILY.xattr.trusted.overlay.redirect': '/etc',
          'SCHILY.xattr.user.overlay.opaque': 'y',
        },
      },
    ]);
    const packed = spawnSync('tar', ['--xattrs', '--xattrs-include=*', '-cf', '-', '-C', root, 'ping']).stdout;
    expect(packed.includes('SCHILY.xattr.user.note=a b')).toBe(true);
    expect(packed.includes(Buffer.concat([Buffer.from('SCHILY.xattr.security.capability='), capability]))).toBe(true);
    expect(packed.includes('overlay')).toBe(false);
  });

  test('later entries: a file over a folder, a folder over a file, a folder again keeps its content', async () => {
    await unpack([
      { name: 'a/inner/x', data: '1' },
      { name: 'a', data: 'file now' },
      { name: 'b', data: 'file' },
      { name: 'b/', type: '5' },
      { name: 'b/x', data: '2' },
      { name: 'b/', type: '5', mode: 0o700 },
      { name: 'c', data: 'first' },
      { name: 'c', data: 'second' },
      { name: 'late', type: '1', link: 'target' },
      { name: 'target', data: 'linked' },
    ]);
    expect(readFileSync(at('a'), 'utf8')).toBe('file now');
    expect(readFileSync(at('b/x'), 'utf8')).toBe('2');
    expect(statSync(at('b')).mode & 0o777).toBe(0o700);
    expect(readFileSync(at('c'), 'utf8')).toBe('second');
    expect(statSync(at('late')).ino).toBe(statSync(at('target')).ino);
  });

  test('whiteouts hide the layers below, never their own, whichever comes first', async () => {
    const lower = root;
    for (const name of ['gone', 'kept', 'dir/old', 'opaque/old', 'wh-then-dir/old', 'dir-then-wh/old', 'both']) {
      mkdirSync(join(lower, name, '..'), { recursive: true });
      writeFileSync(join(lower, name), 'lower');
    }
    const upper = newRoot();
    await unpack(
      [
        { name: '.wh.gone' },
        { name: 'dir/.wh.old' },
        { name: 'opaque/new', data: 'n' },
        { name: 'opaque/.wh..wh..opq' },
        { name: '.wh.wh-then-dir' },
        { name: 'wh-then-dir/new', data: 'n' },
        { name: 'dir-then-wh/new', data: 'n' },
        { name: '.wh.dir-then-wh' },
        { name: '.wh.both' },
        { name: 'both', data: 'upper' },
        { name: '.wh..wh.plnk', data: 'aufs' },
      ],
      upper,
    );
    const [up, work, merged] = [newRoot(), newRoot(), newRoot()];
    await kernel.mounts.overlay({ lower: [upper, lower], upper: up, work, target: merged }, c);
    try {
      expect(readdirSync(merged).sort()).toEqual(['both', 'dir', 'dir-then-wh', 'kept', 'opaque', 'wh-then-dir']);
      expect(readdirSync(join(merged, 'dir'))).toEqual([]);
      for (const name of ['opaque', 'wh-then-dir', 'dir-then-wh'])
        expect(readdirSync(join(merged, name))).toEqual(['new']);
      expect(readFileSync(join(merged, 'both'), 'utf8')).toBe('upper');
    } finally {
      await kernel.mounts.unmount(merged, c);
    }
  });
});

describe('unpack: nothing reaches outside', () => {
  let outside: string;
  let before: string;
  beforeEach(() => {
    outside = join(base, `outside-${count}`);
    mkdirSync(join(outside, 'sub'), { recursive: true });
    writeFileSync(join(outside, 'victim'), 'untouched');
    writeFileSync(join(outside, 'sub', 'deep'), 'untouched');
    before = snapshot(outside);
  });

  const attacks = (): Record<string, Entry[]> => ({
    'file through an absolute link': [
      { name: 'l', type: '2', link: outside },
      { name: 'l/new', data: 'x' },
    ],
    'file through a relative link': [
      { name: 'l', type: '2', link: `../../../../../..${outside}` },
      { name: 'l/victim', data: 'x' },
    ],
    'through a chain of links': [
      { name: 'a', type: '2', link: 'b' },
      { name: 'b', type: '2', link: outside },
      { name: 'a/victim', data: 'x' },
    ],
    'through /proc/self/root': [
      { name: 'p', type: '2', link: `/proc/self/root${outside}` },
      { name: 'p/victim', data: 'x' },
    ],
    'absolute name': [{ name: join(outsideName(), 'victim'), data: 'x' }],
    'dots in the name': [{ name: `../../../../../..${outside}/victim`, data: 'x' }],
    'dots behind a link': [
      { name: 'd/', type: '5' },
      { name: 'l', type: '2', link: 'd' },
      { name: `l/../../..${outside}/victim`, data: 'x' },
    ],
    'hard link to outside': [
      { name: 'h', type: '1', link: `../../../../..${outside}/victim` },
      { name: 'h', data: 'x' },
    ],
    'hard link by a link': [
      { name: 'l', type: '2', link: outside },
      { name: 'h', type: '1', link: 'l/victim' },
    ],
    'hard link to a link, then written': [
      { name: 'l', type: '2', link: join(outside, 'victim') },
      { name: 'h', type: '1', link: 'l' },
      { name: 'h', data: 'x' },
    ],
    'mode of a link': [{ name: 'l', type: '2', link: join(outside, 'victim'), mode: 0o777, uid: 99 }],
    'folder over a link': [
      { name: 'l', type: '2', link: outside },
      { name: 'l/', type: '5', mode: 0o777, uid: 99, mtime: 5 },
    ],
    'file over a link': [
      { name: 'l', type: '2', link: join(outside, 'victim') },
      { name: 'l', data: 'x', mode: 0o777 },
    ],
    'whiteout behind a link': [{ name: 'l', type: '2', link: outside }, { name: 'l/.wh.victim' }],
    'opaque behind a link': [{ name: 'l', type: '2', link: outside }, { name: 'l/.wh..wh..opq' }],
    'removal behind a link': [
      { name: 'l', type: '2', link: outside },
      { name: 'l/sub', data: 'file over folder' },
    ],
    'root replaced': [
      { name: '.', type: '2', link: outside },
      { name: 'victim', data: 'x' },
    ],
    'device behind a link': [
      { name: 'l', type: '2', link: outside },
      { name: 'l/dev', type: '3', major: 1, minor: 3 },
    ],
    'fifo over a link': [
      { name: 'l', type: '2', link: join(outside, 'victim') },
      { name: 'l', type: '6' },
    ],
    'xattr through a link': [
      { name: 'l', type: '2', link: join(outside, 'victim'), pax: { 'SCHILY.xattr.trusted.x': 'y' } },
    ],
    'times of a replaced folder': [
      { name: 'd/', type: '5', mtime: 5 },
      { name: 'd', type: '2', link: outside },
    ],
  });
  function outsideName(): string {
    return outside ?? '';
  }

  test('every known way out stays in', async () => {
    const names = Object.keys(attacks());
    for (const name of names) {
      const entries = attacks()[name] ?? [];
      await unpack(entries, newRoot()).catch(() => undefined);
      expect([name, snapshot(outside)]).toEqual([name, before]);
    }
    /* The guarded way is not refusal: links lead back inside, as they will in the container. */
    await unpack([
      { name: 'run/', type: '5' },
      { name: 'var/run', type: '2', link: '/run' },
      { name: 'var/run/x', data: '1' },
    ]);
    expect(readFileSync(at('run/x'), 'utf8')).toBe('1');
    await unpack([
      { name: 'lib', type: '2', link: '/usr/lib' },
      { name: 'lib/y', data: '2' },
    ]);
    expect(readFileSync(at('usr/lib/y'), 'utf8')).toBe('2');
  });

  test('extended headers without end are refused before they fill the memory', () => {
    const headers = Array.from({ length: 40 }, (_, i) =>
      member({ name: 'x', type: 'x', data: paxRecord(`SCHILY.xattr.user.n${i}`, Buffer.alloc(60_000)) }),
    );
    const r = spawnSync(helperPath, ['unpack', newRoot()], {
      input: Buffer.concat([...headers, tar([{ name: 'a' }])]),
    });
    expect([r.status, r.stderr.toString()]).toEqual([71, 'unpack: an entry with too many extended attributes\n']);
  });

  test('one folder named again and again is refused before it fills the memory', () => {
    const path = `${'d'.repeat(200)}/`.repeat(20);
    const folder = tar([{ name: 'd', type: '5', pax: { path } }], { end: false });
    const many = Buffer.concat(Array.from({ length: 20_000 }, () => folder));
    const r = spawnSync(helperPath, ['unpack', newRoot()], { input: many });
    expect([r.status, r.stderr.toString()]).toEqual([27, 'unpack: the archive has too many folders and links\n']);
  });

  test('what is malformed is refused with a text', async () => {
    const bad: Record<string, Buffer> = {
      'cut in the data': tar([{ name: 'a', data: 'x'.repeat(2000) }]).subarray(0, 1500),
      'cut in a header': tar([{ name: 'a' }], { end: false }).subarray(0, 300),
      'extension without an entry': tar([gnuLong('L', 'name')], { end: false }),
      checksum: Buffer.concat([Buffer.alloc(511, 65), Buffer.alloc(513)]),
      'size not a number': tar([{ name: 'a', sizeText: '9zz' }]),
      'huge size': tar([{ name: 'a', sizeText: '777777777777' }]),
      'owner -1': tar([{ name: 'a', pax: { uid: '4294967295' } }]),
      'owner out of range': tar([{ name: 'a', pax: { gid: '99999999999' } }]),
      'pax length': tar([{ name: 'x', type: 'x', data: '999 path=a\n' }, { name: 'a' }]),
      'pax without =': tar([{ name: 'x', type: 'x', data: '9 pathaa\n' }, { name: 'a' }]),
      'pax NUL in path': tar([{ name: 'a', pax: { path: 'a\0b' } }]),
      'component too long': tar([gnuLong('L', 'n'.repeat(300)), { name: 'a' }]),
      'path too long': tar([gnuLong('L', 'n/'.repeat(2500)), { name: 'a' }]),
      'large extension': tar([{ name: 'x', type: 'x', data: Buffer.alloc(2 << 20, 48) }, { name: 'a' }]),
      'unknown type': tar([{ name: 'a', type: 'S' }]),
      'character device 0:0': tar([{ name: 'a', type: '3' }]),
      'whiteout of ..': tar([{ name: '.wh...' }]),
      'hard link to nothing': tar([{ name: 'a', type: '1', link: 'nowhere' }]),
      'hard link to a folder': tar([
        { name: 'd/', type: '5' },
        { name: 'a', type: '1', link: 'd' },
      ]),
      'link loop': tar([
        { name: 'l', type: '2', link: 'l' },
        { name: 'l/x', data: '1' },
      ]),
      'file as a folder': tar([
        { name: 'f', data: '1' },
        { name: 'f/x', data: '1' },
      ]),
    };
    for (const [name, bytes] of Object.entries(bad)) {
      const r = spawnSync(helperPath, ['unpack', newRoot()], { input: bytes });
      expect([name, r.signal, r.status === 0, r.stderr.length > 0]).toEqual([name, null, false, true]);
    }
  });

  test('mutated archives neither crash nor escape (seeded)', () => {
    const seed = Number(process.env['SEED'] ?? 20_261_123);
    const random = seededRandom(seed);
    const whole = Object.values(attacks()).map((entries) =>
      tar([...entries, { name: 'z', data: 'zz', pax: { path: 'y/z', mtime: '1.5' } }]),
    );
    for (let i = 0; i < 250; i++) {
      const archive = Buffer.from(whole[random.below(whole.length)] ?? Buffer.alloc(0));
      for (let n = 1 + random.below(6); n > 0; n--) archive[random.below(archive.length)] = random.below(256);
      if (random.below(2) === 0) fixChecksums(archive);
      const r = spawnSync(helperPath, ['unpack', newRoot()], { input: archive });
      expect([seed, i, r.signal]).toEqual([seed, i, null]);
    }
    expect(snapshot(outside)).toBe(before);
  });
});

/** Makes each header's checksum right again, so that mutations reach what is behind it. */
function fixChecksums(archive: Buffer): void {
  for (let at = 0; at + 512 <= archive.length; at += 512) {
    if (archive.toString('latin1', at + 257, at + 262) !== 'ustar') continue;
    archive.write('        ', at + 148);
    let sum = 0;
    for (const b of archive.subarray(at, at + 512)) sum += b;
    archive.write(`${sum.toString(8).padStart(6, '0')}\0 `, at + 148);
  }
}

/** Names, kinds, modes, owners, times and contents below a folder. */
function snapshot(folder: string): string {
  const out: string[] = [];
  const visit = (path: string): void => {
    const s = lstatSync(path);
    out.push(
      `${path} ${s.mode} ${s.uid}:${s.gid} ${s.nlink} ${s.mtimeMs} ${s.isFile() ? readFileSync(path, 'utf8') : ''}`,
    );
    if (s.isDirectory()) for (const name of readdirSync(path).sort()) visit(join(path, name));
  };
  visit(folder);
  const xattrs = spawnSync('tar', ['--xattrs', '--xattrs-include=*', '-cf', '-', '-C', folder, '.']).stdout;
  expect(existsSync(folder)).toBe(true);
  return `${out.join('\n')}\n${xattrs.includes('SCHILY.xattr')}`;
}
