/**
 * A container's configuration as inspect shows it: what the image says under what the user says, and Docker's defaults. Pure.
 * Source: moby daemon/commit.go (merge), daemon_unix.go (adaptContainerSettings), daemon/create*.go.
 */
import { posix } from 'node:path';
import { MASKED_PATHS, READONLY_PATHS } from '../../../runtime/spec.ts';
import { badParameter } from '../../http/contract.ts';
import type {
  ContainerConfig,
  EndpointSettings,
  HealthConfig,
  HostConfig,
  ImageDocumentConfig,
  RestartPolicy,
} from '../../types.ts';
import type { CreateBody } from './decode.ts';

export const SHM_BYTES = 64 << 20;

/** User over image. Throws 400 where neither names a program. */
export function mergedConfig(own: ContainerConfig, image: ImageDocumentConfig): ContainerConfig {
  const entrypoint = nothing(own.Entrypoint) ? (own.Entrypoint ?? image.Entrypoint ?? null) : own.Entrypoint;
  const cmd = nothing(own.Entrypoint) && nothing(own.Cmd) ? (image.Cmd ?? null) : own.Cmd;
  const isReset = entrypoint?.length === 1 && entrypoint[0] === '';
  const known = new Set(own.Env.map((e) => e.split('=', 1)[0]));
  const inheritedEnv = (image.Env ?? []).filter((e) => !known.has(e.split('=', 1)[0]));
  const health = mergedHealth(own.Healthcheck, image.Healthcheck);
  const ports = { ...image.ExposedPorts, ...own.ExposedPorts };
  const volumes = { ...image.Volumes, ...own.Volumes };
  const stopSignal = own.StopSignal || image.StopSignal;
  const shell = nothing(own.Shell ?? null) ? image.Shell : own.Shell;
  const merged: ContainerConfig = {
    ...own,
    User: own.User || (image.User ?? ''),
    Env: [...own.Env, ...inheritedEnv],
    Labels: { ...image.Labels, ...own.Labels },
    WorkingDir: own.WorkingDir ? posix.normalize(own.WorkingDir) : (image.WorkingDir ?? ''),
    Entrypoint: isReset ? null : entrypoint,
    Cmd: cmd,
    Volumes: Object.keys(volumes).length === 0 ? null : volumes,
    ...(Object.keys(ports).length === 0 ? {} : { ExposedPorts: ports }),
    ...(health === undefined ? {} : { Healthcheck: health }),
    ...(stopSignal === undefined || stopSignal === '' ? {} : { StopSignal: stopSignal }),
    ...(shell === undefined ? {} : { Shell: shell }),
  };
  if (nothing(merged.Entrypoint) && nothing(merged.Cmd)) throw badParameter('no command specified');
  return merged;
}

export function programOf(c: ContainerConfig): { readonly path: string; readonly args: readonly string[] } {
  const [path = '', ...args] = [...(c.Entrypoint ?? []), ...(c.Cmd ?? [])];
  return { path, args };
}

function nothing(list: readonly string[] | null): boolean {
  return list === null || list.length === 0;
}

function mergedHealth(own: HealthConfig | undefined, image: HealthConfig | undefined): HealthConfig | undefined {
  if (own === undefined || image === undefined) return own ?? image;
  if ((own.Test ?? []).length > 0 && own.Test?.[0] === 'NONE') return own;
  const out: Record<string, unknown> = { ...image };
  for (const [key, value] of Object.entries(own))
    if (value !== 0 && !(Array.isArray(value) && value.length === 0)) out[key] = value;
  return out;
}

export interface HostDefaults {
  readonly cgroupVersion: 'v1' | 'v2' | 'hybrid';
  readonly version: number;
  /** Ids of other containers, for modes that name one; undefined = there is none. */
  readonly containerId: (text: string) => string | undefined;
}

const NO_RESTART: RestartPolicy = { Name: 'no', MaximumRetryCount: 0 };

export function filledHostConfig(h: HostConfig, d: HostDefaults): HostConfig {
  const memory = h.Memory ?? 0;
  const isPrivileged = h.Privileged === true;
  const cgroupns = isPrivileged && d.cgroupVersion !== 'v2' ? 'host' : d.cgroupVersion === 'v2' ? 'private' : 'host';
  const named = (mode: string): string => {
    if (!mode.startsWith('container:')) return mode;
    const id = d.containerId(mode.slice('container:'.length));
    return id === undefined ? mode : `container:${id}`;
  };
  const policy = h.RestartPolicy;
  const log = h.LogConfig;
  return {
    ...h,
    ...(memory > 0 && (h.MemorySwap ?? 0) === 0 ? { MemorySwap: memory * 2 } : {}),
    LogConfig: log === undefined || log.Type === '' ? { Type: 'json-file', Config: log?.Config ?? {} } : log,
    NetworkMode: named(h.NetworkMode === '' || h.NetworkMode === 'default' ? 'bridge' : h.NetworkMode),
    RestartPolicy: policy === undefined || policy.Name === '' ? NO_RESTART : policy,
    IpcMode: named(
      h.IpcMode === undefined || h.IpcMode === '' ? (d.version < 40 ? 'shareable' : 'private') : h.IpcMode,
    ),
    PidMode: named(h.PidMode ?? ''),
    CgroupnsMode: h.CgroupnsMode === undefined || h.CgroupnsMode === '' ? cgroupns : h.CgroupnsMode,
    ShmSize: h.ShmSize === undefined || h.ShmSize === 0 ? SHM_BYTES : h.ShmSize,
    OomKillDisable: d.cgroupVersion === 'v2' ? null : (h.OomKillDisable ?? false),
    Runtime: h.Runtime === undefined || h.Runtime === '' ? 'runc' : h.Runtime,
    ...(isPrivileged
      ? {}
      : { MaskedPaths: h.MaskedPaths ?? MASKED_PATHS, ReadonlyPaths: h.ReadonlyPaths ?? READONLY_PATHS }),
  };
}

/**
 * What it asks of each network, by the network's name. `nameOf`: the name that a mode or an id stands for; what nobody
 * knows stays, and is refused at the start.
 */
export function endpointsOf(
  body: Pick<CreateBody, 'endpoints' | 'macAddress'>,
  networkMode: string,
  nameOf: (text: string) => string,
): Readonly<Record<string, EndpointSettings>> {
  if (networkMode.startsWith('container:')) {
    if (Object.keys(body.endpoints).length > 0)
      throw badParameter('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
    return {};
  }
  const first = nameOf(networkMode);
  const out: Record<string, EndpointSettings> = {};
  for (const [text, endpoint] of Object.entries(body.endpoints)) {
    const name = text === 'default' ? 'bridge' : nameOf(text);
    if (Object.hasOwn(out, name)) throw badParameter(`conflicting options: network ${name} is named twice`);
    out[name] = endpoint;
  }
  const own = out[first] ?? {};
  const { [first]: _, ...others } = out;
  if ((first === 'host' || first === 'none') && Object.keys(others).length > 0)
    throw badParameter('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
  const mac = own.MacAddress || body.macAddress;
  if (mac !== '' && body.macAddress !== '' && mac !== body.macAddress)
    throw badParameter(
      'the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty',
    );
  return { [first]: mac === '' ? own : { ...own, MacAddress: mac }, ...others };
}
