/** What a step, or the archive of a context, may do to lead the builder out of its folders: mount points, laid out trees. Needs root. */
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { type TarHeader, tarBytes, tarHeader } from '#lib/oci';
import { FolderTree } from '../../agent/build/context/folder-tree.ts';
import { TarTree } from '../../agent/build/context/tar-tree.ts';
import { layOut } from '../../agent/build/node/lay-out.ts';
import { MountPoints } from '../../agent/build/node/mount-points.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
const base = mkdtempSync(join(tmpdir(), 'berth-hostile-'));
const OLD = 1_000_000_000;
let root: string;
let outside: string;
let n = 0;
beforeEach(() => {
  root = join(base, `root${++n}`);
  outside = join(base, `outside${n}`);
  mkdirSync(join(root, 'etc'), { recursive: true });
  mkdirSync(join(outside, 'empty'), { recursive: true });
  writeFileSync(join(outside, 'none'), '');
  for (const path of [root, join(root, 'etc'), outside]) utimesSync(path, OLD, OLD);
});
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** The places of `targets` are made as a runtime does it, `step` does what it likes, and they are taken away. */
async function around(targets: readonly string[], made: () => void, step: () => void): Promise<void> {
  const points = await MountPoints.look(root, new FolderTree(root), targets, c);
  made();
  step();
  await points.takeAway(root, c);
}

const nothing = (): void => undefined;

function expectOutsideUntouched(): void {
  expect(readdirSync(outside).sort()).toEqual(['empty', 'none']);
  expect(lstatSync(outside).mtimeMs).toBe(OLD * 1000);
}

describe('mount points', () => {
  test('places that a mount has made go, with all folders above them; the folder around has its time again', async () => {
    await around(
      ['/a/b/c', '/etc/hosts'],
      () => {
        mkdirSync(join(root, 'a/b/c'), { recursive: true });
        writeFileSync(join(root, 'etc/hosts'), '');
      },
      nothing,
    );
    expect(readdirSync(root)).toEqual(['etc']);
    expect(readdirSync(join(root, 'etc'))).toEqual([]);
    expect([lstatSync(root).mtimeMs, lstatSync(join(root, 'etc')).mtimeMs]).toEqual([OLD * 1000, OLD * 1000]);
  });

  test('a target below a link of the image is looked for in the root', async () => {
    symlinkSync(outside, join(root, 'link'));
    mkdirSync(join(root, outside), { recursive: true });
    await around(['/link/none', '/link/empty'], () => mkdirSync(join(root, outside, 'empty')), nothing);
    expect(readdirSync(join(root, outside))).toEqual([]);
    expectOutsideUntouched();
  });

  test('a target that climbs out stays in the root', async () => {
    await around(['/../../../..//none', '/..'], () => writeFileSync(join(root, 'none'), ''), nothing);
    expect(readdirSync(root)).toEqual(['etc']);
    expectOutsideUntouched();
  });

  test('a folder above that has become a link out is not followed', async () => {
    const made = (): void => void mkdirSync(join(root, 'mnt/empty'), { recursive: true });
    await around(['/mnt/empty', '/mnt/none'], made, () => {
      rmSync(join(root, 'mnt'), { recursive: true });
      symlinkSync(outside, join(root, 'mnt'));
    });
    expectOutsideUntouched();
    expect(lstatSync(join(root, 'mnt')).isSymbolicLink()).toBe(true);
  });

  test('a folder of the image that has become a link out: its times are nobody else’s', async () => {
    await around(['/etc/none'], nothing, () => {
      rmdirSync(join(root, 'etc'));
      symlinkSync(outside, join(root, 'etc'));
    });
    expectOutsideUntouched();
  });

  test('a place that has become a link, a pipe or a device is the step’s own', async () => {
    const places = ['/l', '/p', '/d'];
    const made = (): void =>
      places.forEach((p) => {
        writeFileSync(join(root, p), '');
      });
    await around(places, made, () => {
      for (const p of places) unlinkSync(join(root, p));
      symlinkSync(join(outside, 'none'), join(root, 'l'));
      execFileSync('mknod', [join(root, 'p'), 'p']);
      execFileSync('mknod', [join(root, 'd'), 'c', '1', '3']);
    });
    expect(readdirSync(root).sort()).toEqual(['d', 'etc', 'l', 'p']);
    expectOutsideUntouched();
  });

  test('what a step has written into a place stays, a folder and a file', async () => {
    const made = (): void => {
      mkdirSync(join(root, 'vol'));
      writeFileSync(join(root, 'f'), '');
    };
    await around(['/vol', '/f'], made, () => {
      writeFileSync(join(root, 'vol/x'), 'x');
      writeFileSync(join(root, 'f'), 'x');
    });
    expect(readdirSync(join(root, 'vol'))).toEqual(['x']);
    expect(readFileSync(join(root, 'f'), 'utf8')).toBe('x');
  });

  test('an empty file of the step that is linked to a place loses that name alone', async () => {
    await around(['/stub'], nothing, () => {
      writeFileSync(join(root, 'own'), '');
      linkSync(join(root, 'own'), join(root, 'stub'));
    });
    expect(readdirSync(root).sort()).toEqual(['etc', 'own']);
  });

  test('what was there before stays, also when it is empty', async () => {
    mkdirSync(join(root, 'was'));
    await around(['/was', '/etc'], nothing, nothing);
    expect(readdirSync(root).sort()).toEqual(['etc', 'was']);
  });

  test('the whole root swapped below: a parent that is a file, a place that is gone', async () => {
    const made = (): void => void mkdirSync(join(root, 'x/y'), { recursive: true });
    await around(['/x/y/z'], made, () => {
      renameSync(join(root, 'x'), join(root, 'moved'));
      writeFileSync(join(root, 'x'), 'a file');
    });
    expect(readFileSync(join(root, 'x'), 'utf8')).toBe('a file');
    expect(existsSync(join(root, 'moved/y'))).toBe(true);
  });
});

describe('a laid out tree', () => {
  const entry = (type: TarHeader['type'], path: string, more: Partial<TarHeader> = {}, text = '') => ({
    header: tarHeader({ type, path, sizeBytes: text.length, ...more }),
    data: Buffer.from(text),
  });

  async function laidOut(entries: Parameters<typeof tarBytes>[0], source = ''): Promise<string> {
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield await tarBytes(entries);
    }
    const o = { path: join(base, `bodies${n}`), bytesMax: 1 << 20, keepsOwners: true };
    await using tree = await TarTree.receive(bytes(), o, c);
    const target = join(base, `target${n}`);
    await layOut(tree, source, target, c);
    return target;
  }

  test('names that climb are clipped, and what stands below a link replaces it', async () => {
    const target = await laidOut([
      entry('file', '../../../up', {}, 'up'),
      entry('symlink', 'l', { linkPath: outside }),
      entry('file', 'l/none', {}, 'planted'),
      entry('symlink', 'kept', { linkPath: outside }),
    ]);
    expect(readFileSync(join(target, 'up'), 'utf8')).toBe('up');
    expect(readFileSync(join(target, 'l/none'), 'utf8')).toBe('planted');
    expect(lstatSync(join(target, 'kept')).isSymbolicLink()).toBe(true);
    expect(readFileSync(join(outside, 'none'), 'utf8')).toBe('');
    expectOutsideUntouched();
  });

  test('modes, owners and times are those of the entries, of a link its own; what it leads to is left alone', async () => {
    const target = await laidOut([
      entry('file', 'suid', { mode: 0o4711, uid: 7, gid: 8, mtimeNs: BigInt(OLD) * 1_000_000_000n }, 'x'),
      entry('symlink', 'l', { linkPath: join(outside, 'none'), uid: 7, gid: 8, mode: 0o777 }),
    ]);
    expect(lstatSync(join(target, 'suid'))).toMatchObject({ mode: 0o104711, uid: 7, gid: 8, mtimeMs: OLD * 1000 });
    expect(lstatSync(join(target, 'l'))).toMatchObject({ uid: 7, gid: 8 });
    expect(lstatSync(join(outside, 'none'))).toMatchObject({ uid: 0, gid: 0, mode: 0o100644 });
  });

  test('devices and pipes are refused; a hard link outside is; what is there already is not written into', async () => {
    await expect(laidOut([entry('char', 'd', { deviceMajor: 1, deviceMinor: 3 })])).rejects.toThrow(/device or a pipe/);
    rmSync(join(base, `target${n}`), { recursive: true });
    await expect(laidOut([entry('hardlink', 'h', { linkPath: '../../etc/passwd' })])).rejects.toThrow(/is not there/);
    symlinkSync(outside, join(base, `target${n}`));
    await expect(laidOut([entry('file', 'f', {}, 'x')])).rejects.toThrow(/EEXIST/);
    await expect(laidOut([entry('file', 'f', {}, 'x')], 'f')).rejects.toThrow(/EEXIST/);
    expectOutsideUntouched();
  });
});
