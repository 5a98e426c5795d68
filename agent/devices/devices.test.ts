/** Device plugins on real sockets: what a node has of them, what a container gets, and what is remembered. */
import { setMaxListeners } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server, ServerCredentials, type ServerWritableStream, type ServiceDefinition } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Ctx, realClock, silentLogger } from '#lib/base';
import { type Method, PluginClient } from '../plugins/client.ts';
import { servePlugins } from '../plugins/server.ts';
import { fakePod } from '../pods/fake-node.ts';
import type { PodObject } from '../pods/model.ts';
import { containerDevices } from './container-devices.ts';
import { DeviceManager } from './manager.ts';
import { podResourcesAnswers, podResourcesService } from './pod-resources.ts';
import { type ContainerAllocation, type Device, deviceServices } from './protocol.ts';

const RESOURCE = 'example.com/zero';
const stop = new AbortController();
setMaxListeners(0, stop.signal);
const c: Ctx = { signal: stop.signal, clock: realClock, log: silentLogger };
const services = deviceServices();

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bdev-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

interface FakePlugin {
  readonly calls: string[];
  say(devices: readonly Partial<Device>[]): void;
  end(): void;
}

const healthy = (...ids: string[]): Partial<Device>[] => ids.map((ID) => ({ ID, health: 'Healthy' }));

/** A plugin at the socket `name`; it is not registered yet. */
async function plugin(name: string, first: readonly Partial<Device>[], preferred: string[] = []): Promise<FakePlugin> {
  const calls: string[] = [];
  const streams = new Set<ServerWritableStream<object, object>>();
  const server = new Server();
  type Unary = (call: { request: Record<string, unknown> }, done: (e: unknown, r?: object) => void) => void;
  const answer =
    (name: string, reply: (request: Record<string, unknown>) => object): Unary =>
    ({ request }, done) => {
      calls.push(`${name} ${JSON.stringify(request)}`);
      done(null, reply(request));
    };
  server.addService(services['v1beta1.DevicePlugin'] as unknown as ServiceDefinition, {
    ListAndWatch: (call: ServerWritableStream<object, object>) => {
      streams.add(call);
      call.write({ devices: first });
    },
    Allocate: answer('Allocate', (r) => {
      const [asked] = r['container_requests'] as { devices_ids: string[] }[];
      return { container_responses: [{ envs: { ZERO: asked?.devices_ids.join(',') } }] };
    }) as never,
    GetPreferredAllocation: answer('GetPreferredAllocation', () => ({
      container_responses: [{ deviceIDs: preferred }],
    })) as never,
    PreStartContainer: answer('PreStartContainer', () => ({})) as never,
  });
  await new Promise<void>((resolve) => {
    server.bindAsync(`unix:${join(folder, name)}`, ServerCredentials.createInsecure(), () => resolve());
  });
  return {
    calls,
    say: (devices) => {
      for (const s of streams) s.write({ devices });
    },
    end: () => server.forceShutdown(),
  };
}

/** As a plugin does it. */
async function register(request: object): Promise<void> {
  using client = new PluginClient(join(folder, 'kubelet.sock'));
  const { Register } = services['v1beta1.Registration'] as { Register: Parameters<PluginClient['call']>[0] };
  await client.call(Register, { version: 'v1beta1', resource_name: RESOURCE, ...request }, 5_000, c);
}

async function withManager(fn: (m: DeviceManager, changes: () => number) => Promise<void>): Promise<void> {
  const own = new AbortController();
  let changes = 0;
  const path = join(folder, 'devices.json');
  const manager = await DeviceManager.open({ folder, path, onChange: () => void changes++ }, c);
  const running = manager.run({ ...c, signal: own.signal });
  try {
    await expect.poll(() => register({ version: 'v0' }).catch((e: unknown) => String(e))).toContain('not supported');
    await fn(manager, () => changes);
  } finally {
    own.abort();
    await running;
  }
}

function asking(uid: string, count: number, more: object = {}): PodObject {
  const limits = { [RESOURCE]: String(count) };
  return fakePod({ containers: [{ name: 'a', image: 'i', resources: { limits } }], ...more }, { uid });
}

const status = (m: DeviceManager) => {
  const { capacity, allocatable } = m.status(realClock.now());
  return `${allocatable[RESOURCE] ?? '-'} of ${capacity[RESOURCE] ?? '-'}`;
};

describe('registration', () => {
  test('devices come, get sick, and go with their plugin; the node says so at once', async () => {
    await withManager(async (m, changes) => {
      const p = await plugin('p.sock', healthy('a', 'b'));
      expect(status(m)).toBe('- of -');
      await register({ endpoint: 'p.sock' });
      await expect.poll(() => status(m)).toBe('2 of 2');
      expect(changes()).toBe(1);
      p.say([...healthy('a'), { ID: 'b', health: 'Unhealthy' }]);
      await expect.poll(() => status(m)).toBe('1 of 2');
      p.end();
      await expect.poll(() => status(m)).toBe('0 of 2');
      expect(m.status(realClock.now() + 300_001).capacity).toEqual({});
    });
  });

  test('a plugin that says something all the time is heard at its pace no more; what it said last counts', async () => {
    await withManager(async (m, changes) => {
      const p = await plugin('p.sock', healthy('a', 'b'));
      await register({ endpoint: 'p.sock' });
      await expect.poll(() => status(m)).toBe('2 of 2');
      for (let i = 0; i < 50; i++) p.say(i % 2 === 0 ? healthy('a') : healthy('a', 'b', 'c'));
      await realClock.sleep(500);
      expect(changes()).toBeLessThanOrEqual(41);
      await expect.poll(changes, { timeout: 10_000 }).toBe(51);
      expect(status(m)).toBe('3 of 3');
      p.end();
    });
  });

  test.each([
    [{ endpoint: '../p.sock' }, 'is not the name of a socket'],
    [{ endpoint: 'kubelet.sock' }, 'is not the name of a socket'],
    [{ endpoint: 'none.sock' }, 'no such socket'],
    [{ endpoint: 'file' }, 'is not a socket'],
    [{ endpoint: 'p.sock', resource_name: 'cpu' }, 'the ResourceName "cpu" is invalid'],
    [{ endpoint: 'p.sock', resource_name: 'x.kubernetes.io/y' }, 'is invalid'],
  ])('%j is refused', async (request, why) => {
    await writeFile(join(folder, 'file'), '');
    await withManager(async () => {
      await plugin('p.sock', []).then((p) => p.end());
      await expect(register(request)).rejects.toThrow(why);
    });
  });
});

describe('allocation', () => {
  test('a container has its devices for itself, over an agent’s death too, until its pod ends', async () => {
    await withManager(async (m) => {
      const p = await plugin('p.sock', healthy('a', 'b', 'c'), ['c']);
      const options = { pre_start_required: true, get_preferred_allocation_available: true };
      await register({ endpoint: 'p.sock', options });
      expect(await m.allocate(asking('u1', 2), c)).toBeUndefined();
      expect((await m.given('u1', 'a', c)).map((g) => g.envs)).toEqual([{ ZERO: 'c,a' }]);
      expect(p.calls.at(-1)).toBe('PreStartContainer {"devices_ids":["c","a"]}');
      const asked = p.calls.filter((x) => x.startsWith('Allocate')).length;
      expect(await m.allocate(asking('u1', 2), c)).toBeUndefined();
      expect(p.calls.filter((x) => x.startsWith('Allocate'))).toHaveLength(asked);
      expect(await m.allocate(asking('u2', 2), c)).toEqual({
        reason: 'UnexpectedAdmissionError',
        message:
          'Allocate failed due to requested number of devices unavailable for example.com/zero. Requested: 2, Available: 1, which is unexpected',
      });
      p.end();
    });
    await withManager(async (m) => {
      expect((await m.given('u1', 'a', c)).map((g) => g.envs)).toEqual([{ ZERO: 'c,a' }]);
      await plugin('p.sock', healthy('a', 'b', 'c'));
      const waiting = m.allocate(asking('u3', 1), c);
      await register({ endpoint: 'p.sock' });
      expect(await waiting).toBeUndefined();
      expect((await m.given('u3', 'a', c))[0]?.envs).toEqual({ ZERO: 'b' });
      m.retain(new Set(['u3']));
      expect(await m.allocate(asking('u4', 2), c)).toBeUndefined();
    });
    expect(Object.keys(JSON.parse(await readFile(join(folder, 'devices.json'), 'utf8')).pods)).toEqual(['u3', 'u4']);
  });

  test('what an init container had, an app of its pod gets; a sidecar keeps its own', async () => {
    await withManager(async (m) => {
      await plugin('p.sock', healthy('a', 'b'));
      await register({ endpoint: 'p.sock' });
      await expect.poll(() => status(m)).toBe('2 of 2');
      const limits = { [RESOURCE]: '1' };
      const one = (name: string, more: object = {}) => ({ name, image: 'i', resources: { limits }, ...more });
      const initContainers = [one('init'), one('sidecar', { restartPolicy: 'Always' })];
      expect(await m.allocate(fakePod({ initContainers, containers: [one('app')] }, { uid: 'u' }), c)).toBeUndefined();
      const of = async (name: string): Promise<string | undefined> => (await m.given('u', name, c))[0]?.envs['ZERO'];
      expect(await Promise.all(['init', 'sidecar', 'app'].map(of))).toEqual(['a', 'a', 'b']);
    });
  });
});

test('pod-resources: which pod has which devices and CPUs', async () => {
  await withManager(async (m) => {
    const topology = { nodes: [{ ID: 1 }] };
    await plugin('p.sock', [{ ID: 'a', health: 'Healthy', topology }, ...healthy('b')]);
    await register({ endpoint: 'p.sock' });
    await expect.poll(() => status(m)).toBe('2 of 2');
    const own = asking('u', 1);
    await m.allocate(own, c);
    const answers = podResourcesAnswers({
      pods: () => [own],
      devicesOf: (uid, container) => m.devicesOf(uid, container),
      allocatableDevices: () => m.allocatableDevices(),
      cpusOf: () => [3],
      allocatableCpus: () => [2, 3],
    });
    const socket = join(folder, 'r.sock');
    const service = podResourcesService();
    await using _ = await servePlugins({ socket, service, answers }, c);
    using client = new PluginClient(socket);
    const ask = (call: string, request: object): Promise<object> =>
      client.call(
        (service as Record<string, Method<object, object>>)[call] as Method<object, object>,
        request,
        5_000,
        c,
      );
    const a = { resource_name: RESOURCE, device_ids: ['a'], topology };
    const containers = [{ name: 'a', devices: [a], cpu_ids: [3] }];
    const shown = { name: 'p', namespace: 'n', containers };
    expect(await ask('List', {})).toEqual({ pod_resources: [shown] });
    expect(await ask('Get', { pod_name: 'p', pod_namespace: 'n' })).toEqual({ pod_resources: shown });
    await expect(ask('Get', { pod_name: 'x', pod_namespace: 'n' })).rejects.toThrow('pod x in namespace n not found');
    expect(await ask('GetAllocatableResources', {})).toEqual({
      devices: [a, { resource_name: RESOURCE, device_ids: ['b'], topology: null }],
      cpu_ids: [2, 3],
    });
  });
});

describe('what a container gets', () => {
  const given = (more: Partial<ContainerAllocation>): ContainerAllocation[] => [
    { envs: {}, mounts: [], devices: [], annotations: {}, cdi_devices: [], ...more },
  ];

  test('a device by its number, with a rule of the cgroup; mounts, variables, annotations', async () => {
    const device = { host_path: '/dev/zero', container_path: '/dev/nought', permissions: 'r' };
    const made = await containerDevices(
      given({
        envs: { A: '1' },
        annotations: { x: 'y' },
        devices: [device],
        mounts: [{ host_path: '/usr/lib/x', container_path: '/lib/x', read_only: true }],
      }),
    );
    expect(made.devices).toMatchObject([{ path: '/dev/nought', type: 'c', major: 1, minor: 5 }]);
    expect(made.rules).toEqual([{ allow: true, type: 'c', major: 1, minor: 5, access: 'r' }]);
    expect(made.binds).toEqual([{ source: '/usr/lib/x', target: '/lib/x', readOnly: true, propagation: 'rprivate' }]);
    expect([...made.environment, ...Object.entries(made.annotations)]).toEqual([
      ['A', '1'],
      ['x', 'y'],
    ]);
  });

  test.each([
    [{ devices: [{ host_path: '/etc/passwd', container_path: '/dev/x', permissions: 'rw' }] }, 'is not a device'],
    [{ devices: [{ host_path: '/dev/none', container_path: '/dev/x', permissions: 'rw' }] }, 'does not exist'],
    [{ devices: [{ host_path: '/dev/zero', container_path: '/dev/x', permissions: 'rwx' }] }, 'permissions "rwx"'],
    [{ devices: [{ host_path: '/dev/zero', container_path: '../x', permissions: '' }] }, 'is not absolute'],
    [{ mounts: [{ host_path: '/a/../b', container_path: '/x', read_only: false }] }, 'is not absolute'],
    [
      { cdi_devices: [{ name: 'v.com/c=none' }, { name: 'nonsense' }] },
      'unresolvable CDI devices v.com/c=none, nonsense',
    ],
  ])('%j is refused', async (more, why) => {
    await expect(containerDevices(given(more), [folder])).rejects.toThrow(why);
  });

  test('a CDI device: what its file says, and what the file says for all of its devices, once; the later folder counts', async () => {
    const [etc, run] = [join(folder, 'etc'), join(folder, 'run')];
    await Promise.all([etc, run].map((f) => mkdir(f)));
    const hook = { hookName: 'createContainer', path: '/usr/bin/hook', args: ['hook', 'x'], timeout: 5 };
    const spec = (variable: string) => ({
      cdiVersion: '0.6.0',
      kind: 'v.com/c',
      containerEdits: { env: [variable], hooks: [hook] },
      devices: [
        {
          name: 'x',
          containerEdits: { deviceNodes: [{ path: '/dev/x', hostPath: '/dev/zero' }], additionalGids: [44] },
        },
        { name: 'y', containerEdits: { mounts: [{ hostPath: '/a', containerPath: '/b', options: ['ro', 'nosuid'] }] } },
      ],
    });
    await writeFile(join(etc, 'v.json'), JSON.stringify(spec('OF=etc')));
    await writeFile(join(run, 'v.yaml'), JSON.stringify(spec('OF=run')));
    await writeFile(join(run, 'bad.yaml'), 'kind: [');
    await writeFile(join(run, 'other.json'), '{"kind": "v.com/c", "devices": "x"}');
    const cdi_devices = ['v.com/c=x', 'v.com/c=y', 'v.com/c=x'].map((name) => ({ name }));
    const made = await containerDevices(given({ cdi_devices }), [etc, run]);
    expect(made.devices).toMatchObject([{ path: '/dev/x', major: 1, minor: 5 }]);
    expect(made.rules).toEqual([{ allow: true, type: 'c', major: 1, minor: 5, access: 'rwm' }]);
    expect(made.binds).toEqual([{ source: '/a', target: '/b', readOnly: true, propagation: 'rprivate' }]);
    expect([...made.environment]).toEqual([['OF', 'run']]);
    expect(made.groups).toEqual([44]);
    expect(made.hooks).toEqual({ createContainer: [{ path: '/usr/bin/hook', args: ['hook', 'x'], timeout: 5 }] });
  });
});
