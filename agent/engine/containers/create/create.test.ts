/** What a create asks for: decoded, filled in, merged with the image, checked. */
import { describe, expect, test } from 'vitest';
import type { ContainerConfig, HostConfig, ImageDocumentConfig } from '../../types.ts';
import { createBodyOf, EMPTY_CONFIG, hostConfigOf } from './decode.ts';
import { endpointsOf, filledHostConfig, mergedConfig, programOf } from './defaults.ts';
import { anonymousMount, inherited, volumesFromOf, wantedMounts } from './mounts.ts';
import { validate } from './validate.ts';
import type { MachineFacts } from './validate-resources.ts';

const MACHINE: MachineFacts = {
  ...{ cpus: 4, cgroupVersion: 'v1', hasSwap: true, hasBlockWeight: true, canRaiseLimits: false },
  hardLimits: new Map([['RLIMIT_NOFILE', 1024]]),
};
const DEFAULTS = { cgroupVersion: 'v1', version: 51, containerId: () => undefined } as const;
const hostConfig = (h: Partial<HostConfig>): HostConfig => filledHostConfig({ NetworkMode: 'none', ...h }, DEFAULTS);
const config = (c: Partial<ContainerConfig>): ContainerConfig => ({ ...EMPTY_CONFIG, ...c });

describe('decoding', () => {
  test('null and absent are the same, texts are commands, unknown keys are left out', () => {
    const body = createBodyOf({
      ...{ Image: 'x', Cmd: 'ls -l', Env: null, Nonsense: 1, HostConfig: { Memory: null, CapAdd: 'ALL', Odd: {} } },
      NetworkingConfig: { EndpointsConfig: { a: null, b: { Aliases: ['x'] } } },
    });
    expect(body.config).toEqual(config({ Image: 'x', Cmd: ['ls -l'] }));
    expect(body.hostConfig).toEqual({ NetworkMode: '', CapAdd: ['ALL'] });
    expect(body.endpoints).toEqual({ a: {}, b: { Aliases: ['x'] } });
  });

  test.each([
    [{ Env: 'x=y', Cmd: [1] }, 'Env must be a list'],
    [{ Cmd: [1] }, 'Cmd[0] must be a string'],
    [{ Tty: 'yes' }, 'Tty must be true or false'],
    [{ Hostname: 'a\0b' }, 'Hostname must be a string without NUL'],
    [{ HostConfig: { RestartPolicy: { Name: 'sometimes' } } }, 'RestartPolicy.Name must be one of no, always'],
    [{ HostConfig: { Mounts: [{ Type: 'npipe', Target: '/x' }] } }, 'Mounts[0].Type must be one of'],
    [{ HostConfig: { Memory: 1.5 } }, 'HostConfig.Memory must be a whole number'],
    [{ HostConfig: [] }, 'HostConfig must be an object'],
  ])('%j: %s', (body, why) => {
    expect(() => createBodyOf(body)).toThrow(why);
  });

  test('what a record holds comes back as it was', () => {
    const h = hostConfig({ Memory: 64 << 20, Binds: ['/a:/b'], PortBindings: { '80/tcp': null }, Init: true });
    expect(hostConfigOf(structuredClone(h), '')).toEqual({ ...h, OomKillDisable: false });
  });
});

describe('user over image', () => {
  const IMAGE: ImageDocumentConfig = {
    ...{ User: 'app', Env: ['PATH=/bin', 'A=image'], Entrypoint: ['/entry'], Cmd: ['default'], WorkingDir: '/srv' },
    ...{ Labels: { a: 'image', b: 'image' }, StopSignal: 'SIGQUIT', Shell: ['/bin/ash', '-c'] },
    ...{ Volumes: { '/data': {} }, ExposedPorts: { '80/tcp': {} } },
    Healthcheck: { Test: ['CMD', 'ok'], Interval: 5e9, Retries: 4 },
  };

  test('fields that the user left out are the image’s; maps are merged', () => {
    const merged = mergedConfig(
      config({ Env: ['A=own'], Labels: { a: 'own' }, ExposedPorts: { '81/tcp': {} }, Healthcheck: { Retries: 9 } }),
      IMAGE,
    );
    expect(merged).toMatchObject({
      ...{ User: 'app', Env: ['A=own', 'PATH=/bin'], Labels: { a: 'own', b: 'image' }, WorkingDir: '/srv' },
      ...{ StopSignal: 'SIGQUIT', Shell: ['/bin/ash', '-c'], Volumes: { '/data': {} } },
      ExposedPorts: { '80/tcp': {}, '81/tcp': {} },
      Healthcheck: { Test: ['CMD', 'ok'], Interval: 5e9, Retries: 9 },
    });
  });

  test.each<[Partial<ContainerConfig>, string[]]>([
    [{}, ['/entry', 'default']],
    [{ Cmd: ['own'] }, ['/entry', 'own']],
    [{ Entrypoint: ['/own'] }, ['/own']],
    [{ Entrypoint: ['/own'], Cmd: ['x'] }, ['/own', 'x']],
    [{ Entrypoint: [''], Cmd: ['x', 'y'] }, ['x', 'y']],
    [{ Entrypoint: [], Cmd: ['x'] }, ['x']],
  ])('the program of %j is %j', (own, program) => {
    const { path, args } = programOf(mergedConfig(config(own), IMAGE));
    expect([path, ...args]).toEqual(program);
  });

  test('no program at all', () => {
    expect(() => mergedConfig(config({}), {})).toThrow('no command specified');
  });
});

describe('defaults', () => {
  test('swap is twice the memory, the network is bridge, masked paths are named; privileged has none', () => {
    expect(filledHostConfig({ NetworkMode: 'default', Memory: 10 }, DEFAULTS)).toMatchObject({
      ...{ MemorySwap: 20, NetworkMode: 'bridge', IpcMode: 'private', CgroupnsMode: 'host', OomKillDisable: false },
      ...{ ShmSize: 64 << 20, Runtime: 'runc', RestartPolicy: { Name: 'no', MaximumRetryCount: 0 } },
    });
    expect(filledHostConfig({ NetworkMode: '' }, { ...DEFAULTS, cgroupVersion: 'v2' })).toMatchObject({
      ...{ CgroupnsMode: 'private', OomKillDisable: null },
    });
    expect(hostConfig({ Privileged: true })).not.toHaveProperty('MaskedPaths');
    expect(hostConfig({ MaskedPaths: [] }).MaskedPaths).toEqual([]);
  });

  test('a container that a mode names is kept by its id', () => {
    const d = { ...DEFAULTS, containerId: (name: string) => (name === 'web' ? 'abc' : undefined) };
    const h = filledHostConfig({ NetworkMode: 'container:web', PidMode: 'container:x', IpcMode: 'container:web' }, d);
    expect([h.NetworkMode, h.PidMode, h.IpcMode]).toEqual(['container:abc', 'container:x', 'container:abc']);
  });

  test('endpoints: by names of networks, the mode’s own first; the host’s with no other', () => {
    const nameOf = (text: string): string => (text === 'id1' ? 'one' : text);
    const body = { endpoints: { two: {}, id1: { Aliases: ['x'] } }, macAddress: '02:00:00:00:00:01' };
    expect(Object.entries(endpointsOf(body, 'one', nameOf))).toEqual([
      ['one', { Aliases: ['x'], MacAddress: '02:00:00:00:00:01' }],
      ['two', {}],
    ]);
    // Clients in Go send every field of an endpoint.
    const empty = { endpoints: { one: { MacAddress: '' } }, macAddress: '02:00:00:00:00:01' };
    expect(endpointsOf(empty, 'one', nameOf)).toEqual({ one: { MacAddress: '02:00:00:00:00:01' } });
    const two = { endpoints: { one: { MacAddress: '02:00:00:00:00:02' } }, macAddress: '02:00:00:00:00:01' };
    expect(() => endpointsOf(two, 'one', nameOf)).toThrow('the container-wide MAC address must match');
    expect(() => endpointsOf(body, 'host', nameOf)).toThrow('conflicting options');
    expect(() => endpointsOf(body, 'container:x', nameOf)).toThrow('conflicting options');
    expect(endpointsOf({ endpoints: {}, macAddress: '' }, 'container:x', nameOf)).toEqual({});
  });
});

describe('mounts', () => {
  test.each<[string, object]>([
    [
      '/a:/b',
      { type: 'bind', source: '/a', target: '/b', readOnly: false, propagation: 'rprivate', makesSource: true },
    ],
    ['/a/./c/:/b/:ro,rslave', { type: 'bind', source: '/a/c', target: '/b', readOnly: true, propagation: 'rslave' }],
    ['data:/b:nocopy', { type: 'volume', source: 'data', target: '/b', isCopied: false, propagation: '' }],
    ['/b', { type: 'volume', source: '', target: '/b', isCopied: true }],
  ])('-v %s', (text, wanted) => {
    expect(wantedMounts(hostConfig({ Binds: [text] }))[0]).toMatchObject(wanted);
  });

  test.each<[Partial<HostConfig>, string]>([
    [{ Binds: ['/a:b'] }, "invalid mount path: 'b' mount path must be absolute"],
    [{ Binds: ['/a:/'] }, "destination can't be '/'"],
    [{ Binds: ['/a:/b:nope'] }, 'invalid mode: nope'],
    [{ Binds: ['/a:/b:ro,rw'] }, 'invalid mode: ro,rw'],
    [{ Binds: ['/a:/b:ro:x'] }, 'invalid volume specification'],
    [{ Binds: ['/a:/b'], Tmpfs: { '/b/': '' } }, 'Duplicate mount point'],
    [{ Mounts: [{ Type: 'bind', Target: '/x' }] }, 'field Source must not be empty'],
    [{ Mounts: [{ Type: 'bind', Source: 'x', Target: '/x' }] }, 'mount path must be absolute'],
    [{ Mounts: [{ Type: 'bind', Source: '/x', Target: '/x', VolumeOptions: {} }] }, 'field VolumeOptions must not'],
    [{ Mounts: [{ Type: 'volume', Target: '/x', ReadOnly: true }] }, 'must not set ReadOnly mode'],
    [
      { Mounts: [{ Type: 'volume', Source: 'v', Target: '/x', VolumeOptions: { Subpath: '../x' } }] },
      'subpath must be',
    ],
    [{ Mounts: [{ Type: 'tmpfs', Source: 'x', Target: '/x' }] }, 'field Source must not be specified'],
    [{ Mounts: [{ Type: 'image', Target: '/x' }] }, 'field Source must not be empty'],
    [{ Mounts: [{ Type: 'volume', Target: '' }] }, 'field Target must not be empty'],
  ])('%j: %s', (h, why) => {
    expect(() => wantedMounts(hostConfig(h))).toThrow(why);
  });

  test('volumes of others, read-only where it is said', () => {
    expect(volumesFromOf('web:ro')).toEqual({ container: 'web', mode: 'ro' });
    for (const bad of ['', 'web:rslave', 'web:nocopy', 'web:x']) expect(() => volumesFromOf(bad)).toThrow();
    const m = {
      Type: 'volume',
      Name: 'v',
      Source: '/v',
      Destination: '/d',
      Mode: '',
      RW: true,
      Propagation: '',
    } as const;
    expect(inherited(m, 'ro')).toMatchObject({ RW: false, Mode: 'ro' });
    expect(() => anonymousMount('relative', undefined)).toThrow('mount path must be absolute');
  });
});

describe('validation', () => {
  test.each<[Partial<ContainerConfig>, Partial<HostConfig>, string]>([
    [{ Hostname: 'x'.repeat(65) }, {}, 'is too long (maximum 64 bytes)'],
    [{ ExposedPorts: { '0/tcp': {} } }, {}, 'invalid port specification'],
    [{ ExposedPorts: { '80-81/tcp': {} } }, {}, 'invalid port specification'],
    [{}, { PortBindings: { '80-81/tcp': [] } }, 'invalid port specification'],
    [{}, { PortBindings: { '80/tcp': [{ HostIp: '', HostPort: '81-80' }] } }, 'invalid port specification'],
    [{}, { CpusetCpus: Array.from({ length: 20_000 }, () => '0-8191').join(',') }, 'for cpuset cpus'],
    [{ Healthcheck: { Retries: -1 } }, {}, 'Retries in Healthcheck cannot be negative'],
    [{}, { RestartPolicy: { Name: 'always', MaximumRetryCount: 2 } }, "can only be used with 'on-failure'"],
    [{}, { Memory: 8 << 20, MemorySwap: 7 << 20 }, 'Minimum memoryswap limit should be larger'],
    [{}, { MemorySwap: 7 << 20 }, 'You should always set the Memory limit'],
    [{}, { MemorySwappiness: 101 }, 'valid memory swappiness range is 0-100'],
    [{}, { Memory: 8 << 20, MemoryReservation: 9 << 20 }, 'can not be less than memory reservation'],
    [{}, { NanoCpus: 1e9, CpuPeriod: 1000 }, 'Nano CPUs and CPU Period cannot both be set'],
    [{}, { CpuPeriod: 10 }, 'CPU cfs period can not be less than 1ms'],
    [{}, { CpuQuota: 10 }, 'CPU cfs quota can not be less than 1ms'],
    [{}, { CpusetCpus: '0-9' }, 'Requested CPUs are not available - requested 0-9, available: 0-3'],
    [{}, { CpusetCpus: 'x' }, 'Invalid value x for cpuset cpus'],
    [{}, { BlkioWeight: 5 }, 'Range of blkio weight'],
    [{}, { Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 5 }] }, 'ulimit soft limit must be less'],
    [{}, { Ulimits: [{ Name: 'beer', Soft: 1, Hard: 5 }] }, 'invalid ulimit type: beer'],
    [{}, { CgroupParent: '/a/../..' }, 'invalid cgroup parent'],
    [{}, { OomScoreAdj: 1001 }, 'range for oom score adj'],
    [{}, { IpcMode: 'container:' }, 'invalid IPC mode'],
    [{}, { PidMode: 'private' }, 'invalid PID mode'],
    [{}, { ShmSize: -1 }, 'SHM size can not be less than 0'],
    [{}, { ExtraHosts: ['nope'] }, 'bad format for add-host'],
    [{}, { DeviceCgroupRules: ['x 1:2 r'] }, 'invalid device cgroup rule'],
    [{}, { DeviceRequests: [{}] }, 'could not select device driver'],
    [{}, { SecurityOpt: ['what=ever'] }, 'invalid --security-opt 2'],
    [{}, { SecurityOpt: ['label=x'] }, 'Bad label option'],
    [{ Hostname: 'x' }, { UTSMode: 'host' }, 'conflicting options: hostname and the UTS mode'],
    [{ Hostname: 'x' }, { NetworkMode: 'container:a' }, 'conflicting options: hostname and the network mode'],
    [{}, { NetworkMode: 'container:a', PublishAllPorts: true }, 'conflicting options: port publishing'],
    [{}, { Dns: ['9.9.9.9', 'fe80::1%eth0', 'dns.example'] }, 'bad nameserver address "dns.example"'],
    [{}, { Dns: ['1.1.1.1\noptions x'] }, 'bad nameserver address'],
    [{}, { NetworkMode: 'container:' }, 'invalid container format'],
  ])('%j %j: %s', (c, h, why) => {
    expect(() => validate(config(c), hostConfig(h), MACHINE)).toThrow(why);
  });

  test('what this machine cannot do is a warning', () => {
    const h = hostConfig({ Memory: 8 << 20, Ulimits: [{ Name: 'nofile', Soft: 1, Hard: 4096 }], OomKillDisable: true });
    expect(validate(config({}), h, { ...MACHINE, hasSwap: false, hasBlockWeight: false })).toEqual([
      expect.stringContaining('Memory limited without swap'),
      expect.stringContaining('ulimit nofile'),
    ]);
    const onHost = hostConfig({ NetworkMode: 'host', PortBindings: { '80/tcp': [] } });
    expect(validate(config({}), onHost, MACHINE)).toEqual([
      'Published ports are discarded when using host network mode',
    ]);
    const short = hostConfig({ PortBindings: { '80': [{ HostIp: '', HostPort: '8080' }], '81/TCP': null } });
    expect(validate(config({ ExposedPorts: { '82': {} } }), short, MACHINE)).toEqual([]);
    expect(validate(config({}), hostConfig({ CapAdd: ['all', 'cap_net_admin'], CapDrop: ['MKNOD'] }), MACHINE)).toEqual(
      [],
    );
  });
});
