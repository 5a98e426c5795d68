/** `GET /containers/{id}/json`. Pure. Source: moby daemon/inspect.go, api/types/container/container.go. */
import type { ContainerRecord, EngineNetworks } from '../../parts.ts';
import type { EndpointSettings, PortMap } from '../../types.ts';
import type { Health } from '../life/health-state.ts';
import { isRunning, type LifeState, runOf } from '../life/state.ts';

export interface InspectInput {
  readonly record: ContainerRecord;
  readonly state: LifeState;
  readonly status: string;
  readonly exitCode: number;
  readonly health: Health | undefined;
  readonly network: ReturnType<EngineNetworks['view']>;
  /** Ids of networks by name, of endpoints that are not connected. */
  readonly networkIds: Readonly<Record<string, string>>;
  readonly folder: string;
  readonly logPath: string;
  readonly rootfs: string;
  readonly execIds: readonly string[];
  readonly size: { readonly rw: number; readonly root: number } | undefined;
}

const NEVER = '0001-01-01T00:00:00Z';

/** RFC3339 with as many digits as there are. */
export function instantText(ms: number | undefined): string {
  return ms === undefined || ms === 0 ? NEVER : new Date(ms).toISOString().replace(/\.?0*Z$/, 'Z');
}

export function inspectOf(i: InspectInput): object {
  const { record, state } = i;
  const { hostConfig } = record;
  return {
    Id: record.id,
    Created: instantText(record.createdAtMs),
    Path: record.path,
    Args: record.args,
    State: stateOf(i),
    Image: record.imageId,
    ResolvConfPath: `${i.folder}/resolv.conf`,
    HostnamePath: `${i.folder}/hostname`,
    HostsPath: `${i.folder}/hosts`,
    LogPath: i.logPath,
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: 'overlay2',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: i.execIds.length === 0 ? null : i.execIds,
    HostConfig: hostConfigView(hostConfig),
    GraphDriver: { Name: 'overlay2', Data: { MergedDir: i.rootfs, UpperDir: i.rootfs.replace(/merged$/, 'upper') } },
    ...(i.size === undefined ? {} : { SizeRw: i.size.rw, SizeRootFs: i.size.root }),
    Mounts: record.mounts,
    Config: configView(record),
    NetworkSettings: networkSettings(i, isRunning(state)),
  };
}

function stateOf({ state, status, exitCode, health, record }: InspectInput): object {
  const run = runOf(state);
  return {
    Status: status,
    Running: isRunning(state),
    Paused: state.phase === 'paused',
    Restarting: state.phase === 'restarting',
    OOMKilled: run?.phase === 'exited' && run.oomKilled,
    Dead: state.phase === 'dead',
    Pid: run?.phase === 'running' ? run.pid : 0,
    ExitCode: exitCode,
    Error: record.error,
    StartedAt: instantText(run?.startedAtMs),
    FinishedAt: instantText(run?.phase === 'exited' ? run.finishedAtMs : record.finishedAtMs),
    ...(health === undefined
      ? {}
      : {
          Health: {
            Status: health.status,
            FailingStreak: health.failingStreak,
            Log: health.log.map((r) => ({
              Start: instantText(r.startMs),
              End: instantText(r.endMs),
              ExitCode: r.exitCode,
              Output: r.output,
            })),
          },
        }),
  };
}

function configView({ config }: ContainerRecord): object {
  return { ...config, OnBuild: null };
}

/** With what Docker shows of options that nobody named. */
export function hostConfigView(h: ContainerRecord['hostConfig']): object {
  return {
    Binds: null,
    ContainerIDFile: '',
    PortBindings: {},
    AutoRemove: false,
    VolumeDriver: '',
    VolumesFrom: null,
    ConsoleSize: [0, 0],
    CapAdd: null,
    CapDrop: null,
    Dns: [],
    DnsOptions: [],
    DnsSearch: [],
    ExtraHosts: null,
    GroupAdd: null,
    Cgroup: '',
    Links: null,
    OomScoreAdj: 0,
    PidMode: '',
    Privileged: false,
    PublishAllPorts: false,
    ReadonlyRootfs: false,
    SecurityOpt: null,
    UTSMode: '',
    UsernsMode: '',
    Isolation: '',
    CpuShares: 0,
    Memory: 0,
    NanoCpus: 0,
    CgroupParent: '',
    BlkioWeight: 0,
    BlkioWeightDevice: [],
    BlkioDeviceReadBps: [],
    BlkioDeviceWriteBps: [],
    BlkioDeviceReadIOps: [],
    BlkioDeviceWriteIOps: [],
    CpuPeriod: 0,
    CpuQuota: 0,
    CpuRealtimePeriod: 0,
    CpuRealtimeRuntime: 0,
    CpusetCpus: '',
    CpusetMems: '',
    Devices: [],
    DeviceCgroupRules: null,
    DeviceRequests: null,
    MemoryReservation: 0,
    MemorySwap: 0,
    MemorySwappiness: null,
    PidsLimit: null,
    Ulimits: [],
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: null,
    ReadonlyPaths: null,
    ...h,
  };
}

const NO_ENDPOINT: Required<EndpointSettings> = {
  ...{ IPAMConfig: null, Links: null, Aliases: null, MacAddress: '', DriverOpts: null, GwPriority: 0 },
  ...{ NetworkID: '', EndpointID: '', Gateway: '', IPAddress: '', IPPrefixLen: 0, IPv6Gateway: '' },
  ...{ GlobalIPv6Address: '', GlobalIPv6PrefixLen: 0, DNSNames: null },
};

/** Of each network what it got while it runs, else what it asks for. */
export function endpointViews(
  record: Pick<ContainerRecord, 'endpoints'>,
  network: ReturnType<EngineNetworks['view']>,
  ids: Readonly<Record<string, string>>,
): Readonly<Record<string, Required<EndpointSettings>>> {
  const out: Record<string, Required<EndpointSettings>> = {};
  for (const [name, asked] of Object.entries(record.endpoints)) {
    const { MacAddress: _, ...wish } = asked;
    const got = network?.endpoints[name];
    out[name] = { ...NO_ENDPOINT, ...wish, ...(ids[name] === undefined ? {} : { NetworkID: ids[name] }), ...got };
  }
  return out;
}

function networkSettings(i: InspectInput, running: boolean): object {
  const { record, network } = i;
  const networks = endpointViews(record, network, i.networkIds);
  const first = networks['bridge'] ?? NO_ENDPOINT;
  const ports: PortMap = running ? (network?.ports ?? {}) : {};
  return {
    Bridge: '',
    SandboxID: network?.sandboxId ?? '',
    SandboxKey: '',
    Ports: ports,
    HairpinMode: false,
    LinkLocalIPv6Address: '',
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: first.EndpointID,
    Gateway: first.Gateway,
    GlobalIPv6Address: first.GlobalIPv6Address,
    GlobalIPv6PrefixLen: first.GlobalIPv6PrefixLen,
    IPAddress: first.IPAddress,
    IPPrefixLen: first.IPPrefixLen,
    IPv6Gateway: first.IPv6Gateway,
    MacAddress: first.MacAddress,
    Networks: networks,
  };
}
