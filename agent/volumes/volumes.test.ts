import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ConfigMap, Pod, Secret, Volume } from '#lib/api';
import type { Ctx } from '#lib/base';
import { StatusError, silentLogger, VirtualClock } from '#lib/base';
import { RecordingKernel } from '../kernel/recording.ts';
import { openVolumes } from './open.ts';
import { openInside } from './subpath.ts';
import type { Volumes } from './volume.ts';

const clock = new VirtualClock();
const c: Ctx = { signal: new AbortController().signal, clock, log: silentLogger };
const configMaps = new Map<string, ConfigMap>();
const secrets = new Map<string, Secret>();
let folder: string;
let kernel: RecordingKernel;
let volumes: Volumes;
let tokens = 0;
let isAway = false;
let refusal: StatusError | undefined;
async function token(o: { expirationSeconds: number }): Promise<{ token: string; expiresAtMs: number }> {
  if (isAway) throw new StatusError('Unavailable', 'no session');
  if (refusal !== undefined) throw refusal;
  tokens++;
  return { token: `token-${tokens}`, expiresAtMs: clock.now() + o.expirationSeconds * 1000 };
}
const noStorage = { folderOf: () => Promise.reject(new Error('none')) };
const noSources = {
  claim: () => undefined,
  persistentVolume: () => undefined,
  configMap: () => undefined,
  secret: () => undefined,
  serviceAccountToken: () => Promise.reject(new Error('none')),
  nodeAllocatable: () => ({}),
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'berth-volumes-'));
  kernel = new RecordingKernel();
  const remove = kernel.removeTree.bind(kernel);
  kernel.removeTree = async (path, ctx) => {
    await remove(path, ctx);
    await rm(path, { recursive: true, force: true });
  };
  configMaps.clear();
  secrets.clear();
  tokens = 0;
  isAway = false;
  refusal = undefined;
  const sources = {
    configMap: (ns: string, name: string) => configMaps.get(`${ns}/${name}`),
    secret: (ns: string, name: string) => secrets.get(`${ns}/${name}`),
    claim: () => undefined,
    persistentVolume: () => undefined,
    serviceAccountToken: token,
    nodeAllocatable: () => ({ cpu: '2', memory: '4Gi' }),
  };
  volumes = await openVolumes({ kernel, folder, sources, storage: noStorage }, c);
});

afterEach(() => rm(folder, { recursive: true, force: true }));

function pod(...list: Volume[]): Pod {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'p',
      namespace: 'ns',
      uid: 'uid-1',
      labels: { b: 'two "quoted"\n', a: 'one' },
      annotations: { note: 'n' },
    },
    spec: {
      containers: [{ name: 'main', resources: { limits: { cpu: '500m' }, requests: { memory: '64Mi' } } }],
      volumes: list,
    },
  };
}

function setConfigMap(name: string, data: Record<string, string>): void {
  configMaps.set(`ns/${name}`, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, namespace: 'ns' }, data });
}

async function texts(path: string): Promise<Record<string, string>> {
  const out: Record<string, string> = {};
  for (const name of await readdir(path)) {
    if (name.startsWith('..')) continue;
    const s = await stat(join(path, name));
    if (s.isFile()) out[name] = await readFile(join(path, name), 'utf8');
    else for (const [k, v] of Object.entries(await texts(join(path, name)))) out[`${name}/${k}`] = v;
  }
  return out;
}

describe('configMap volumes', () => {
  test('show every key behind the ..data link, and swap all at once when the map changes', async () => {
    setConfigMap('cfg', { a: '1', b: '2' });
    const p = pod({ name: 'v', configMap: { name: 'cfg', defaultMode: 0o640 } });
    const { hostPath, readOnly } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(readOnly).toBe(true);
    expect(await texts(hostPath)).toEqual({ a: '1', b: '2' });
    expect(await readlink(join(hostPath, 'a'))).toBe('..data/a');
    expect((await stat(join(hostPath, 'a'))).mode & 0o777).toBe(0o640);
    const before = await readlink(join(hostPath, '..data'));
    expect(before).toMatch(/^\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\./);

    await volumes.update(p, c);
    expect(await readlink(join(hostPath, '..data'))).toBe(before);
    setConfigMap('cfg', { b: '3', c: '4' });
    await volumes.update(p, c);
    expect(await texts(hostPath)).toEqual({ b: '3', c: '4' });
    const names = await readdir(hostPath);
    expect(names.filter((n) => n.startsWith('..')).sort()).toEqual(
      [await readlink(join(hostPath, '..data')), '..data'].sort(),
    );
  });

  test('items choose keys, paths and modes; binary data; what is missing is named in the words of Kubernetes', async () => {
    setConfigMap('cfg', { a: '1' });
    Object.assign(configMaps.get('ns/cfg') ?? {}, { binaryData: { bin: Buffer.from([0, 255]).toString('base64') } });
    const items = [
      { key: 'a', path: 'deep/er/a.txt', mode: 0o400 },
      { key: 'bin', path: 'bin' },
    ];
    const p = pod({ name: 'v', configMap: { name: 'cfg', items } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(await readFile(join(hostPath, 'deep/er/a.txt'), 'utf8')).toBe('1');
    expect((await stat(join(hostPath, 'deep/er/a.txt'))).mode & 0o777).toBe(0o400);
    expect(await readFile(join(hostPath, 'bin'))).toEqual(Buffer.from([0, 255]));
    const bad = (v: Omit<Volume, 'name'>): Promise<unknown> =>
      volumes.prepare({ pod: pod({ name: 'w', ...v }), volumeName: 'w' }, c);
    await expect(bad({ configMap: { name: 'no' } })).rejects.toThrow('configmap "no" not found');
    await expect(bad({ configMap: { name: 'cfg', items: [{ key: 'k', path: 'k' }] } })).rejects.toThrow(
      'references non-existent config key: k',
    );
    await expect(bad({ configMap: { name: 'cfg', items: [{ key: 'a', path: '../x' }] } })).rejects.toThrow("'..'");
    await expect(bad({ secret: { secretName: 'no' } })).rejects.toThrow('secret "no" not found');
    await expect(bad({ configMap: { name: 'no', optional: true } })).resolves.toBeDefined();
  });

  test('an optional source may appear and disappear later', async () => {
    const p = pod({ name: 'v', configMap: { name: 'late', optional: true } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(await texts(hostPath)).toEqual({});
    setConfigMap('late', { k: 'v' });
    await volumes.update(p, c);
    expect(await texts(hostPath)).toEqual({ k: 'v' });
    configMaps.clear();
    await volumes.update(p, c);
    expect(await texts(hostPath)).toEqual({});
  });

  test('a crash between any two steps of a write is healed by the next one', async () => {
    setConfigMap('cfg', { a: '1' });
    const p = pod({ name: 'v', configMap: { name: 'cfg' } });
    const target = join(folder, 'pods/uid-1/volumes/v');
    await mkdir(join(target, '..2020_01_01_00_00_00.half'), { recursive: true });
    await symlink('..2020_01_01_00_00_00.half', join(target, '..data_tmp'));
    await writeFile(join(target, 'stale'), 'x');
    await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(await texts(target)).toEqual({ a: '1' });
    expect((await readdir(target)).length).toBe(3);
  });

  test('what an earlier agent wrote stays where nothing has changed: who watches the files hears nothing', async () => {
    setConfigMap('cfg', { a: '1', 'b/c': '2' });
    const p = pod({ name: 'v', configMap: { name: 'cfg' } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    const first = await readlink(join(hostPath, '..data'));
    const afterNext = async (): Promise<string> => {
      const sources = { ...noSources, configMap: (ns: string, name: string) => configMaps.get(`${ns}/${name}`) };
      await (await openVolumes({ kernel, folder, sources, storage: noStorage }, c)).update(p, c);
      expect(await texts(hostPath)).toEqual(configMaps.get('ns/cfg')?.data);
      return await readlink(join(hostPath, '..data'));
    };
    expect(await afterNext()).toBe(first);
    const damages: readonly (() => Promise<void>)[] = [
      async () => setConfigMap('cfg', { a: '3', 'b/c': '2' }),
      async () => setConfigMap('cfg', { a: '3', 'b/c': '2', d: '' }),
      async () => setConfigMap('cfg', { a: '3', 'b/c': '2' }),
      () => writeFile(join(hostPath, 'a'), ''),
      () => chmod(join(hostPath, 'a'), 0o600),
      () => chmod(join(hostPath, '..data/b'), 0o700),
      () => chmod(hostPath, 0o700),
      () => rm(join(hostPath, 'a')),
      () => mkdir(join(hostPath, '..2020_01_01_00_00_00.half')),
    ];
    let last = first;
    for (const damage of damages) {
      await damage();
      const next = await afterNext();
      expect(next, String(damage)).not.toBe(last);
      expect((await stat(join(hostPath, 'a'))).mode & 0o777).toBe(0o644);
      expect((await readdir(hostPath)).length).toBe(configMaps.get('ns/cfg')?.data?.['d'] === undefined ? 4 : 5);
      last = next;
    }
    expect(await afterNext()).toBe(last);
  });
});

test('nobody but root gets at the files from outside of the containers, also where an older folder was open', async () => {
  await chmod(folder, 0o755);
  const { hostPath } = await volumes.prepare({ pod: pod({ name: 'v', emptyDir: {} }), volumeName: 'v' }, c);
  expect((await stat(hostPath)).mode & 0o777).toBe(0o777);
  await openVolumes({ kernel, folder, sources: noSources, storage: noStorage }, c);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
});

test('a write that fails, however often it is tried, leaves what was there and nothing else', async () => {
  setConfigMap('settings', { a: '1', b: '2' });
  const items = [
    { key: 'a', path: 'x' },
    { key: 'b', path: 'x/y' },
  ];
  const broken = pod({ name: 'v', configMap: { name: 'settings', items } });
  const whole = pod({ name: 'v', configMap: { name: 'settings' } });
  const { hostPath } = await volumes.prepare({ pod: whole, volumeName: 'v' }, c);
  const before = (await readdir(hostPath)).sort();
  for (let i = 0; i < 3; i++) await expect(volumes.prepare({ pod: broken, volumeName: 'v' }, c)).rejects.toThrow();
  expect((await readdir(hostPath)).sort()).toEqual(before);
});

describe('other volumes', () => {
  test('secret: in the tmpfs only', async () => {
    const data = { key: Buffer.from('s3cret').toString('base64') };
    secrets.set('ns/s', { apiVersion: 'v1', kind: 'Secret', metadata: { name: 's', namespace: 'ns' }, data });
    const p = pod({ name: 'v', secret: { secretName: 's', defaultMode: 0o400 } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(hostPath.startsWith(join(folder, 'memory'))).toBe(true);
    expect(kernel.mounted.get(join(folder, 'memory'))?.type).toBe('tmpfs');
    expect(await texts(hostPath)).toEqual({ key: 's3cret' });
    expect(volumes.uses(p, 'Secret', 's')).toBe(true);
    expect(volumes.uses(p, 'ConfigMap', 's')).toBe(false);
  });

  test('projected: all sources in one folder, the token renewed when 80 % of its life are over', async () => {
    setConfigMap('ca', { 'ca.crt': 'PEM' });
    const sources = [
      { serviceAccountToken: { path: 'token', expirationSeconds: 3600 } },
      { configMap: { name: 'ca' } },
      { downwardAPI: { items: [{ path: 'namespace', fieldRef: { fieldPath: 'metadata.namespace' } }] } },
    ];
    const p = pod({ name: 'v', projected: { sources, defaultMode: 0o644 } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(await texts(hostPath)).toEqual({ token: 'token-1', 'ca.crt': 'PEM', namespace: 'ns' });
    expect(volumes.nextUpdateAtMs(p)).toBe(clock.now() + 2_880_000);
    await volumes.update(p, c);
    expect(tokens).toBe(1);
    await clock.advance(2_880_000);
    await volumes.update(p, c);
    expect(await readFile(join(hostPath, 'token'), 'utf8')).toBe('token-2');
    const missing = pod({
      name: 'v',
      projected: { sources: [{ configMap: { name: 'x' } }, { secret: { name: 'y' } }] },
    });
    await expect(volumes.prepare({ pod: missing, volumeName: 'v' }, c)).rejects.toThrow(
      '[configmap "x" not found, secret "y" not found]',
    );
  });

  test('a token that cannot be renewed is used to its end; a new agent keeps the files it finds', async () => {
    const sources = [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }];
    const p = pod({ name: 'v', projected: { sources } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    isAway = true;
    await clock.advance(3_000_000);
    await volumes.update(p, c);
    expect(await texts(hostPath)).toEqual({ token: 'token-1' });
    const nextAgent = await openVolumes(
      { kernel, folder, sources: { ...noSources, serviceAccountToken: token }, storage: noStorage },
      c,
    );
    expect(nextAgent.nextUpdateAtMs(p)).toBe(0);
    expect((await nextAgent.prepare({ pod: p, volumeName: 'v' }, c)).hostPath).toBe(hostPath);
    expect(await texts(hostPath)).toEqual({ token: 'token-1' });
    isAway = false;
    await nextAgent.update(p, c);
    expect(await texts(hostPath)).toEqual({ token: 'token-2' });
    expect(nextAgent.nextUpdateAtMs(p)).toBe(clock.now() + 2_880_000);
    isAway = true;
    await volumes.cleanup('uid-1', c);
    await expect(volumes.prepare({ pod: p, volumeName: 'v' }, c)).rejects.toThrow('no session');
  });

  test('a token that ended is not used on, and one that is refused is told', async () => {
    const sources = [{ serviceAccountToken: { path: 'token', expirationSeconds: 3600 } }];
    const p = pod({ name: 'v', projected: { sources } });
    await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    refusal = new StatusError('Forbidden', 'no relationship found');
    await clock.advance(3_600_000);
    await expect(volumes.update(p, c)).rejects.toThrow('no relationship found');
  });

  test('cleanup waits for what is being written: nothing is left of the pod', async () => {
    const p = pod({ name: 'v', projected: { sources: [{ serviceAccountToken: { path: 'token' } }] } });
    let answer = (_token: { token: string; expiresAtMs: number }): void => undefined;
    const slow = new Promise<{ token: string; expiresAtMs: number }>((resolve) => {
      answer = resolve;
    });
    const own = await openVolumes(
      { kernel, folder, sources: { ...noSources, serviceAccountToken: () => slow }, storage: noStorage },
      c,
    );
    const written = own.prepare({ pod: p, volumeName: 'v' }, c);
    const cleaned = own.cleanup('uid-1', c);
    answer({ token: 't', expiresAtMs: clock.now() + 3_600_000 });
    await Promise.all([written, cleaned]);
    expect(await own.podsOnDisk(c)).toEqual([]);
    expect(own.nextUpdateAtMs(p)).toBe(0);
  });

  test('downwardAPI: labels quoted as Go does, resources by divisor, unset limits from the node', async () => {
    const items = [
      { path: 'labels', fieldRef: { fieldPath: 'metadata.labels' } },
      { path: 'one', fieldRef: { fieldPath: "metadata.annotations['note']" } },
      { path: 'cpu', resourceFieldRef: { containerName: 'main', resource: 'limits.cpu', divisor: '1m' } },
      { path: 'mem', resourceFieldRef: { containerName: 'main', resource: 'limits.memory', divisor: '1Mi' } },
    ];
    const p = pod({ name: 'v', downwardAPI: { items } });
    const { hostPath } = await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    expect(await texts(hostPath)).toEqual({
      labels: 'a="one"\nb="two \\"quoted\\"\\n"',
      one: 'n',
      cpu: '500',
      mem: '4096',
    });
  });

  test('emptyDir: 0777, kept by a second prepare; Memory is a tmpfs with the limit', async () => {
    const p = pod({ name: 'd', emptyDir: {} }, { name: 'm', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } });
    const disk = await volumes.prepare({ pod: p, volumeName: 'd' }, c);
    expect((await stat(disk.hostPath)).mode & 0o777).toBe(0o777);
    await writeFile(join(disk.hostPath, 'kept'), 'x');
    await chmod(disk.hostPath, 0o700);
    await volumes.prepare({ pod: p, volumeName: 'd' }, c);
    expect(await texts(disk.hostPath)).toEqual({ kept: 'x' });
    expect((await stat(disk.hostPath)).mode & 0o777).toBe(0o700);
    const memory = await volumes.prepare({ pod: p, volumeName: 'm' }, c);
    expect(kernel.mounted.get(memory.hostPath)).toEqual({ type: 'tmpfs', detail: { sizeBytes: 1048576, mode: 0o777 } });
  });

  test.each([
    ['Directory', 'file', 'is not a directory'],
    ['File', 'dir', 'is not a file'],
    ['File', 'none', 'is not a file'],
    ['Socket', 'file', 'is not a socket file'],
    ['CharDevice', 'file', 'is not a character device'],
    ['BlockDevice', 'file', 'is not a block device'],
    ['FileOrCreate', 'none/below', 'does not exist'],
    ['Wrong', 'file', 'is unknown'],
  ])('hostPath %s of %s: refused', async (type, name, message) => {
    await writeFile(join(folder, 'file'), '');
    await mkdir(join(folder, 'dir'));
    const p = pod({ name: 'v', hostPath: { path: join(folder, name), type } });
    await expect(volumes.prepare({ pod: p, volumeName: 'v' }, c)).rejects.toThrow(message);
  });

  test('hostPath …OrCreate makes what is missing', async () => {
    const at = (name: string): string => join(folder, name);
    const p = pod(
      { name: 'd', hostPath: { path: at('x/y'), type: 'DirectoryOrCreate' } },
      { name: 'f', hostPath: { path: at('x/y/f'), type: 'FileOrCreate' } },
      { name: 'c', hostPath: { path: '/dev/null', type: 'CharDevice' } },
    );
    for (const volumeName of ['d', 'f', 'c']) await volumes.prepare({ pod: p, volumeName }, c);
    expect((await stat(at('x/y/f'))).isFile()).toBe(true);
  });

  test('cleanup removes everything of the pod, podsOnDisk lists what is left; odd uids are refused', async () => {
    setConfigMap('cfg', { a: '1' });
    const p = pod({ name: 'v', configMap: { name: 'cfg' } }, { name: 'm', emptyDir: { medium: 'Memory' } });
    await volumes.prepare({ pod: p, volumeName: 'v' }, c);
    await volumes.prepare({ pod: p, volumeName: 'm' }, c);
    expect(await volumes.podsOnDisk(c)).toEqual(['uid-1']);
    await volumes.cleanup('uid-1', c);
    expect([...kernel.mounted.keys()]).toEqual([]);
    const removed = kernel.calls.filter((call) => call.name === 'removeTree').map((call) => call.args[0]);
    expect(removed).toEqual([join(folder, 'pods/uid-1'), join(folder, 'memory/uid-1')]);
    await expect(volumes.cleanup('../x', c)).rejects.toThrow('not a pod uid');
  });
});

describe('subPath', () => {
  const opened = async (path: string, canCreate = false): Promise<string> => {
    const handle = await openInside(join(folder, 'vol'), path, { canCreate });
    try {
      return await readlink(`/proc/self/fd/${handle.fd}`);
    } finally {
      await handle.close();
    }
  };

  beforeEach(async () => {
    await mkdir(join(folder, 'vol/dir'), { recursive: true });
    await writeFile(join(folder, 'vol/dir/file'), '');
    await symlink('dir/file', join(folder, 'vol/inside'));
    await symlink('/etc', join(folder, 'vol/outside'));
    await symlink('../../..', join(folder, 'vol/dir/up'));
  });

  test('opens files, folders and links that stay inside, and makes what is missing', async () => {
    expect(await opened('dir/file')).toBe(join(folder, 'vol/dir/file'));
    expect(await opened('inside')).toBe(join(folder, 'vol/dir/file'));
    await chmod(join(folder, 'vol'), 0o2770);
    expect(await opened('new/deep', true)).toBe(join(folder, 'vol/new/deep'));
    for (const made of ['vol/new', 'vol/new/deep']) expect((await stat(join(folder, made))).mode & 0o7777).toBe(0o2770);
  });

  test.each(['outside', 'outside/passwd', 'dir/up', '/etc', 'a/../../x', 'outside/made'])(
    'refuses %s',
    async (path) => {
      await expect(opened(path, true)).rejects.toMatchObject({ kind: 'Invalid' });
    },
  );

  test('a missing path of a read-only volume is an error', async () => {
    await expect(opened('none')).rejects.toThrow('does not exist');
  });
});
