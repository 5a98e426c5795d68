/** Volumes of a driver that is no more than a list of calls, on a real socket; the agent dies between any two of them. */
import { setMaxListeners } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, rmdir, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { attachmentName, type CSIDriver, type PersistentVolume, type PersistentVolumeClaim, type Pod } from '#lib/api';
import { type Ctx, expositionText, realClock, Scope, silentLogger } from '#lib/base';
import type { Kernel } from '../kernel/kernel.ts';
import { registrationService } from '../plugins/protocol.ts';
import { PluginRegistry } from '../plugins/registry.ts';
import { isOnSharedMount, pluginFolders } from '../plugins/root.ts';
import { teardownPluginRoot } from '../plugins/teardown.ts';
import type { CsiDriverReport } from '../session/session.ts';
import { CsiDrivers, nodeDriver } from './drivers.ts';
import { nodeService } from './protocol.ts';
import { capability, isGroupOurs, persistentVolume, refuseLifecycle } from './request.ts';
import { CsiStats } from './stats.ts';
import { CsiVolumes } from './volumes.ts';

const DRIVER = 'd.example';
const stop = new AbortController();
setMaxListeners(0, stop.signal);
const c: Ctx = { signal: stop.signal, clock: realClock, log: silentLogger };

let root: string;
let server: Server;
/** `Call path`, in the order they came. */
let calls: string[];
/** Calls that fail, with this code. */
let failing: Map<string, number>;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'bcsi-'));
  calls = [];
  failing = new Map();
  const folders = pluginFolders(root);
  for (const f of [folders.registry, join(folders.plugins, 'd'), folders.pods]) await mkdir(f, { recursive: true });
  server = await serve(nodeService(), join(folders.plugins, 'd/csi.sock'), async (call, request) => {
    const path = String(request['target_path'] || request['staging_target_path'] || '');
    calls.push(`${call} ${path.slice(root.length)}`.trim());
    const code = failing.get(call);
    if (code !== undefined) throw Object.assign(new Error('told so'), { code });
    if (call === 'NodeGetInfo') return { node_id: 'id' };
    if (call === 'NodeGetCapabilities')
      return { capabilities: ['STAGE_UNSTAGE_VOLUME', 'GET_VOLUME_STATS'].map((type) => ({ rpc: { type } })) };
    if (call === 'NodeGetVolumeStats')
      return {
        usage: [
          { unit: 'BYTES', total: 100, used: 40, available: 60 },
          { unit: 'INODES', total: 10, used: 1, available: 9 },
        ],
      };
    if (call === 'NodePublishVolume') await mkdir(String(request['target_path']), { recursive: true });
    if (call === 'NodeUnpublishVolume') await rmdir(String(request['target_path'])).catch(() => undefined);
    return {};
  });
});
afterEach(async () => {
  server.forceShutdown();
  await rm(root, { recursive: true, force: true });
});

type Handler = (call: string, request: Record<string, unknown>) => Promise<object>;

async function serve(service: object, socket: string, answer: Handler): Promise<Server> {
  const made = new Server();
  const handlers = Object.keys(service).map((name) => [
    name,
    (call: { request: Record<string, unknown> }, done: (e: unknown, reply?: object) => void) =>
      void answer(name, call.request).then(
        (r) => done(null, r),
        (e: unknown) => done(e),
      ),
  ]);
  made.addService(service as ServiceDefinition, Object.fromEntries(handlers));
  await new Promise<void>((resolve, reject) => {
    made.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (e) => (e === null ? resolve() : reject(e)));
  });
  return made;
}

const volume = {
  metadata: { name: 'pv' },
  spec: { accessModes: ['ReadWriteOnce'], csi: { driver: DRIVER, volumeHandle: 'h' } },
} as unknown as PersistentVolume;
const pod = (uid: string): Pod =>
  ({
    metadata: { name: uid, namespace: 'n', uid },
    spec: { volumes: [{ name: 'data', persistentVolumeClaim: { claimName: 'c' } }] },
  }) as unknown as Pod;

const CLAIM = {
  metadata: { name: 'c', namespace: 'n', uid: 'cu', annotations: { 'pv.kubernetes.io/bind-completed': 'yes' } },
  spec: { volumeName: 'pv' },
  status: { phase: 'Bound' },
} as unknown as PersistentVolumeClaim;
const BOUND = { ...volume, spec: { ...volume.spec, claimRef: { uid: 'cu' } } } as unknown as PersistentVolume;

interface Agent {
  readonly volumes: CsiVolumes;
  readonly drivers: CsiDrivers;
  readonly uses: string[][];
}

/** An agent's start on this disk, its driver registered. `attachRequired` false: no control plane has to attach. */
async function agent(
  o: {
    bootId?: string;
    attachRequired?: boolean;
    attached?: () => boolean;
    stored?: () => boolean;
    /** The claim `c` of namespace `n` is bound to the volume. */
    bound?: boolean;
  } = {},
): Promise<Agent> {
  const drivers = new CsiDrivers({ report: async () => undefined, onChange: () => volumes.changes.tell() });
  const uses: string[][] = [];
  const object = {
    metadata: { name: DRIVER },
    spec: { attachRequired: o.attachRequired ?? false, fsGroupPolicy: 'File' },
  } as unknown as CSIDriver;
  const name = attachmentName({ driver: DRIVER, volumeHandle: 'h' }, 'node');
  const volumes: CsiVolumes = new CsiVolumes({
    kernel: {
      ownTree: async (path) => {
        calls.push(`ownTree ${path.slice(root.length)}`);
        await chmod(path, 0o2770);
      },
    },
    folders: pluginFolders(root),
    drivers,
    nodeName: 'node',
    bootId: o.bootId ?? 'boot',
    sources: {
      claim: () => (o.bound === true ? CLAIM : undefined),
      persistentVolume: () => (o.bound === true ? BOUND : undefined),
      secret: () => undefined,
      serviceAccountToken: async () => ({ token: 't', expiresAtMs: 0 }),
      csiDriver: () => object,
      attachment: (n) =>
        n === name && o.attached?.() === true
          ? ({ metadata: { name }, status: { attached: true, attachmentMetadata: { a: 'b' } } } as never)
          : undefined,
      volumesInUse: () => (o.stored?.() === false ? [] : volumes.volumesInUse()),
    },
    onUse: () => uses.push([...volumes.volumesInUse()]),
  });
  await volumes.open(c);
  const endpoint = join(root, 'plugins/d/csi.sock');
  await drivers.register({ name: DRIVER, endpoint, versions: ['1.0.0'] }, c);
  calls.length = 0;
  return { volumes, drivers, uses };
}

const prepare = (a: Agent, uid: string) => a.volumes.prepare(pod(uid), 'data', persistentVolume(volume, false), c);
const STAGED = '/plugins/kubernetes.io/csi/d.example';
const targetOf = (uid: string): string => `/pods/${uid}/volumes/kubernetes.io~csi/pv/mount`;
const shown = (): string[] => calls.map((x) => x.replace(/\/[0-9a-f]{64}\//, '/H/'));

describe('volumes', () => {
  test('staged once for the node, published for each pod; unstaged with the last one; nothing is left', async () => {
    const a = await agent();
    await Promise.all([prepare(a, 'u1'), prepare(a, 'u2'), prepare(a, 'u1')]);
    expect(shown().filter((x) => x.startsWith('NodeStage'))).toEqual([`NodeStageVolume ${STAGED}/H/globalmount`]);
    expect(shown().slice(1).sort()).toEqual(['u1', 'u2'].map((u) => `NodePublishVolume ${targetOf(u)}`));
    calls.length = 0;
    await a.volumes.cleanup('u1', c);
    await a.volumes.cleanup('u2', c);
    expect(shown()).toEqual([
      `NodeUnpublishVolume ${targetOf('u1')}`,
      `NodeUnpublishVolume ${targetOf('u2')}`,
      `NodeUnstageVolume ${STAGED}/H/globalmount`,
    ]);
    expect(await readdir(join(root, 'pods'))).toEqual([]);
    expect(await readdir(join(root, STAGED))).toEqual([]);
    await a.volumes.cleanup('u1', c);
  });

  test('the next agent goes on where the last one died, and after a reboot begins anew', async () => {
    const first = await agent();
    failing.set('NodePublishVolume', 14);
    await expect(prepare(first, 'u1')).rejects.toThrow('rpc error: code = Unavailable desc = told so');
    failing.clear();
    const second = await agent();
    await prepare(second, 'u1');
    expect(shown()).toEqual([`NodePublishVolume ${targetOf('u1')}`]);
    await prepare(await agent(), 'u1');
    expect(calls).toEqual([]);
    await prepare(await agent({ bootId: 'another' }), 'u1');
    expect(shown().map((x) => x.split(' ')[0])).toEqual(['NodeStageVolume', 'NodePublishVolume']);
    const last = await agent({ bootId: 'another' });
    await last.volumes.cleanup('u1', c);
    expect(shown().map((x) => x.split(' ')[0])).toEqual(['NodeUnpublishVolume', 'NodeUnstageVolume']);
  });

  test('what was staged and never published is unpublished by nobody, and unstaged by the next agent', async () => {
    failing.set('NodeStageVolume', 4);
    await expect(prepare(await agent(), 'u1')).rejects.toThrow('DeadlineExceeded');
    failing.clear();
    const next = await agent();
    await next.volumes.cleanup('u1', c);
    expect(shown()).toEqual([`NodeUnstageVolume ${STAGED}/H/globalmount`]);
    expect(await readdir(join(root, STAGED))).toEqual([]);
  });

  test('left between the last unpublish and the unstage: removed once the pods are known', async () => {
    const a = await agent();
    await prepare(a, 'u1');
    failing.set('NodeUnstageVolume', 13);
    await expect(a.volumes.cleanup('u1', c)).rejects.toThrow('told so');
    failing.clear();
    const next = await agent({ attachRequired: true });
    await next.volumes.removeUnused(c);
    expect(shown()).toEqual([`NodeUnstageVolume ${STAGED}/H/globalmount`]);
    expect(await readdir(join(root, STAGED))).toEqual([]);
  });

  test('nothing is asked before it is attached and the control plane knows of the use; from then until it is unstaged the node says that it uses it', async () => {
    let [isAttached, isStored] = [false, false];
    const a = await agent({ attachRequired: true, attached: () => isAttached, stored: () => isStored });
    const done = prepare(a, 'u1');
    await expect.poll(() => a.uses).toEqual([['kubernetes.io/csi/d.example^h']]);
    expect(calls).toEqual([]);
    const again = await agent({ attachRequired: true });
    expect(again.volumes.volumesInUse()).toEqual(['kubernetes.io/csi/d.example^h']);
    isAttached = true;
    a.volumes.changes.tell();
    await realClock.sleep(50);
    expect(calls).toEqual([]);
    isStored = true;
    a.volumes.changes.tell();
    await done;
    expect(calls).toHaveLength(2);
    await a.volumes.cleanup('u1', c);
    expect(a.uses.at(-1)).toEqual([]);
  });

  test('how full a claim’s volume is, in the kubelet’s metrics; a driver that does not say hides no other', async () => {
    await using scope = new Scope('test');
    const a = await agent();
    await prepare(a, 'u1');
    const stats = new CsiStats(a.volumes, scope, c);
    const shownNow = (): string[] =>
      expositionText(stats.metrics())
        .split('\n')
        .filter((l) => !l.startsWith('#') && l !== '');
    expect(shownNow()).toEqual([]);
    const labels = '{namespace="n",persistentvolumeclaim="c"}';
    await expect
      .poll(shownNow)
      .toEqual([
        `kubelet_volume_stats_available_bytes${labels} 60`,
        `kubelet_volume_stats_capacity_bytes${labels} 100`,
        `kubelet_volume_stats_used_bytes${labels} 40`,
        `kubelet_volume_stats_inodes${labels} 10`,
        `kubelet_volume_stats_inodes_free${labels} 9`,
        `kubelet_volume_stats_inodes_used${labels} 1`,
      ]);
    expect(calls.filter((x) => x.startsWith('NodeGetVolumeStats'))).toHaveLength(1);
    failing.set('NodeGetVolumeStats', 13);
    const others = new CsiStats(a.volumes, scope, c);
    expect([...others.metrics()].flatMap((f) => [...f.samples])).toEqual([]);
    await expect.poll(() => calls.filter((x) => x.startsWith('NodeGetVolumeStats')).length).toBe(2);
    expect([...others.metrics()].flatMap((f) => [...f.samples])).toEqual([]);
  });

  test('a kubelet’s pods and volumes below the same root are nobody’s here: neither swept, nor unstaged, nor removed with the node', async () => {
    const foreign = { driverName: DRIVER, volumeHandle: 'theirs', specVolID: 'pv', volumeLifecycleMode: 'Persistent' };
    const theirs = [
      join(root, 'pods/theirs/volumes/kubernetes.io~csi/pv/vol_data.json'),
      join(root, STAGED, 'ab'.repeat(32), 'vol_data.json'),
      join(root, 'pods/theirs/volumes/kubernetes.io~empty-dir/cache/data'),
    ];
    for (const path of theirs) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, JSON.stringify(foreign));
    }
    const a = await agent();
    await prepare(a, 'u1');
    expect(await a.volumes.records.pods()).toEqual(['u1']);
    calls.length = 0;
    await (await agent()).volumes.removeUnused(c);
    expect(calls).toEqual([]);
    const home = await mkdtemp(join(tmpdir(), 'bcsi-home-'));
    await writeFile(join(home, 'plugin-root'), root);
    const kernel = {
      mounts: { below: async () => [] } as unknown as Kernel['mounts'],
      removeTree: (path: string) => rm(path, { recursive: true }),
    };
    await teardownPluginRoot({ kernel, home }, c);
    await rm(home, { recursive: true });
    expect(await readdir(join(root, 'pods'))).toEqual(['theirs']);
    expect(await readdir(join(root, STAGED))).toEqual(['ab'.repeat(32)]);
    for (const path of theirs) expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(foreign);
  });

  test('a mount point that the driver leaves full is not removed, and says so', async () => {
    const a = await agent();
    const { hostPath } = await prepare(a, 'u1');
    await writeFile(join(hostPath, 'data'), 'x');
    await expect(a.volumes.cleanup('u1', c)).rejects.toThrow('is still mounted or not empty');
    expect(await readFile(join(hostPath, 'data'), 'utf8')).toBe('x');
    await rm(join(hostPath, 'data'));
    await a.volumes.cleanup('u1', c);
    expect(await readdir(join(root, 'pods'))).toEqual([]);
  });
});

describe('what a driver is asked', () => {
  const v = persistentVolume(volume, false);
  const driver = (spec: object) => ({ metadata: { name: DRIVER }, spec }) as unknown as CSIDriver;

  test.each([
    ['ReadWriteOnce', [], 'SINGLE_NODE_WRITER'],
    ['ReadWriteOncePod', [], 'SINGLE_NODE_WRITER'],
    ['ReadWriteOnce', ['SINGLE_NODE_MULTI_WRITER'], 'SINGLE_NODE_MULTI_WRITER'],
    ['ReadWriteOncePod', ['SINGLE_NODE_MULTI_WRITER'], 'SINGLE_NODE_SINGLE_WRITER'],
    ['ReadWriteMany', [], 'MULTI_NODE_MULTI_WRITER'],
    ['ReadOnlyMany', [], 'MULTI_NODE_READER_ONLY'],
  ])('%s of a driver that can %j is %s', (mode, can, said) => {
    expect(capability({ ...v, accessModes: [mode] }, new Set(can), undefined).access_mode.mode).toBe(said);
  });

  test.each([
    [{ fsGroupPolicy: 'None' }, { fsType: 'ext4' }, [], false],
    [{ fsGroupPolicy: 'File' }, {}, [], true],
    [{ fsGroupPolicy: 'File' }, {}, ['VOLUME_MOUNT_GROUP'], false],
    [{ fsGroupPolicy: 'File' }, { readOnly: true }, [], false],
    [{}, {}, [], false],
    [{}, { fsType: 'ext4' }, [], true],
    [{}, { fsType: 'ext4', accessModes: ['ReadWriteMany'] }, [], false],
  ])('policy %j, volume %j, driver can %j: the group is ours to set: %s', (spec, more, can, is) => {
    expect(isGroupOurs({ ...v, ...more }, driver(spec), new Set(can))).toBe(is);
  });

  test('the group of a pod gets a volume each time, with OnRootMismatch only when its root is not the group’s', async () => {
    const fsGroup = process.getgid?.() ?? 0;
    const prepareAs = async (a: Agent, uid: string, fsGroupChangePolicy?: string): Promise<string[]> => {
      const own = pod(uid);
      const asked = { ...own, spec: { ...own.spec, securityContext: { fsGroup, fsGroupChangePolicy } } } as Pod;
      calls.length = 0;
      await a.volumes.prepare(asked, 'data', persistentVolume(volume, false), c);
      return calls.filter((x) => x.startsWith('ownTree'));
    };
    const owned = [`ownTree ${targetOf('u1')}`];
    expect(await prepareAs(await agent(), 'u1', 'OnRootMismatch')).toEqual(owned);
    expect(await prepareAs(await agent({ bootId: 'b2' }), 'u1', 'OnRootMismatch')).toEqual([]);
    expect(await prepareAs(await agent({ bootId: 'b3' }), 'u1')).toEqual(owned);
  });

  test('nothing for a raw device: to mount it would make a file system over its data', () => {
    const raw = { ...volume, spec: { ...volume.spec, volumeMode: 'Block' } } as unknown as PersistentVolume;
    expect(() => persistentVolume(raw, false)).toThrow('volume pv has volumeMode Block, which is not supported');
  });

  test('nothing for a file system that a container takes for a device', async () => {
    const a = await agent({ bound: true });
    const [data] = pod('u1').spec?.volumes ?? [];
    if (data === undefined) throw new Error('the pod has its volume');
    expect(a.volumes.volumeOf(pod('u1'), data)?.handle).toBe('h');
    const containers = [{ name: 'm', volumeDevices: [{ name: 'data', devicePath: '/dev/x' }] }];
    const wrong = { ...pod('u1'), spec: { ...pod('u1').spec, containers } } as unknown as Pod;
    expect(() => a.volumes.volumeOf(wrong, data)).toThrow(
      'volume data has volumeMode Filesystem, but is specified in volumeDevices',
    );
  });

  test('a volume of the pod’s own needs a driver that allows it', () => {
    const own = { ...v, lifecycle: 'Ephemeral' as const };
    expect(() => refuseLifecycle(own, undefined)).toThrow(
      'volume mode "Ephemeral" not supported by driver d.example (no CSIDriver object)',
    );
    expect(() => refuseLifecycle(own, driver({}))).toThrow('(only supports ["Persistent"])');
    refuseLifecycle(own, driver({ volumeLifecycleModes: ['Ephemeral'] }));
    expect(() => refuseLifecycle(v, driver({ volumeLifecycleModes: ['Ephemeral'] }))).toThrow('not supported');
  });

  test('what a driver says of the node has limits', () => {
    expect(() => nodeDriver('d', { node_id: '', max_volumes_per_node: 0 })).toThrow('node_id of 0 bytes');
    expect(() => nodeDriver('d', { node_id: 'x'.repeat(257), max_volumes_per_node: 0 })).toThrow('257');
    expect(nodeDriver('d', { node_id: 'x', max_volumes_per_node: 2 ** 40 }).allocatable).toEqual({
      count: 2 ** 31 - 1,
    });
  });
});

describe('registration', () => {
  /** What the plugin at the socket `name` answers, and what it is told. */
  async function announce(name: string, info: object): Promise<{ told: object[]; server: Server }> {
    const told: object[] = [];
    const made = await serve(registrationService(), join(root, 'plugins_registry', name), async (call, request) => {
      if (call === 'GetInfo') return { type: 'CSIPlugin', name: DRIVER, supported_versions: ['1.0.0'], ...info };
      told.push(request);
      return {};
    });
    return { told, server: made };
  }

  async function withRegistry(fn: (reports: CsiDriverReport[], drivers: CsiDrivers) => Promise<void>): Promise<void> {
    const own = new AbortController();
    const ctx = { ...c, signal: own.signal };
    const reports: CsiDriverReport[] = [];
    const drivers = new CsiDrivers({ report: async (r) => void reports.push(r), onChange: () => undefined });
    const handlers = { CSIPlugin: drivers };
    const registry = new PluginRegistry({ root, folder: join(root, 'plugins_registry'), handlers });
    const runs = [registry.run(ctx), drivers.run(ctx)].map((r) => r.catch(() => undefined));
    try {
      await fn(reports, drivers);
    } finally {
      own.abort();
      await Promise.all(runs);
      drivers[Symbol.dispose]();
    }
  }

  test('a plugin comes, is told so, and goes; one of another kind, version or place is told why not', async () => {
    await symlink('/etc', join(root, 'plugins/out'));
    await writeFile(join(root, 'plugins_registry/no-socket'), '');
    await withRegistry(async (reports, drivers) => {
      const endpoint = join(root, 'plugins/d/csi.sock');
      const good = await announce('good.sock', { endpoint });
      await expect.poll(() => good.told).toEqual([{ plugin_registered: true, error: '' }]);
      await expect
        .poll(() => reports.map((r) => [r.name, r.driver?.nodeID]))
        .toEqual([
          ['', undefined],
          [DRIVER, 'id'],
        ]);
      drivers.connected();
      await expect.poll(() => reports.slice(2).map((r) => r.name)).toEqual(['', DRIVER]);
      const wrong = [
        await announce('type.sock', { type: 'Other' }),
        await announce('version.sock', { endpoint, supported_versions: ['0.3.0'] }),
        await announce('name.sock', { endpoint, name: '../../x' }),
        await announce('outside.sock', { endpoint: '/run/docker.sock' }),
        await announce('link.sock', { endpoint: join(root, 'plugins/out/passwd') }),
        await announce('folder.sock', { endpoint: join(root, 'plugins/d') }),
      ];
      const why = [
        'no handler registered for plugin type: Other',
        'supports none of the versions',
        'its name is not of letters',
        'is not below',
        'is not below',
        'is not a socket',
      ];
      for (const [i, plugin] of wrong.entries())
        await expect
          .poll(() => plugin.told)
          .toEqual([{ plugin_registered: false, error: expect.stringContaining(why[i] ?? '') }]);
      await rm(join(root, 'plugins_registry/good.sock'), { force: true });
      await expect.poll(() => reports.at(-1)).toEqual({ name: DRIVER, driver: undefined, topology: {} });
      expect(drivers.has(DRIVER)).toBe(false);
      for (const plugin of [good, ...wrong]) plugin.server.forceShutdown();
    });
  });
});

test('isOnSharedMount: the innermost mount counts, and of one place the last', () => {
  const line = (point: string, tag: string): string => `1 2 0:1 / ${point} rw ${tag}- ext4 /dev/x rw`;
  const table = [
    line('/', 'shared:1 '),
    line('/var', ''),
    line('/var/lib/k', 'shared:2 '),
    line('/a', 'shared:3 '),
    line('/a', ''),
  ].join('\n');
  expect(['/x', '/var/x', '/var/lib/k/y', '/var/lib/kk', '/a'].map((p) => isOnSharedMount(table, p))).toEqual([
    true,
    false,
    true,
    false,
    false,
  ]);
});
