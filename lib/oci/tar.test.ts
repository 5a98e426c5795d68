import { execFile } from 'node:child_process';
import { chmod, link, mkdir, mkdtemp, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isKind } from '#lib/base';
import { readTar, tarBytes, tarHeader, writeTar } from './tar.ts';
import { encodeHeader, type TarHeader } from './tar-header.ts';

const run = promisify(execFile);
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-tar-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Whole {
  header: TarHeader;
  data: Buffer;
}

/** Cuts the bytes into pieces of `size`, as a socket would. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Uint8Array, size = 1000, asksAtOnce = false): Promise<Whole[]> {
  const out: Whole[] = [];
  for await (const { header, body } of readTar(pieces(bytes, size))) {
    const parts: Buffer[] = [];
    const all = asksAtOnce ? body.atOnce() : undefined;
    if (all !== undefined) parts.push(Buffer.from(all));
    for await (const p of body) parts.push(Buffer.from(p));
    out.push({ header, data: Buffer.concat(parts) });
  }
  return out;
}

const segment = fc
  .oneof(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }), fc.string({ minLength: 1, maxLength: 200 }))
  .map((s) => Buffer.from(s.replace(/[/\0]/g, '-')).toString())
  .filter((s) => s !== '' && s !== '.' && s !== '..');
const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((p) => p.join('/'));
const id = fc.oneof(fc.nat({ max: 0o7777777 }), fc.nat({ max: 0xffffffff }));
const common = {
  path,
  mode: fc.nat({ max: 0o7777 }),
  uid: id,
  gid: id,
  mtimeNs: fc.oneof(
    fc.bigInt(0n, 2n ** 62n),
    fc.bigInt(-(2n ** 40n), 2n ** 40n),
    fc.nat().map((s) => BigInt(s) * 10n ** 9n),
  ),
  userName: fc.constantFrom('', 'root', 'ünïcode', 'x'.repeat(40)),
  groupName: fc.constantFrom('', 'wheel'),
  xattrs: fc.dictionary(
    fc.constantFrom('user.a', 'security.capability', 'user.b c'),
    fc.uint8Array({ maxLength: 60 }),
    {
      noNullPrototype: true,
    },
  ),
};
const entry: fc.Arbitrary<Whole> = fc
  .record({
    ...common,
    type: fc.constantFrom('file', 'folder', 'symlink', 'hardlink', 'char', 'block', 'fifo'),
    data: fc.uint8Array({ maxLength: 2000 }),
    linkPath: path,
    device: fc.nat({ max: 0o7777777 }),
  })
  .map(({ data, device, type, linkPath, xattrs, ...rest }) => {
    const isDevice = type === 'char' || type === 'block';
    return {
      header: {
        ...rest,
        type: type as TarHeader['type'],
        xattrs: new Map(Object.entries(xattrs).map(([k, v]) => [k, Buffer.from(v)])),
        sizeBytes: type === 'file' ? data.length : 0,
        linkPath: type === 'symlink' || type === 'hardlink' ? linkPath : '',
        deviceMajor: isDevice ? device : 0,
        deviceMinor: isDevice ? device : 0,
      },
      data: type === 'file' ? Buffer.from(data) : Buffer.alloc(0),
    };
  });

describe('tar: laws', () => {
  test('what is written is read back, in pieces of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 8 }), fc.integer({ min: 1, max: 3000 }), async (entries, size) => {
        const bytes = await tarBytes(entries);
        expect(bytes.length % 512).toBe(0);
        for (const asksAtOnce of [false, true]) {
          const back = await readAll(bytes, size, asksAtOnce);
          expect(back.map((e) => ({ header: sorted(e.header), data: e.data }))).toEqual(
            entries.map((e) => ({ header: sorted(e.header), data: e.data })),
          );
        }
      }),
      { numRuns: 150 },
    );
  });

  test('no damage of a whole archive is answered by anything but an error or entries', async () => {
    const bytes = await tarBytes([
      { header: tarHeader({ type: 'file', path: 'x'.repeat(150), sizeBytes: 700 }), data: Buffer.alloc(700, 1) },
      { header: tarHeader({ type: 'symlink', path: 'l', linkPath: 'x' }), data: Buffer.alloc(0) },
    ]);
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: bytes.length - 1 }), fc.nat({ max: 255 }), async (at, value) => {
        const damaged = Buffer.from(bytes);
        damaged[at] = value;
        const failure = await readAll(damaged).then(
          () => undefined,
          (e: unknown) => e,
        );
        expect(failure === undefined || isKind(failure, 'Invalid') || isKind(failure, 'Unimplemented')).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test('an archive cut short is refused, unless the cut is between entries', async () => {
    const bytes = await tarBytes([
      { header: tarHeader({ type: 'file', path: 'f', sizeBytes: 600 }), data: Buffer.alloc(600) },
    ]);
    for (const end of [1, 511, 513, 1000, 1100])
      await expect(readAll(bytes.subarray(0, end))).rejects.toThrow(/ends in the middle/);
    expect(await readAll(bytes.subarray(0, 512 + 1024))).toHaveLength(1);
  });

  test('bodies left alone are skipped, and all of the source is read', async () => {
    const data = Buffer.alloc(5000, 7);
    const bytes = Buffer.concat([
      await tarBytes(['a', 'b'].map((p) => ({ header: tarHeader({ type: 'file', path: p, sizeBytes: 5000 }), data }))),
      Buffer.alloc(10240),
    ]);
    let readBytes = 0;
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      for await (const p of pieces(bytes, 700)) {
        readBytes += p.length;
        yield p;
      }
    };
    const names: string[] = [];
    for await (const e of readTar(counted())) names.push(e.header.path);
    expect(names).toEqual(['a', 'b']);
    expect(readBytes).toBe(bytes.length);
  });

  test('a body of another length than its header says is refused', async () => {
    const header = tarHeader({ type: 'file', path: 'f', sizeBytes: 3 });
    await expect(tarBytes([{ header, data: Buffer.from('four') }])).rejects.toMatchObject({ kind: 'Invalid' });
  });
});

describe('tar: GNU tar as oracle', () => {
  test.each(['gnu', 'pax', 'ustar', 'oldgnu', 'v7'])('reads what GNU tar writes in format %s', async (format) => {
    const source = await mkdtemp(join(folder, 'source-'));
    const isLong = format !== 'v7' && format !== 'ustar';
    const long = isLong ? `${'d'.repeat(120)}/${'e'.repeat(120)}` : 'short/er';
    await mkdir(join(source, long), { recursive: true });
    await writeFile(join(source, long, 'file'), 'content');
    await chmod(join(source, long, 'file'), 0o4711);
    await utimes(join(source, long, 'file'), 1_000_000_000, 1_000_000_000);
    await link(join(source, long, 'file'), join(source, 'linked'));
    await symlink(isLong ? 't'.repeat(150) : 'target', join(source, 'soft'));
    const archive = join(folder, `${format}.tar`);
    await run('tar', ['-C', source, `--format=${format}`, '--sort=name', '-cf', archive, '.']);
    const entries = new Map(
      (await readAll(await readFile(archive))).map((e) => [e.header.path.replace(/^\.\//, ''), e]),
    );
    const file = entries.get(`${long}/file`);
    const linked = entries.get('linked');
    const [first, second] = file?.header.type === 'file' ? [file, linked] : [linked, file];
    expect(first?.data.toString()).toBe('content');
    expect(first?.header).toMatchObject({ mode: 0o4711, mtimeNs: 10n ** 18n });
    expect(second?.header.type).toBe('hardlink');
    expect(entries.get('soft')?.header).toMatchObject({
      type: 'symlink',
      linkPath: isLong ? 't'.repeat(150) : 'target',
    });
    expect(entries.get(long)?.header.type).toBe('folder');
  });

  test('GNU tar lists and unpacks what we write', async () => {
    const long = `${'n'.repeat(180)}/${'ü'.repeat(60)}`;
    const archive = join(folder, 'ours.tar');
    const parts: Uint8Array[] = [];
    for await (const p of writeTar([
      { header: tarHeader({ type: 'folder', path: 'n'.repeat(180), mtimeNs: 1_000_000_000n * 86_400n }), body: [] },
      {
        header: tarHeader({ type: 'file', path: long, sizeBytes: 5, mode: 0o600, mtimeNs: 1_500_000_000_123_456_789n }),
        body: [Buffer.from('hello')],
      },
      { header: tarHeader({ type: 'hardlink', path: 'hard', linkPath: long }), body: [] },
      { header: tarHeader({ type: 'symlink', path: 'soft', linkPath: long }), body: [] },
      { header: tarHeader({ type: 'file', path: 'huge-owner', uid: 3_000_000_000, gid: 5_000_000 }), body: [] },
    ]))
      parts.push(p);
    await writeFile(archive, Buffer.concat(parts));
    const { stdout } = await run(
      'tar',
      ['--numeric-owner', '--full-time', '--quoting-style=literal', '-tvf', archive],
      {
        env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8' },
      },
    );
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(5);
    expect(lines[1]).toContain('2017-07-14 02:40:00.123456789');
    expect(lines[1]).toContain(long);
    expect(lines[2]).toContain(`hard link to ${long}`);
    expect(lines[3]).toContain(`soft -> ${long}`);
    expect(lines[4]).toContain('3000000000/5000000');
    const target = await mkdtemp(join(folder, 'target-'));
    await run('tar', ['-C', target, '--no-same-owner', '-xf', archive]);
    expect(await readFile(join(target, 'soft'), 'utf8')).toBe('hello');
    expect(await readFile(join(target, 'hard'), 'utf8')).toBe('hello');
  });

  test('a sparse file is refused with a clear error', async () => {
    const source = await mkdtemp(join(folder, 'sparse-'));
    await run('truncate', ['-s', '8M', join(source, 'holes')]);
    for (const format of ['gnu', 'pax']) {
      const archive = join(folder, `sparse-${format}.tar`);
      await run('tar', ['-C', source, '-S', `--format=${format}`, '-cf', archive, '.']);
      await expect(readAll(await readFile(archive))).rejects.toMatchObject({ kind: 'Unimplemented' });
    }
  });

  test.each(['x', 'g'] as const)(
    'extended headers (%s) without end are refused before they fill the memory',
    async (flag) => {
      async function* endless(): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < 1000; i++) {
          const xattrs = new Map([[`user.n${i}`, Buffer.alloc(60_000)]]);
          const head = encodeHeader(tarHeader({ type: 'file', path: 'a', xattrs })).subarray(0, -512);
          head.write(flag, 156);
          head.write('        ', 148);
          const sum = head.subarray(0, 512).reduce((a, b) => a + b, 0);
          head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
          taken++;
          yield head;
        }
      }
      let taken = 0;
      const all = async (): Promise<void> => {
        for await (const { header } of readTar(endless())) throw new Error(`an entry ${header.path}`);
      };
      await expect(all()).rejects.toMatchObject({
        kind: 'Invalid',
        message: expect.stringContaining('extended headers'),
      });
      expect(taken).toBeLessThan(30);
    },
  );

  test('a name that is not UTF-8 keeps its bytes', async () => {
    const pathBytes = Buffer.from([0x66, 0xff, 0xfe, 0x2f, 0x80]);
    const bytes = await tarBytes([
      { header: { ...tarHeader({ type: 'file', path: 'x' }), pathBytes }, data: Buffer.alloc(0) },
    ]);
    expect((await readAll(bytes))[0]?.header.pathBytes).toEqual(pathBytes);
  });
});

function sorted(h: TarHeader): unknown {
  return { ...h, xattrs: [...h.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)) };
}
