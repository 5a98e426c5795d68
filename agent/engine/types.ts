/**
 * The shapes of the Docker Engine API that several parts of the engine share, in Docker's own spelling, as they are kept on
 * disk and told by inspect. Source: moby api/docs/v1.51.yaml (definitions ContainerConfig, HostConfig, EndpointSettings, ...).
 * Absent in a record = Docker's default was not asked for; create (containers/create) fills in what inspect shows.
 */
import type { Digest } from '#lib/base';

/** `80/tcp` -> where on the host. */
export type PortMap = Readonly<Record<string, readonly PortBinding[] | null>>;

export interface PortBinding {
  /** '' = all addresses. */
  readonly HostIp: string;
  /** '' = an ephemeral port; `8000-8010` = the first free one of them. */
  readonly HostPort: string;
}

/** Durations in nanoseconds, 0 = default; Test: [] = the image's, ['NONE'] = none, ['CMD', …], ['CMD-SHELL', text]. */
export interface HealthConfig {
  readonly Test?: readonly string[];
  readonly Interval?: number;
  readonly Timeout?: number;
  readonly StartPeriod?: number;
  readonly StartInterval?: number;
  readonly Retries?: number;
}

export interface ContainerConfig {
  readonly Hostname: string;
  readonly Domainname: string;
  readonly User: string;
  readonly AttachStdin: boolean;
  readonly AttachStdout: boolean;
  readonly AttachStderr: boolean;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Tty: boolean;
  readonly OpenStdin: boolean;
  readonly StdinOnce: boolean;
  readonly Env: readonly string[];
  readonly Cmd: readonly string[] | null;
  readonly Healthcheck?: HealthConfig;
  /** As it was asked for. */
  readonly Image: string;
  readonly Volumes: Readonly<Record<string, object>> | null;
  readonly WorkingDir: string;
  readonly Entrypoint: readonly string[] | null;
  readonly Labels: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  /** Seconds. */
  readonly StopTimeout?: number;
  readonly Shell?: readonly string[];
}

export interface RestartPolicy {
  readonly Name: '' | 'no' | 'always' | 'unless-stopped' | 'on-failure';
  readonly MaximumRetryCount: number;
}

export interface Mount {
  readonly Type: 'bind' | 'volume' | 'tmpfs' | 'image';
  readonly Source?: string;
  readonly Target: string;
  readonly ReadOnly?: boolean;
  readonly BindOptions?: {
    readonly Propagation?: string;
    readonly NonRecursive?: boolean;
    readonly CreateMountpoint?: boolean;
    readonly ReadOnlyNonRecursive?: boolean;
    readonly ReadOnlyForceRecursive?: boolean;
  };
  readonly VolumeOptions?: {
    readonly NoCopy?: boolean;
    readonly Labels?: Readonly<Record<string, string>>;
    readonly Subpath?: string;
    readonly DriverConfig?: { readonly Name?: string; readonly Options?: Readonly<Record<string, string>> };
  };
  readonly TmpfsOptions?: {
    readonly SizeBytes?: number;
    readonly Mode?: number;
    readonly Options?: readonly string[][];
  };
  readonly ImageOptions?: { readonly Subpath?: string };
}

export interface Ulimit {
  readonly Name: string;
  readonly Soft: number;
  readonly Hard: number;
}

export interface DeviceMapping {
  readonly PathOnHost: string;
  readonly PathInContainer: string;
  readonly CgroupPermissions: string;
}

export interface ThrottleDevice {
  readonly Path: string;
  readonly Rate: number;
}

/** What `update` may change, but for the restart policy. */
export interface Resources {
  readonly CpuShares?: number;
  readonly Memory?: number;
  readonly NanoCpus?: number;
  readonly CgroupParent?: string;
  readonly BlkioWeight?: number;
  readonly BlkioWeightDevice?: readonly { readonly Path: string; readonly Weight: number }[];
  readonly BlkioDeviceReadBps?: readonly ThrottleDevice[];
  readonly BlkioDeviceWriteBps?: readonly ThrottleDevice[];
  readonly BlkioDeviceReadIOps?: readonly ThrottleDevice[];
  readonly BlkioDeviceWriteIOps?: readonly ThrottleDevice[];
  readonly CpuPeriod?: number;
  readonly CpuQuota?: number;
  readonly CpusetCpus?: string;
  readonly CpusetMems?: string;
  readonly Devices?: readonly DeviceMapping[];
  readonly DeviceCgroupRules?: readonly string[];
  readonly DeviceRequests?: readonly object[];
  readonly MemoryReservation?: number;
  readonly MemorySwap?: number;
  readonly MemorySwappiness?: number | null;
  readonly OomKillDisable?: boolean | null;
  readonly PidsLimit?: number | null;
  readonly Ulimits?: readonly Ulimit[];
}

export interface HostConfig extends Resources {
  readonly Annotations?: Readonly<Record<string, string>>;
  readonly Binds?: readonly string[];
  /** Where the client wrote the id. */
  readonly ContainerIDFile?: string;
  readonly LogConfig?: { readonly Type: string; readonly Config: Readonly<Record<string, string>> };
  /** default, bridge, host, none, container:<id>, or the name or id of a network. Never `default` in a record. */
  readonly NetworkMode: string;
  readonly PortBindings?: PortMap;
  readonly RestartPolicy?: RestartPolicy;
  readonly AutoRemove?: boolean;
  /** Of volumes that name none. */
  readonly VolumeDriver?: string;
  readonly VolumesFrom?: readonly string[];
  readonly CapAdd?: readonly string[];
  readonly CapDrop?: readonly string[];
  readonly CgroupnsMode?: string;
  readonly Dns?: readonly string[];
  readonly DnsOptions?: readonly string[];
  readonly DnsSearch?: readonly string[];
  readonly ExtraHosts?: readonly string[];
  readonly GroupAdd?: readonly string[];
  readonly IpcMode?: string;
  readonly Links?: readonly string[];
  readonly OomScoreAdj?: number;
  readonly PidMode?: string;
  readonly Privileged?: boolean;
  readonly PublishAllPorts?: boolean;
  readonly ReadonlyRootfs?: boolean;
  readonly SecurityOpt?: readonly string[];
  readonly Tmpfs?: Readonly<Record<string, string>>;
  readonly UTSMode?: string;
  readonly UsernsMode?: string;
  readonly ShmSize?: number;
  /** Rows and columns of its terminal at its begin; zeros = not said. */
  readonly ConsoleSize?: readonly number[];
  readonly Sysctls?: Readonly<Record<string, string>>;
  readonly Runtime?: string;
  readonly Mounts?: readonly Mount[];
  readonly MaskedPaths?: readonly string[] | null;
  readonly ReadonlyPaths?: readonly string[] | null;
  readonly Init?: boolean;
}

/** What a container asks of one network, and what it got (while it runs). */
export interface EndpointSettings {
  readonly IPAMConfig?: { readonly IPv4Address?: string; readonly IPv6Address?: string } | null;
  readonly Links?: readonly string[] | null;
  readonly Aliases?: readonly string[] | null;
  readonly MacAddress?: string;
  readonly DriverOpts?: Readonly<Record<string, string>> | null;
  readonly GwPriority?: number;
  readonly NetworkID?: string;
  readonly EndpointID?: string;
  readonly Gateway?: string;
  readonly IPAddress?: string;
  readonly IPPrefixLen?: number;
  readonly IPv6Gateway?: string;
  readonly GlobalIPv6Address?: string;
  readonly GlobalIPv6PrefixLen?: number;
  readonly DNSNames?: readonly string[] | null;
}

/** A mount of a container as inspect tells it. */
export interface MountPoint {
  readonly Type: Mount['Type'];
  readonly Name?: string;
  /** On the host. */
  readonly Source: string;
  readonly Destination: string;
  readonly Driver?: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
}

/** The config document of an image, as far as the engine reads it (image-spec config.md, and Docker's Healthcheck, Shell, OnBuild). */
export interface ImageDocument {
  readonly id: Digest;
  readonly createdAtMs: number;
  readonly author: string;
  readonly architecture: string;
  readonly variant: string;
  readonly os: string;
  readonly config: ImageDocumentConfig;
  readonly history: readonly {
    readonly createdAtMs: number;
    readonly createdBy: string;
    readonly comment: string;
    readonly isEmptyLayer: boolean;
  }[];
  /** Base first. */
  readonly diffIds: readonly Digest[];
}

export interface ImageDocumentConfig {
  readonly User?: string;
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Volumes?: Readonly<Record<string, object>>;
  readonly WorkingDir?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly StopSignal?: string;
  readonly Healthcheck?: HealthConfig;
  readonly Shell?: readonly string[];
  readonly OnBuild?: readonly string[];
  readonly ArgsEscaped?: boolean;
}
