/** `GET /info`: this node as Docker's clients know one. Source: moby daemon/info.go, daemon/info_unix.go, api/types/system/info.go. */
import { readdir, readFile, statfs } from 'node:fs/promises';
import { availableParallelism, hostname, machine, release, totalmem } from 'node:os';
import { basename } from 'node:path';
import type { Ctx } from '#lib/base';
import type { Events } from '../events/events.ts';
import type { EngineContainers, EngineHost } from '../parts.ts';

export interface InfoParts {
  readonly host: EngineHost;
  readonly events: Pick<Events, 'followers'>;
  readonly containers: Pick<EngineContainers, 'list'> | undefined;
  /** Of this engine, for as long as its folder lives. */
  readonly id: string;
}

const FIREWALL_SINCE = 49;
const RUNTIME_STATUS_SINCE = 44;
const COMMIT_EXPECTED_BEFORE = 49;
const KERNEL_MEMORY_BEFORE = 42;
const PLAIN_SECURITY_BEFORE = 25;
const HUB = 'https://index.docker.io/v1/';

/** statfs(2), by the names that Docker gives them. */
const FILE_SYSTEMS: Readonly<Record<number, string>> = {
  61267: 'extfs',
  1481003842: 'xfs',
  2435016766: 'btrfs',
  16914836: 'tmpfs',
  2035054128: 'overlayfs',
  801189825: 'zfs',
};

export async function engineInfo(p: InfoParts, version: number, c: Ctx): Promise<object> {
  const { host } = p;
  const images = await host.images.list(c);
  const system = await osRelease();
  return {
    ID: p.id,
    ...containerCounts(p.containers),
    Images: new Set(images.map((i) => i.id)).size,
    Driver: host.images.format === 'overlay' ? 'overlayfs' : 'vfs',
    DriverStatus: [['Backing Filesystem', await fileSystemOf(host.folder)]],
    Plugins: { Volume: ['local'], Network: ['bridge', 'host', 'null'], Authorization: null, Log: ['json-file'] },
    ...limits(host, version),
    IPv4Forwarding: (await textOf('/proc/sys/net/ipv4/ip_forward')).trim() === '1',
    Debug: false,
    NFd: (await readdir('/proc/self/fd').catch(() => [])).length,
    NGoroutines: 0,
    SystemTime: new Date(c.clock.now()).toISOString(),
    LoggingDriver: 'json-file',
    NEventsListener: p.events.followers,
    KernelVersion: release(),
    OperatingSystem: system('PRETTY_NAME') ?? 'Linux',
    OSVersion: system('VERSION_ID') ?? '',
    OSType: 'linux',
    Architecture: machine(),
    IndexServerAddress: HUB,
    RegistryConfig: registryConfig(),
    NCPU: availableParallelism(),
    MemTotal: totalmem(),
    GenericResources: null,
    DockerRootDir: host.folder,
    ...proxies(host),
    Name: hostname(),
    Labels: [],
    ExperimentalBuild: false,
    ServerVersion: host.version,
    ...runtimes(host, version),
    Swarm: { ...NO_SWARM },
    LiveRestoreEnabled: true,
    Isolation: '',
    SecurityOptions: securityOptions(host, version),
    CDISpecDirs: [],
    Warnings: await warnings(host),
    ...(version < FIREWALL_SINCE
      ? { BridgeNfIptables: false, BridgeNfIp6tables: false }
      : { FirewallBackend: { Driver: 'nftables' } }),
  };
}

const NO_SWARM = {
  NodeID: '',
  NodeAddr: '',
  LocalNodeState: 'inactive',
  ControlAvailable: false,
  Error: '',
  RemoteManagers: null,
} as const;

function containerCounts(containers: InfoParts['containers']): object {
  const all = containers?.list() ?? [];
  const Running = all.filter((x) => x.status === 'running' || x.status === 'restarting').length;
  const Paused = all.filter((x) => x.status === 'paused').length;
  return {
    Containers: all.length,
    ContainersRunning: Running,
    ContainersPaused: Paused,
    ContainersStopped: all.length - Running - Paused,
  };
}

function limits({ kernel }: EngineHost, version: number): object {
  const { version: cgroups, facts } = kernel.cgroups;
  return {
    MemoryLimit: true,
    SwapLimit: facts.hasSwap,
    ...(version < KERNEL_MEMORY_BEFORE ? { KernelMemory: false } : {}),
    CpuCfsPeriod: true,
    CpuCfsQuota: true,
    CPUShares: true,
    CPUSet: true,
    PidsLimit: true,
    OomKillDisable: cgroups !== 'v2',
    CgroupDriver: 'cgroupfs',
    CgroupVersion: cgroups === 'v2' ? '2' : '1',
  };
}

function runtimes({ runtime }: EngineHost, version: number): object {
  const named = runtime.handlers.filter((h) => h.name !== '');
  const own = basename(runtime.defaultRuntime);
  const all = named.some((h) => h.name === own)
    ? named
    : [...named, { name: own, path: runtime.defaultRuntime, arguments: [] }];
  const commit = version < COMMIT_EXPECTED_BEFORE ? { ID: '', Expected: '' } : { ID: '' };
  const told = all.map((h) => [
    h.name,
    {
      path: h.path,
      ...(h.arguments.length === 0 ? {} : { runtimeArgs: h.arguments }),
      ...(version < RUNTIME_STATUS_SINCE ? {} : { status: {} }),
    },
  ]);
  return {
    Runtimes: Object.fromEntries(told),
    DefaultRuntime: own,
    InitBinary: 'berth-helper',
    ContainerdCommit: commit,
    RuncCommit: commit,
    InitCommit: commit,
  };
}

function securityOptions({ isolation, kernel }: EngineHost, version: number): string[] {
  const options = [
    ...(isolation.host.appArmor ? ['name=apparmor'] : []),
    'name=seccomp,profile=builtin',
    ...(isolation.host.seLinux ? ['name=selinux'] : []),
    ...(kernel.cgroups.version === 'v2' ? ['name=cgroupns'] : []),
  ];
  return version < PLAIN_SECURITY_BEFORE ? options.map((o) => o.replace(/^name=([^,]*).*$/, '$1')) : options;
}

/** Loopback registries are spoken to by plain http (lib/oci/registry-host.ts). */
function registryConfig(): object {
  const hub = { Name: 'docker.io', Mirrors: [], Secure: true, Official: true };
  return {
    InsecureRegistryCIDRs: ['::1/128', '127.0.0.0/8'],
    IndexConfigs: { 'docker.io': hub },
    Mirrors: [],
  };
}

function proxies({ registries }: EngineHost): object {
  const of = (url: string): string => masked(registries.proxy?.(new URL(url)) ?? '');
  return { HttpProxy: of('http://registry-1.docker.io'), HttpsProxy: of('https://registry-1.docker.io'), NoProxy: '' };
}

function masked(proxy: string): string {
  if (!URL.canParse(proxy)) return proxy;
  const url = new URL(proxy);
  if (url.username === '' && url.password === '') return proxy;
  url.username = 'xxxxx';
  url.password = 'xxxxx';
  return url.href;
}

async function warnings({ kernel }: EngineHost): Promise<string[]> {
  const isForwarding = (await textOf('/proc/sys/net/ipv4/ip_forward')).trim() === '1';
  return [
    ...(kernel.cgroups.facts.hasSwap ? [] : ['WARNING: No swap limit support']),
    ...(isForwarding ? [] : ['WARNING: IPv4 forwarding is disabled']),
  ];
}

async function fileSystemOf(folder: string): Promise<string> {
  const { type } = await statfs(folder);
  return FILE_SYSTEMS[type] ?? `0x${type.toString(16)}`;
}

async function osRelease(): Promise<(key: string) => string | undefined> {
  const text = await textOf('/etc/os-release');
  return (key) => new RegExp(`^${key}="?([^"\\n]*)"?`, 'm').exec(text)?.[1];
}

function textOf(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => ''); // not on this host
}
