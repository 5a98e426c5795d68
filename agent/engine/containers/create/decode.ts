/**
 * The body of a create, and what records hold, in Docker's own shape. What a client leaves out stays out: defaults.ts fills in.
 * Source: moby api/docs/v1.51.yaml, ContainerConfig, HostConfig, NetworkingConfig.
 */
import type { JsonObject } from '#lib/oci';
import {
  bool,
  command,
  int,
  list,
  map,
  object,
  oneOf,
  orNull,
  set,
  struct,
  text,
  textMap,
  texts,
  whole,
} from '../../http/fields.ts';
import type {
  ContainerConfig,
  EndpointSettings,
  HealthConfig,
  HostConfig,
  Mount,
  PortBinding,
  RestartPolicy,
} from '../../types.ts';

export const EMPTY_CONFIG: ContainerConfig = {
  Hostname: '',
  Domainname: '',
  User: '',
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: [],
  Cmd: null,
  Image: '',
  Volumes: null,
  WorkingDir: '',
  Entrypoint: null,
  Labels: {},
};

export const healthOf = struct<HealthConfig>({
  Test: command,
  Interval: int,
  Timeout: int,
  StartPeriod: int,
  StartInterval: int,
  Retries: int,
});

export const configOf = whole<ContainerConfig>(
  {
    Hostname: text,
    Domainname: text,
    User: text,
    AttachStdin: bool,
    AttachStdout: bool,
    AttachStderr: bool,
    ExposedPorts: set,
    Tty: bool,
    OpenStdin: bool,
    StdinOnce: bool,
    Env: texts,
    Cmd: command,
    Healthcheck: healthOf,
    Image: text,
    Volumes: set,
    WorkingDir: text,
    Entrypoint: command,
    Labels: textMap,
    StopSignal: text,
    StopTimeout: int,
    Shell: command,
  },
  EMPTY_CONFIG,
);

const bindings = whole<PortBinding>({ HostIp: text, HostPort: text }, { HostIp: '', HostPort: '' });
const throttles = list(whole({ Path: text, Rate: int }, { Path: '', Rate: 0 }));

const mountOf = whole<Mount>(
  {
    Type: oneOf<Mount['Type']>('bind', 'volume', 'tmpfs', 'image'),
    Source: text,
    Target: text,
    ReadOnly: bool,
    BindOptions: struct<NonNullable<Mount['BindOptions']>>({
      Propagation: text,
      NonRecursive: bool,
      CreateMountpoint: bool,
      ReadOnlyNonRecursive: bool,
      ReadOnlyForceRecursive: bool,
    }),
    VolumeOptions: struct<NonNullable<Mount['VolumeOptions']>>({
      NoCopy: bool,
      Labels: textMap,
      Subpath: text,
      DriverConfig: struct<{ Name?: string; Options?: Readonly<Record<string, string>> }>({
        Name: text,
        Options: textMap,
      }),
    }),
    TmpfsOptions: struct<NonNullable<Mount['TmpfsOptions']>>({
      SizeBytes: int,
      Mode: int,
      Options: (v, what) => list(texts)(v, what).map((o) => [...o]),
    }),
    ImageOptions: struct<{ Subpath?: string }>({ Subpath: text }),
  },
  { Type: 'volume', Target: '' },
);

/** Without what was not asked for; NetworkMode is there always. */
export const hostConfigOf = whole<HostConfig>(
  {
    Annotations: textMap,
    Binds: texts,
    ContainerIDFile: text,
    LogConfig: whole({ Type: text, Config: textMap }, { Type: '', Config: {} }),
    NetworkMode: text,
    PortBindings: map(orNull(list(bindings))),
    RestartPolicy: whole<RestartPolicy>(
      {
        Name: oneOf<RestartPolicy['Name']>('', 'no', 'always', 'unless-stopped', 'on-failure'),
        MaximumRetryCount: int,
      },
      { Name: '', MaximumRetryCount: 0 },
    ),
    AutoRemove: bool,
    VolumeDriver: text,
    VolumesFrom: texts,
    CapAdd: command,
    CapDrop: command,
    CgroupnsMode: text,
    Dns: texts,
    DnsOptions: texts,
    DnsSearch: texts,
    ExtraHosts: texts,
    GroupAdd: texts,
    IpcMode: text,
    Links: texts,
    OomScoreAdj: int,
    PidMode: text,
    Privileged: bool,
    PublishAllPorts: bool,
    ReadonlyRootfs: bool,
    SecurityOpt: texts,
    Tmpfs: textMap,
    UTSMode: text,
    UsernsMode: text,
    ShmSize: int,
    ConsoleSize: list(int),
    Sysctls: textMap,
    Runtime: text,
    Mounts: list(mountOf),
    MaskedPaths: texts,
    ReadonlyPaths: texts,
    Init: bool,
    CpuShares: int,
    Memory: int,
    NanoCpus: int,
    CgroupParent: text,
    BlkioWeight: int,
    BlkioWeightDevice: list(whole({ Path: text, Weight: int }, { Path: '', Weight: 0 })),
    BlkioDeviceReadBps: throttles,
    BlkioDeviceWriteBps: throttles,
    BlkioDeviceReadIOps: throttles,
    BlkioDeviceWriteIOps: throttles,
    CpuPeriod: int,
    CpuQuota: int,
    CpusetCpus: text,
    CpusetMems: text,
    Devices: list(
      whole(
        { PathOnHost: text, PathInContainer: text, CgroupPermissions: text },
        { PathOnHost: '', PathInContainer: '', CgroupPermissions: '' },
      ),
    ),
    DeviceCgroupRules: texts,
    DeviceRequests: list(object),
    MemoryReservation: int,
    MemorySwap: int,
    MemorySwappiness: int,
    OomKillDisable: bool,
    PidsLimit: int,
    Ulimits: list(whole({ Name: text, Soft: int, Hard: int }, { Name: '', Soft: 0, Hard: 0 })),
  },
  { NetworkMode: '' },
);

export const endpointOf = struct<EndpointSettings>({
  IPAMConfig: struct<{ IPv4Address?: string; IPv6Address?: string }>({ IPv4Address: text, IPv6Address: text }),
  Links: texts,
  Aliases: texts,
  MacAddress: text,
  DriverOpts: textMap,
  GwPriority: int,
  NetworkID: text,
  EndpointID: text,
  Gateway: text,
  IPAddress: text,
  IPPrefixLen: int,
  IPv6Gateway: text,
  GlobalIPv6Address: text,
  GlobalIPv6PrefixLen: int,
  DNSNames: texts,
});

export interface CreateBody {
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** By what the client calls the network. */
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  /** Of the container's first network, as clients before API 1.44 say it. */
  readonly macAddress: string;
}

export function createBodyOf(body: JsonObject): CreateBody {
  const networking = object(body['NetworkingConfig'] ?? {}, 'NetworkingConfig');
  const endpoints = object(networking['EndpointsConfig'] ?? {}, 'NetworkingConfig.EndpointsConfig');
  return {
    config: configOf(body, ''),
    hostConfig: hostConfigOf(body['HostConfig'] ?? {}, 'HostConfig'),
    endpoints: Object.fromEntries(
      Object.entries(endpoints).map(([name, v]) => [text(name, 'network'), endpointOf(v ?? {}, `endpoint ${name}`)]),
    ),
    macAddress: text(body['MacAddress'] ?? '', 'MacAddress'),
  };
}
