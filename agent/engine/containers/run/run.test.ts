/** From a record to what the runtime gets: the pure parts. */
import { describe, expect, test } from 'vitest';
import { StatusError } from '#lib/base';
import { EngineError } from '../../http/contract.ts';
import type { ContainerRecord } from '../../parts.ts';
import type { HostConfig } from '../../types.ts';
import { EMPTY_CONFIG } from '../create/decode.ts';
import { filledHostConfig } from '../create/defaults.ts';
import { startFailure } from '../life/start-error.ts';
import { changes, updated } from '../update.ts';
import { capabilitiesOf } from './capabilities.ts';
import { bindMount, plainTmpfs, tmpfsOptions } from './mount-options.ts';
import { sharedNamespaces } from './namespaces.ts';
import { limitsOf, ociResourcesOf } from './resources.ts';
import { seccompOf } from './seccomp-profile.ts';
import { securityOf } from './security-options.ts';
import { environmentOf, ociSpecOf, type SpecInput } from './spec.ts';

const h = (o: Partial<HostConfig>): HostConfig =>
  filledHostConfig({ NetworkMode: 'none', ...o }, { cgroupVersion: 'v1', version: 51, containerId: () => undefined });

function record(o: Partial<HostConfig>, c: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    ...{ id: 'a'.repeat(64) as ContainerRecord['id'], name: 'box', createdAtMs: 0, path: 'sh', args: ['-c', 'x'] },
    ...{ imageId: `sha256:${'0'.repeat(64)}` as ContainerRecord['imageId'], config: EMPTY_CONFIG, hostConfig: h(o) },
    ...{ endpoints: {}, mounts: [], restartCount: 0, isStoppedByUser: false, error: '' },
    ...c,
  };
}

function spec(o: Partial<HostConfig>, i: Partial<SpecInput> = {}): ReturnType<typeof ociSpecOf> {
  return ociSpecOf({
    ...{
      record: record(o),
      rootfs: '/root',
      cgroupPath: '/c',
      hostname: 'box',
      mounts: [],
      resources: {},
      devices: [],
    },
    ...{
      user: { uid: 0, gid: 0, additionalGids: [0] },
      deviceRules: [],
      capabilities: ['CAP_KILL'],
      labels: undefined,
    },
    namespaces: { network: '/ns', ipc: '', uts: '', pid: '', cgroup: undefined },
    ...{ noNewPrivileges: false, seccomp: undefined, apparmorProfile: undefined, maskedPaths: ['/m'], hasInit: false },
    ...{ writableCgroups: false, networkSysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' } },
    ...i,
  });
}

describe('specification', () => {
  test('namespaces: own, of a path, the host’s; sysctls of a network of its own', () => {
    const s = spec({ Sysctls: { 'kernel.msgmax': '1' } });
    expect(s.linux.namespaces).toEqual([
      ...[{ type: 'mount' }, { type: 'pid' }, { type: 'network', path: '/ns' }, { type: 'ipc' }, { type: 'uts' }],
    ]);
    expect(s.linux.sysctl).toEqual({ 'net.ipv4.ip_unprivileged_port_start': '0', 'kernel.msgmax': '1' });
    const host = { network: undefined, ipc: undefined, uts: undefined, pid: undefined, cgroup: undefined };
    const open = spec({}, { namespaces: host });
    expect([open.linux.namespaces, open.hostname, open.linux.sysctl]).toEqual([
      [{ type: 'mount' }],
      undefined,
      undefined,
    ]);
  });

  test('masked paths with the host’s own; privileged sees all and may write to /sys', () => {
    expect(spec({}).linux.maskedPaths).toContain('/m');
    expect(spec({ MaskedPaths: [] }).linux).not.toHaveProperty('maskedPaths');
    const s = spec({ Privileged: true });
    expect(s.linux).not.toHaveProperty('maskedPaths');
    expect(s.linux.resources.devices).toEqual([{ allow: true, access: 'rwm' }]);
    expect(s.mounts.find((m) => m.destination === '/sys')?.options).toContain('rw');
  });

  test('who is not root holds no capability, and may get some back', () => {
    const user = { uid: 5, gid: 5, additionalGids: [] };
    expect(spec({}, { user }).process.capabilities).toMatchObject({
      bounding: ['CAP_KILL'],
      effective: [],
      permitted: [],
    });
  });

  test('a user’s mount takes the place of ours; one below another comes after it; its propagation is the root’s', () => {
    const bind = (destination: string, option: string) => ({
      destination,
      type: 'bind',
      source: '/s',
      options: [option],
    });
    const s = spec({}, { mounts: [bind('/a/b', 'rshared'), bind('/dev', 'ro'), bind('/a', 'ro')] });
    const at = s.mounts.map((m) => m.destination);
    expect(at.filter((d) => d === '/dev')).toHaveLength(1);
    expect(at.indexOf('/a')).toBeLessThan(at.indexOf('/a/b'));
    expect(s.linux.rootfsPropagation).toBe('shared');
  });

  test('annotations, but for what a runtime would do by them', () => {
    const s = spec({ Annotations: { a: 'b', 'run.oci.seccomp_bpf_data': 'x' } });
    expect(s.annotations).toEqual({ a: 'b' });
  });

  test('an init comes first', () => {
    expect(spec({}, { hasInit: true }).process.args).toEqual(['/sbin/docker-init', '--', 'sh', '-c', 'x']);
  });

  test('environment: Docker’s, then the user’s; a name alone takes one away', () => {
    expect(environmentOf(['A=1', 'PATH=/x', 'TERM', 'A=2'], { hostname: 'h', tty: true })).toEqual([
      ...['PATH=/x', 'HOSTNAME=h', 'A=2'],
    ]);
  });
});

test('capabilities: added, dropped, all, none', () => {
  const held = ['CAP_KILL', 'CAP_NET_ADMIN', 'CAP_CHOWN'];
  expect(capabilitiesOf(h({ CapDrop: ['ALL'], CapAdd: ['net_admin'] }), held)).toEqual(['CAP_NET_ADMIN']);
  expect(capabilitiesOf(h({ CapAdd: ['ALL'], CapDrop: ['CAP_KILL'] }), held)).toEqual(['CAP_CHOWN', 'CAP_NET_ADMIN']);
  expect(capabilitiesOf(h({ CapAdd: ['SYS_TIME'] }), held)).toContain('CAP_SYS_TIME');
  expect(capabilitiesOf(h({ Privileged: true }), held)).toEqual([...held].sort());
  // What is added wins, also over ALL (moby TweakCapabilities).
  expect(capabilitiesOf(h({ CapAdd: ['ALL'], CapDrop: ['ALL'] }), held)).toEqual([...held].sort());
  expect(capabilitiesOf(h({ CapAdd: ['KILL'], CapDrop: ['KILL'] }), held)).toContain('CAP_KILL');
});

test('options of security', () => {
  expect(securityOf(['no-new-privileges', 'seccomp=unconfined', 'apparmor:x', 'label=type:t', 'label=user:u'])).toEqual(
    {
      ...{ noNewPrivileges: true, seccomp: 'unconfined', appArmor: 'x', writableCgroups: false },
      labels: { type: 't', user: 'u' },
    },
  );
  expect(securityOf(['no-new-privileges=false']).noNewPrivileges).toBe(false);
  for (const bad of ['x', 'no-new-privileges=maybe', 'seccomp'])
    expect(() => securityOf([bad])).toThrow('invalid --security-opt');
});

test('Docker’s profiles of seccomp: rules for some capabilities, architectures and kernels', () => {
  const rule = (names: string[], more: object = {}) => ({ names, action: 'SCMP_ACT_ALLOW', ...more });
  const profile = {
    ...{ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 1 },
    archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
    syscalls: [
      rule(['read']),
      rule(['mount'], { includes: { caps: ['CAP_SYS_ADMIN'] } }),
      rule(['arch_prctl'], { includes: { arches: ['amd64'] }, excludes: {} }),
      rule(['ptrace'], { includes: { minKernel: '4.8' } }),
      rule(['never'], { includes: { minKernel: '99.1' } }),
      { name: 'clone', action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_SYS_ADMIN'] } },
    ],
  };
  const names = (capabilities: string[]) =>
    seccompOf(JSON.stringify(profile), { capabilities, architecture: 'x64', kernel: '6.1.0' }).syscalls?.flatMap(
      (s) => s.names,
    );
  expect(names([])).toEqual(['read', 'arch_prctl', 'ptrace', 'clone']);
  expect(names(['CAP_SYS_ADMIN'])).toEqual(['read', 'mount', 'arch_prctl', 'ptrace']);
  for (const bad of ['', '[]', '{"defaultAction":"x"}', '{"syscalls":[1]}'])
    expect(() => seccompOf(bad, { capabilities: [], architecture: 'x64', kernel: '6' })).toThrow(
      'Decoding seccomp profile failed',
    );
});

test('resources for the runtime, and those of an update for a cgroup that is there', () => {
  const machine = { version: 'v1', hasSwap: true, hasBlockWeight: true } as const;
  const block = { numbers: new Map([['/dev/sda', { major: 8, minor: 0 }]]) };
  const wish = {
    ...{ NanoCpus: 1.5e9, CpusetCpus: '0', Memory: 100, MemorySwap: -1, PidsLimit: 7, OomKillDisable: true },
    ...{ BlkioWeight: 100, BlkioDeviceReadBps: [{ Path: '/dev/sda', Rate: 5 }], MemorySwappiness: 3 },
  };
  expect(ociResourcesOf(wish, machine, block)).toEqual({
    ...{ cpu: { quota: 150_000, period: 100_000, cpus: '0' }, pids: { limit: 7 } },
    memory: { limit: 100, swap: -1, swappiness: 3, disableOOMKiller: true },
    blockIO: { weight: 100, throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 5 }] },
  });
  expect(ociResourcesOf(wish, { ...machine, version: 'v2', hasSwap: false }, block).memory).toEqual({ limit: 100 });
  expect(limitsOf({ Memory: 100, MemorySwap: 150, NanoCpus: 5e8, PidsLimit: 0 }, {}, machine)).toMatchObject({
    ...{ memoryBytes: 100, swapBytes: 50, cpuQuotaUs: 50_000, pids: 'max', cpus: undefined },
  });
  expect(limitsOf({ MemorySwap: -1 }, { Memory: 100 }, machine)).toMatchObject({ memoryBytes: 100, swapBytes: 'max' });
  const others = { CpusetMems: '0', MemoryReservation: 50, BlkioWeight: 300 };
  expect(limitsOf(others, {}, machine)).toMatchObject({
    memoryNodes: '0',
    memoryReservationBytes: 50,
    blockWeight: 300,
  });
  expect(limitsOf(others, {}, { ...machine, hasBlockWeight: false }).blockWeight).toBeUndefined();
  expect(limitsOf({ CpuQuota: 20_000, CpuPeriod: 50_000 }, {}, machine).cpuQuotaUs).toBe(40_000);
});

test('an update: 0 is as it was, and what contradicts is refused', () => {
  const now = record({ Memory: 100 << 20, CpuPeriod: 5000 });
  expect(changes({ Memory: 0, CpuShares: 5, PidsLimit: 0, CpusetCpus: '' })).toEqual({ CpuShares: 5, PidsLimit: 0 });
  const wish = { NetworkMode: '', CpuShares: 5, RestartPolicy: { Name: 'always', MaximumRetryCount: 0 } } as const;
  expect(updated(now, wish).hostConfig).toMatchObject({ ...wish, NetworkMode: 'none', Memory: 100 << 20 });
  expect(() => updated(now, { NetworkMode: '', NanoCpus: 1 })).toThrow('Nano CPUs cannot be updated');
  expect(() => updated(now, { NetworkMode: '', Memory: 300 << 20 })).toThrow('update the memoryswap at the same time');
  expect(() => updated(record({ AutoRemove: true }), wish)).toThrow('because AutoRemove is enabled');
});

test('mounts: read-only with all below where the host can, tmpfs whose later options win', () => {
  const m = { Type: 'bind', Source: '/s', Destination: '/d', Mode: '', RW: false, Propagation: '' } as const;
  const options = (o: object, can: boolean, isFolder = true) =>
    bindMount(m, { path: '/s', isFolder }, { Type: 'bind', Target: '/d', BindOptions: o }, can).options;
  expect(options({}, true)).toEqual(['rbind', 'rprivate', 'rro']);
  expect(options({}, false)).toEqual(['rbind', 'rprivate', 'ro']);
  expect(options({ NonRecursive: true }, true)).toEqual(['bind', 'rprivate', 'ro']);
  expect(options({ ReadOnlyNonRecursive: true }, true)).toEqual(['rbind', 'rprivate', 'ro']);
  expect(() => options({ ReadOnlyForceRecursive: true }, false)).toThrow(EngineError);
  expect(options({ ReadOnlyForceRecursive: true }, true, false)).toEqual(['rbind', 'rprivate', 'ro']);
  expect(tmpfsOptions(['exec', 'size=1m', 'size=2m', 'noexec', 'exec'])).toEqual([
    'nosuid',
    'nodev',
    'size=2m',
    'exec',
  ]);
  expect(plainTmpfs('/t', 'ro,mode=700').options).toEqual(['noexec', 'nosuid', 'nodev', 'ro', 'mode=700']);
  for (const bad of ['what', 'context=x', 'size']) expect(() => tmpfsOptions([bad])).toThrow('invalid tmpfs option');
});

test('namespaces of others: who does not run or does not share is told in Docker’s words', () => {
  const peer = (IpcMode: string, phase: 'running' | 'exited') => ({
    record: record({ IpcMode }),
    state: phase === 'running' ? { phase, run: { phase, pid: 7, startedAtMs: 0 } } : { phase, run: undefined },
  });
  const mode = h({ IpcMode: 'container:x' });
  expect(sharedNamespaces(mode, () => peer('shareable', 'running')).ipc).toBe('/proc/7/ns/ipc');
  expect(() => sharedNamespaces(mode, () => peer('private', 'running'))).toThrow('non-shareable IPC');
  expect(() => sharedNamespaces(mode, () => peer('shareable', 'exited'))).toThrow(
    'cannot join IPC of a non running container',
  );
  expect(
    sharedNamespaces(h({ PidMode: 'host', IpcMode: 'host', UTSMode: 'host', CgroupnsMode: 'private' }), () =>
      peer('', 'exited'),
    ),
  ).toEqual({
    ...{ ipc: undefined, pid: undefined, uts: undefined, cgroup: '', shmOf: undefined },
  });
});

test.each([
  [
    'executable file `x` not found in $PATH: No such file or directory',
    127,
    400,
    'exec: "x": executable file not found in $PATH',
  ],
  [
    'executable file `/x` not found in $PATH: No such file or directory',
    127,
    400,
    'stat /x: no such file or directory',
  ],
  ['exec: "/x": permission denied', 126, 400, 'permission denied'],
  ['open executable: Permission denied', 126, 400, 'permission denied'],
  ['open executable: Operation not permitted', 126, 400, 'is a directory'],
  ['mount `/a` to `/b`: Not a directory', 127, 400, 'Are you trying to mount a directory onto a file'],
  ['cgroup is full', 128, 500, 'cgroup is full'],
])('a start that failed with "%s": %d, %d, %s', (text, exitCode, status, words) => {
  const found = startFailure(new StatusError('Invalid', `the container could not be started: ${text}`));
  expect({ exitCode: found.exitCode, status: found.error.status }).toEqual({ exitCode, status });
  expect(found.error.message).toContain(words);
});
