/** What the helper does for pods with a user namespace (agent/native/user-namespace.c, mounts.c), and what a crash of it leaves. */
import { execFileSync, spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { overlayFormat } from '../../agent/images/overlay.ts';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';

import { helperPath } from './runtime-host.ts';

const KINDS = ['net', 'ipc', 'uts'] as const;
const IDS = { first: 1_310_720, count: 65_536 };
const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };

describe('user namespaces (root)', () => {
  let kernel: LinuxKernel;
  let folder: string;
  const ns = (name = ''): string => join(folder, 'ns', name);
  const pinUser = (ids = IDS): Promise<void> => kernel.namespaces.pinUser(ns(), { kinds: KINDS, ids }, c);
  /** A program inside, as the pod's root. */
  const inside = (script: string): { code: number | null; text: string } => {
    const enter = ['user', ...KINDS].map((k) => `--${k}=${ns(k)}`);
    const r = spawnSync('nsenter', [...enter, '--setuid=0', '--setgid=0', 'sh', '-c', script], { encoding: 'utf8' });
    return { code: r.status, text: `${r.stdout}${r.stderr}` };
  };
  const mounts = async (): Promise<string[]> =>
    (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((l) => l.includes(folder));

  beforeAll(async () => {
    kernel = await openKernel({ helperPath });
  });
  afterAll(() => kernel?.[Symbol.asyncDispose]());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'berth-userns-'));
  });
  afterEach(async () => {
    for (const point of await kernel.mounts.below(folder, c)) await kernel.mounts.unmount(point, c);
    await rm(folder, { recursive: true, force: true });
  });

  test('root inside is the first id outside, and may configure what was pinned with it and nothing else', async () => {
    await pinUser();
    await chmod(folder, 0o711);
    await writeFile(join(folder, 'open'), 'x', { mode: 0o644 });
    await writeFile(join(folder, 'secret'), 'x', { mode: 0o600 });
    await kernel.namespaces.pin(
      ns(),
      { kinds: KINDS, hostname: 'inside', sysctls: { 'net.ipv4.ping_group_range': '0 65535' } },
      c,
    );
    expect(inside('cat /proc/self/uid_map; id -u; hostname').text.split(/\s+/)).toEqual([
      '',
      '0',
      String(IDS.first),
      '65536',
      '0',
      'inside',
      '',
    ]);
    expect(inside('cat /proc/sys/net/ipv4/ping_group_range').text.split(/\s+/)).toEqual(['0', '65535', '']);
    expect(inside('ip link add x type bridge && hostname other && hostname').text).toBe('other\n');
    expect(inside(`cat ${join(folder, 'open')} ${join(folder, 'secret')} 2>/dev/null || echo refused`).text).toBe(
      'xrefused\n',
    );
    expect(inside('echo x >/proc/sys/kernel/core_pattern').code).not.toBe(0);
    await kernel.namespaces.unpin(ns(), c);
    expect(await mounts()).toEqual([]);
    expect(await readdir(folder)).not.toContain('ns');
  });

  test('again is the same; another range is refused; what was cut short is completed', async () => {
    await pinUser();
    const before = await Promise.all(['user', ...KINDS].map((k) => stat(ns(k)).then((s) => s.ino)));
    await pinUser();
    expect(await Promise.all(['user', ...KINDS].map((k) => stat(ns(k)).then((s) => s.ino)))).toEqual(before);
    await expect(pinUser({ ...IDS, first: 2 * IDS.first })).rejects.toMatchObject({ kind: 'AlreadyExists' });
    /* Killed between two pins: the missing one belongs to the same user namespace. */
    await kernel.mounts.unmount(ns('net'), c);
    await pinUser();
    expect(inside('ip link add x type bridge').code).toBe(0);
    /* Killed before the first: the others were made in no user namespace of the pod. */
    await kernel.namespaces.unpin(ns(), c);
    await kernel.namespaces.pin(ns(), { kinds: KINDS }, c);
    expect(await readlink('/proc/self/ns/net')).not.toContain(String((await stat(ns('net'))).ino));
    await pinUser();
    expect(inside('ip link add x type bridge').code).toBe(0);
  });

  test.each([
    [0, 65_536],
    [65_536, 0],
    [4_294_901_760, 65_536],
  ])('%i+%i is no range', async (first, count) => {
    await expect(pinUser({ first, count })).rejects.toMatchObject({ kind: 'Invalid' });
    expect(await mounts()).toEqual([]);
  });

  test('a root of 130 layers: their ids are those inside, what is written belongs to the range, nothing else is mounted', async () => {
    await pinUser();
    const layers: string[] = [];
    for (let i = 0; i < 130; i++) {
      const layer = join(folder, 'layers', String(i), 'fs');
      await mkdir(layer, { recursive: true });
      layers.push(layer);
    }
    const [base = '', , next = ''] = layers;
    await writeFile(join(base, 'root'), 'x');
    await writeFile(join(next, 'user'), 'x');
    await chown(join(next, 'user'), 1000, 1000);
    await writeFile(join(next, 'beyond'), 'x');
    await chown(join(next, 'beyond'), 70_000, 70_000);
    const root = join(folder, 'root');
    const userNamespace = { path: ns('user'), ids: IDS };
    const format = overlayFormat(kernel);
    await mkdir(join(root, 'staging', '3'), { recursive: true }); // an earlier call was killed
    await format.build(root, layers, c, userNamespace);
    await format.build(root, layers, c, userNamespace);
    const owner = async (name: string): Promise<number> => (await stat(join(root, 'merged', name))).uid;
    expect([await owner(''), await owner('root'), await owner('user'), await owner('beyond')]).toEqual([
      IDS.first,
      IDS.first,
      IDS.first + 1000,
      65_534,
    ]);
    for (const path of [folder, join(folder, 'ns'), root]) await chmod(path, 0o711);
    const write = inside(`echo y >>${root}/merged/root && touch ${root}/merged/new && cat ${root}/merged/root`);
    expect(write).toEqual({ code: 0, text: 'xy\n' });
    expect((await stat(join(root, 'upper', 'new'))).uid).toBe(IDS.first);
    expect((await stat(join(base, 'root'))).uid).toBe(0);
    expect((await mounts()).filter((l) => l.includes(`${root}/`)).length).toBe(1);
    expect(await readdir(root)).not.toContain('staging');
    await format.dismantle(root, c);
  });

  test('on a file system that cannot be idmapped no root is made, and nothing is left of the try', async () => {
    await pinUser();
    const lower = join(folder, 'lower');
    for (const path of [lower, join(folder, 'a'), join(folder, 'b'), join(folder, 'root')]) await mkdir(path);
    execFileSync('mount', ['-t', 'overlay', '-o', `lowerdir=${join(folder, 'a')}:${join(folder, 'b')}`, 'none', lower]);
    const build = overlayFormat(kernel).build(join(folder, 'root'), [lower], c, { path: ns('user'), ids: IDS });
    await expect(build).rejects.toThrow(/idmapped .*lower: Invalid argument/);
    expect((await mounts()).filter((l) => l.includes(`${folder}/root`))).toEqual([]);
  });
});
