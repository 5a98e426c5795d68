/**
 * What a create may ask for, all of it checked before anything is made; what this machine cannot do is a warning. Pure.
 * Source: moby daemon/container.go (verifyContainerSettings), daemon_unix.go (verifyPlatformContainerSettings), whose words these are.
 */
import { isIP } from 'node:net';
import { badParameter } from '../../http/contract.ts';
import type { ContainerConfig, HealthConfig, HostConfig, PortMap } from '../../types.ts';
import { signalOf } from '../life/signals.ts';
import { CAPABILITIES, capabilityName } from '../run/capabilities.ts';
import { securityOf } from '../run/security-options.ts';
import { checkMounts } from './mounts.ts';
import { checkResources, type MachineFacts } from './validate-resources.ts';

const HOSTNAME_MAX = 64;
const MINIMUM_NS = 1_000_000;
const PORT = /^(\d{1,5})(?:\/(?:tcp|udp|sctp))?$/i;
const PORT_RANGE = /^(\d{1,5})(?:-(\d{1,5}))?$/;

/** Throws 400; the warnings are for the user. `hostConfig` has its defaults. */
export function validate(config: ContainerConfig, hostConfig: HostConfig, machine: MachineFacts): readonly string[] {
  checkConfig(config);
  checkHostConfig(hostConfig);
  const warnings = [...checkResources(hostConfig, machine)];
  checkModes(config, hostConfig);
  if (hostConfig.NetworkMode === 'host' && Object.keys(hostConfig.PortBindings ?? {}).length > 0)
    warnings.push('Published ports are discarded when using host network mode');
  if (!machine.canRaiseLimits)
    for (const u of hostConfig.Ulimits ?? [])
      if (u.Hard > (machine.hardLimits.get(`RLIMIT_${u.Name.toUpperCase()}`) ?? Number.POSITIVE_INFINITY))
        warnings.push(`This host does not allow ulimit ${u.Name} above its own hard limit. Ulimit lowered to it.`);
  return warnings;
}

function checkConfig(config: ContainerConfig): void {
  if (config.Hostname.length > HOSTNAME_MAX)
    throw badParameter(`hostname ${JSON.stringify(config.Hostname)} is too long (maximum ${HOSTNAME_MAX} bytes)`);
  if (config.Hostname !== '' && !/^[A-Za-z0-9_.-]+$/.test(config.Hostname))
    throw badParameter(`invalid hostname format: ${config.Hostname}`);
  if (config.WorkingDir !== '' && !config.WorkingDir.startsWith('/'))
    throw badParameter(`the working directory '${config.WorkingDir}' is invalid, it needs to be an absolute path`);
  if (config.StopSignal !== undefined && config.StopSignal !== '') signalOf(config.StopSignal);
  for (const e of config.Env)
    if (e === '' || e.startsWith('=')) throw badParameter(`invalid environment variable: ${e}`);
  checkHealth(config.Healthcheck);
  for (const port of Object.keys(config.ExposedPorts ?? {})) checkPort(port);
}

function checkHealth(health: HealthConfig | undefined): void {
  if (health === undefined) return;
  for (const key of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval'] as const) {
    const value = health[key] ?? 0;
    if (value !== 0 && value < MINIMUM_NS) throw badParameter(`${key} in Healthcheck cannot be less than 1ms`);
  }
  if ((health.Retries ?? 0) < 0) throw badParameter('Retries in Healthcheck cannot be negative');
}

function checkHostConfig(h: HostConfig): void {
  const { Name: policy = '', MaximumRetryCount: retries = 0 } = h.RestartPolicy ?? {};
  if (h.AutoRemove === true && policy !== '' && policy !== 'no')
    throw badParameter("can't create 'AutoRemove' container with restart policy");
  if (policy !== 'on-failure' && retries !== 0)
    throw badParameter(
      "invalid restart policy: maximum retry count can only be used with 'on-failure'" +
        (retries < 0 ? ' and cannot be negative' : ''),
    );
  if (retries < 0) throw badParameter('invalid restart policy: maximum retry count cannot be negative');
  checkMounts(h);
  checkPortBindings(h.PortBindings ?? {});
  for (const [key, names] of [
    ['CapAdd', h.CapAdd],
    ['CapDrop', h.CapDrop],
  ] as const)
    for (const name of names ?? [])
      if (capabilityName(name) !== 'ALL' && !CAPABILITIES.has(capabilityName(name)))
        throw badParameter(`invalid ${key}: unknown capability: ${JSON.stringify(name)}`);
  for (const host of h.ExtraHosts ?? [])
    if (!/^[^:=]+[:=].+$/.test(host)) throw badParameter(`bad format for add-host: ${JSON.stringify(host)}`);
  if (Object.hasOwn(h.Annotations ?? {}, ''))
    throw badParameter('invalid Annotations: the empty string is not permitted as an annotation key');
  securityOf(h.SecurityOpt ?? []);
  for (const rule of h.DeviceCgroupRules ?? [])
    if (!/^[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}$/.test(rule))
      throw badParameter(`invalid device cgroup rule format: '${rule}'`);
  if ((h.DeviceRequests ?? []).length > 0)
    throw badParameter('could not select device driver "" with capabilities: [[gpu]]');
}

function checkPortBindings(bindings: PortMap): void {
  for (const [port, hosts] of Object.entries(bindings)) {
    checkPort(port);
    for (const { HostPort } of hosts ?? []) if (HostPort !== '') checkRange(HostPort, PORT_RANGE);
  }
}

function checkPort(port: string): void {
  checkRange(port, PORT);
}

function checkRange(text: string, form: RegExp): void {
  const found = form.exec(text);
  const first = Number(found?.[1] ?? 0);
  const last = Number(found?.[2] ?? first);
  const isZeroAllowed = form === PORT_RANGE;
  if (found === null || last > 65_535 || last < first || (first === 0 && !isZeroAllowed))
    throw badParameter(`invalid port specification: ${JSON.stringify(text)}`);
}

function checkModes(config: ContainerConfig, h: HostConfig): void {
  const isContainer = (mode: string): boolean => mode.startsWith('container:') && mode.length > 'container:'.length;
  const ipc = h.IpcMode ?? '';
  if (!['', 'none', 'private', 'shareable', 'host'].includes(ipc) && !isContainer(ipc))
    throw badParameter(`invalid IPC mode: ${ipc}`);
  const pid = h.PidMode ?? '';
  if (!['', 'host'].includes(pid) && !isContainer(pid)) throw badParameter(`invalid PID mode: ${pid}`);
  if (!['', 'host'].includes(h.UTSMode ?? '')) throw badParameter(`invalid UTS mode: ${h.UTSMode}`);
  if (!['', 'host'].includes(h.UsernsMode ?? '')) throw badParameter(`invalid user namespace mode: ${h.UsernsMode}`);
  if (!['', 'host', 'private'].includes(h.CgroupnsMode ?? ''))
    throw badParameter(`invalid cgroup namespace mode: ${h.CgroupnsMode}`);
  if ((h.ShmSize ?? 0) < 0) throw badParameter('SHM size can not be less than 0');
  const oom = h.OomScoreAdj ?? 0;
  if (oom < -1000 || oom > 1000) throw badParameter(`Invalid value ${oom}, range for oom score adj is [-1000, 1000]`);
  if (h.UTSMode === 'host' && (config.Hostname !== '' || config.Domainname !== ''))
    throw badParameter('conflicting options: hostname and the UTS mode');
  if (isContainer(h.NetworkMode)) {
    if (config.Hostname !== '') throw badParameter('conflicting options: hostname and the network mode');
    if ((h.Links ?? []).length > 0)
      throw badParameter(
        "conflicting options: container type network can't be used with links. This would result in undefined behavior",
      );
    if ((h.Dns ?? []).length > 0) throw badParameter('conflicting options: dns and the network mode');
    if ((h.ExtraHosts ?? []).length > 0)
      throw badParameter('conflicting options: custom host-to-IP mapping and the network mode');
    if (Object.keys(h.PortBindings ?? {}).length > 0 || h.PublishAllPorts === true)
      throw badParameter('conflicting options: port publishing and the container type network mode');
    if (Object.keys(config.ExposedPorts ?? {}).length > 0)
      throw badParameter('conflicting options: port exposing and the container type network mode');
  }
  if (h.NetworkMode === 'container:')
    throw badParameter('Invalid network mode: invalid container format container:<name|id>');
  if (h.NetworkMode === 'host' && (h.Links ?? []).length > 0)
    throw badParameter(
      "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
    );
  if ((h.Links ?? []).some((l) => l === '' || l.startsWith(':'))) throw badParameter('bad format for links');
  for (const server of h.Dns ?? [])
    if (isIP(server) === 0) throw badParameter(`bad nameserver address ${JSON.stringify(server)}`);
}
