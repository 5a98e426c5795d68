/** The kernel ports on the native helper: programs, mounts, namespaces, removal, cgroups, and life after its death. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, realRandom, silentLogger } from '#lib/base';
import { ownProcsFile } from '../../agent/kernel/linux/cgroups.ts';
import { type LinuxKernel, openKernel } from '../../agent/kernel/linux/open.ts';

const c: Ctx = { signal: new AbortController().signal, clock: realClock, log: silentLogger };
let folder: string;
let k: LinuxKernel;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'berth-test-kernel-'));
  k = await openKernel({ helperPath: resolve('dist/berth-helper'), environment: process.env });
});
afterEach(async () => {
  const left = await k.mounts.below(folder, c);
  await k[Symbol.asyncDispose]();
  expect(left).toEqual([]);
  rmSync(folder, { recursive: true, force: true });
});
const at = (...names: string[]): string => join(folder, ...names);
const make = (...names: string[]): string => {
  mkdirSync(at(...names), { recursive: true });
  return at(...names);
};

describe('programs', () => {
  test('stdin, both outputs, exit codes, signals, environment, folder', async () => {
    const run = async (script: string, o = {}): Promise<unknown[]> => {
      const r = await k.programs.run(['sh', '-c', script], o, c);
      return [r.code, r.stdout.toString(), r.stderr.toString()];
    };
    expect(await run('cat; echo e >&2; exit 3', { stdin: 'in' })).toEqual([3, 'in', 'e\n']);
    expect(await run('kill -9 $$')).toEqual([137, '', '']);
    expect(await run('echo $A; pwd', { env: { A: 'x y' }, cwd: folder })).toEqual([0, `x y\n${folder}\n`, '']);
    expect((await k.programs.run(['no-such-program'], {}, c)).code).toBe(127);
    expect(await run('wc -c', { stdin: Buffer.alloc(3_000_000) })).toEqual([0, '3000000\n', '']);
    expect((await run('head -c 5000000 /dev/zero'))[1]).toHaveLength(1 << 20);
    /* The answer comes at the exit, whatever holds the pipes. */
    const [code, pid] = await run('sleep 60 & echo $!');
    expect(code).toBe(0);
    process.kill(Number(pid));
  });

  test('a time limit and a cancel kill it, with its children', async () => {
    const script = `sh -c 'echo $$ > ${folder}/pid; exec sleep 600' & wait`;
    /* On a busy machine the shell may not come to it in time. */
    for (let timeoutMs = 200; !isWritten(at('pid')); timeoutMs *= 2)
      await expect(k.programs.run(['sh', '-c', script], { timeoutMs }, c)).rejects.toMatchObject({
        kind: 'DeadlineExceeded',
      });
    expect(await isGone(Number(readFileSync(at('pid'), 'utf8')))).toBe(true);
    const abort = new AbortController();
    const running = k.programs.run(['sleep', '600'], {}, { ...c, signal: abort.signal });
    abort.abort(new Error('stop it'));
    await expect(running).rejects.toThrow('stop it');
  });

  test('600 at once: all answered, the event loop stays free', async () => {
    let ticks = 0;
    const ticker = setInterval(() => ticks++, 1);
    const results = await Promise.all(
      Array.from({ length: 600 }, (_, i) => k.programs.run(['echo', String(i)], {}, c)),
    );
    clearInterval(ticker);
    expect(results.map((r) => Number(r.stdout.toString()))).toEqual(Array.from({ length: 600 }, (_, i) => i));
    expect(ticks).toBeGreaterThan(20);
  });

  test('the helper killed: open calls are Unavailable, the next ones run', async () => {
    const running = k.programs.run(['sleep', '600'], {}, c);
    await realClock.sleep(50);
    process.kill(k.helper.pid ?? 0, 'SIGKILL');
    await expect(running).rejects.toMatchObject({ kind: 'Unavailable' });
    expect((await k.programs.run(['echo', 'again'], {}, c)).stdout.toString()).toBe('again\n');
  });
});

describe('mounts', () => {
  test('overlay, again and with 130 long lower folders; bind, tmpfs; unmounting what is gone', async () => {
    const [upper, work, target] = [make('upper'), make('work'), make('target')];
    const lower = Array.from({ length: 130 }, (_, i) =>
      make(`layer-with-quite-a-long-name-${'x'.repeat(64)}-${i}`, 'diff'),
    );
    writeFileSync(join(lower[129] ?? '', 'lowest'), '1');
    const m = { lower, upper, work, target };
    await k.mounts.overlay(m, c);
    await k.mounts.overlay(m, c);
    expect(await k.mounts.below(target, c)).toEqual([target]);
    expect(existsSync(join(target, 'lowest'))).toBe(true);
    await k.mounts.tmpfs(make('target', 'tmp'), { sizeBytes: 1 << 20, mode: 0o1777 }, c);
    await k.mounts.bind(upper, make('target', 'bound'), { readOnly: true }, c);
    await k.mounts.bind(upper, at('target', 'bound'), { readOnly: true }, c);
    expect(() => writeFileSync(at('target', 'bound', 'x'), '')).toThrow(/EROFS/);
    const points = await k.mounts.below(target, c);
    expect(points.length).toBe(3);
    expect(points[2]).toBe(target);
    for (const p of [...points, ...points, at('nowhere')]) await k.mounts.unmount(p, c);
  });

  test('names with the characters that overlayfs takes for its own', async () => {
    const [upper, work, target] = [make('u:,\\u'), make('w:,\\w'), make('target')];
    const [a, b] = [make('a:b', 'l,1'), make('a:b', 'l\\2')];
    writeFileSync(join(a, 'one'), '1');
    writeFileSync(join(b, 'two'), '2');
    await k.mounts.overlay({ lower: [a, b], upper, work, target }, c);
    expect(readdirSync(target).sort()).toEqual(['one', 'two']);
    await k.mounts.unmount(target, c);
  });
});

describe('namespaces', () => {
  test('pinned, completed, entered by programs, unpinned; twice each', async () => {
    const ns = at('ns');
    const sysctls = { 'net.ipv4.ip_unprivileged_port_start': '0' };
    await k.namespaces.pin(ns, { kinds: ['net'], sysctls }, c);
    const inode = (await k.programs.run(['stat', '-c', '%i', join(ns, 'net')], {}, c)).stdout.toString();
    await k.namespaces.pin(ns, { kinds: ['net', 'ipc', 'uts'], hostname: 'pod-1', sysctls }, c);
    expect((await k.programs.run(['stat', '-c', '%i', join(ns, 'net')], {}, c)).stdout.toString()).toBe(inode);
    const inside = await k.programs.run(
      ['cat', '/proc/sys/net/ipv4/ip_unprivileged_port_start'],
      { netns: join(ns, 'net') },
      c,
    );
    expect(inside.stdout.toString()).toBe('0\n');
    const lo = await k.programs.run(['ip', '-o', 'addr', 'show', 'lo'], { netns: join(ns, 'net') }, c);
    expect(lo.stdout.toString()).toContain('127.0.0.1/8');
    const name = await k.programs.run(['nsenter', `--uts=${join(ns, 'uts')}`, 'hostname'], {}, c);
    expect(name.stdout.toString()).toBe('pod-1\n');
    await expect(k.namespaces.pin(ns, { kinds: ['net'], sysctls: { '../../x': '1' } }, c)).rejects.toThrow(
      /bad sysctl/,
    );
    await k.namespaces.unpin(ns, c);
    await k.namespaces.unpin(ns, c);
    expect(existsSync(ns)).toBe(false);
  });
});

test.each([
  ['kernel.core_pattern', ['net', 'ipc', 'uts']],
  ['kernel/core_pattern', ['net', 'ipc', 'uts']],
  ['vm.swappiness', ['net', 'ipc', 'uts']],
  ['fs.file-max', ['net', 'ipc', 'uts']],
  ['net.ipv4.ip_forward', ['ipc']],
  ['kernel.shmmax', ['net']],
] as const)('a sysctl that is not of the pinned namespaces is refused: %s with %s', async (name, kinds) => {
  const ns = at('ns-sysctl');
  // What is there already, so that nothing happens to the machine should it be written.
  const value = readFileSync(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8').trim();
  const pinned = k.namespaces.pin(ns, { kinds, sysctls: { [name]: value } }, c);
  await expect(pinned).rejects.toMatchObject({ kind: 'Invalid', message: expect.stringContaining(name) });
  await k.namespaces.unpin(ns, c);
});

test('sysctls of each pinned namespace are written there', async () => {
  const ns = at('ns-own');
  const sysctls = {
    'net.ipv4.ip_forward': '1',
    'kernel.shm_rmid_forced': '1',
    'kernel.msgmax': '9000',
    'fs.mqueue.msg_max': '11',
  };
  const before = readFileSync('/proc/sys/kernel/msgmax', 'utf8');
  await k.namespaces.pin(ns, { kinds: ['net', 'ipc'], sysctls }, c);
  const inside = await k.programs.run(['nsenter', `--ipc=${join(ns, 'ipc')}`, 'cat', '/proc/sys/kernel/msgmax'], {}, c);
  expect(inside.stdout.toString()).toBe('9000\n');
  expect(readFileSync('/proc/sys/kernel/msgmax', 'utf8')).toBe(before);
  await k.namespaces.unpin(ns, c);
});

describe('removeTree', () => {
  test('follows no link, enters no mount, takes any depth and name', async () => {
    writeFileSync(at('outside'), 'stays');
    make('tree', 'a', 'b');
    symlinkSync(folder, at('tree', 'a', 'link'));
    writeFileSync(at('tree', 'a', 'b', 'line\nbreak'), '');
    await k.programs.run(['mkdir', '-p', join(at('tree'), 'd/'.repeat(1500))], {}, c);
    const deep = make('tree', 'mounted');
    await k.mounts.bind(make('kept'), deep, {}, c);
    writeFileSync(at('kept', 'file'), '1');
    await expect(k.removeTree(at('tree'), c)).rejects.toMatchObject({ kind: 'Conflict' });
    expect(existsSync(at('kept', 'file'))).toBe(true);
    await k.mounts.unmount(deep, c);
    await k.removeTree(at('tree'), c);
    await k.removeTree(at('tree'), c);
    expect(readdirSync(folder).sort()).toEqual(['kept', 'outside']);
    await k.programs.run(['chattr', '+i', at('outside')], {}, c);
    await k.removeTree(at('outside'), c);
    expect(existsSync(at('outside'))).toBe(false);
    for (const bad of ['relative', '/', '/..', `${folder}/..`])
      await expect(k.removeTree(bad, c)).rejects.toMatchObject({ kind: 'Invalid' });
  });
});

describe('cgroups', () => {
  test('to expect a move leaves this process in the cgroup it is in', async () => {
    const own = ownProcsFile(k.cgroups.mounts, readFileSync('/proc/self/cgroup', 'utf8')) ?? '';
    expect(readFileSync(own, 'utf8').split('\n')).toContain(String(process.pid));
    const before = readFileSync('/proc/self/cgroup', 'utf8');
    for (let i = 0; i < 3; i++) {
      k.cgroups.expectMove();
      k.cgroups.expectMove();
      await realClock.sleep(40);
    }
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toBe(before);
  });

  test('limits, usage, children, removal with what runs inside', async () => {
    const group = `/berth-test-${realRandom.hex(6)}`;
    const limits = { cpuShares: 512, cpuQuotaUs: 50_000, memoryBytes: 64 << 20, pids: 20 };
    await k.cgroups.ensure(`${group}/a/b`, limits, c);
    await k.cgroups.ensure(`${group}/a/b`, limits, c);
    const procs = k.cgroups.procsFile(`${group}/a/b`) ?? '';
    const script = `echo $$ > ${procs}; echo $$ > ${at('pid')}; while :; do :; done`;
    const running = k.programs.run(['sh', '-c', script], {}, c);
    while (!isWritten(at('pid'))) await realClock.sleep(5);
    expect((await k.cgroups.usage(`${group}/a/b`, c))?.pids).toBe(1);
    const many = Array.from({ length: 120 }, (_, i) => `${group}/none-${i}`);
    const usages = await k.cgroups.usages([...many, `${group}/a`, ...many, `${group}/a/b`, '/'], c);
    expect([...usages.keys()]).toEqual([`${group}/a`, `${group}/a/b`, '/']);
    expect(usages.get(`${group}/a/b`)).toMatchObject({ pids: 1, oomKills: 0 });
    expect(usages.get('/')?.cpuNs).toBeGreaterThan(0);
    expect(await k.cgroups.children(group, c)).toEqual(['a']);
    expect(await k.cgroups.usage(`${group}/none`, c)).toBeUndefined();
    const memory = k.cgroups.mounts.v1.get('memory');
    if (memory !== undefined)
      expect(readFileSync(`${memory}${group}/a/b/memory.limit_in_bytes`, 'utf8').trim()).toBe(String(64 << 20));
    await k.cgroups.remove(group, c);
    await k.cgroups.remove(group, c);
    expect((await running).code).toBe(137);
    expect(await k.cgroups.usage(`${group}/a/b`, c)).toBeUndefined();
    await expect(k.cgroups.remove('/', c)).rejects.toMatchObject({ kind: 'Invalid' });
    await expect(k.cgroups.remove('/../x', c)).rejects.toMatchObject({ kind: 'Invalid' });
  });
});

describe('unpackLayer', () => {
  test('works on after a cleaner of temporary files took the socket away', async () => {
    rmSync(join(k.helper.streamsPath, '..'), { recursive: true });
    const unpack = (name: string): Promise<{ entries: number }> =>
      k.unpackLayer({ root: make(name), input: Readable.from([Buffer.alloc(1024)]) }, c);
    expect(await Promise.all([unpack('a'), unpack('b')])).toMatchObject([{ entries: 0 }, { entries: 0 }]);
  });

  test('an input that fails is the error; a cancel ends the child', async () => {
    const root = make('root');
    async function* broken(): AsyncGenerator<Buffer> {
      yield Buffer.alloc(512);
      throw new Error('digest mismatch');
    }
    await expect(k.unpackLayer({ root, input: Readable.from(broken()) }, c)).rejects.toThrow('digest mismatch');
    const abort = new AbortController();
    const waiting = k.unpackLayer(
      { root, input: new Readable({ read: () => undefined }) },
      { ...c, signal: abort.signal },
    );
    await realClock.sleep(50);
    abort.abort(new Error('stop it'));
    await expect(waiting).rejects.toThrow('stop it');
  });
});

function isWritten(path: string): boolean {
  return existsSync(path) && readFileSync(path, 'utf8') !== '';
}

async function isGone(pid: number): Promise<boolean> {
  const end = realClock.monotonic() + 20_000;
  while (realClock.monotonic() < end) {
    try {
      const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0];
      if (state === 'Z') return true;
    } catch {
      return true;
    }
    await realClock.sleep(5);
  }
  return false;
}
