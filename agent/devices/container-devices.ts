/**
 * What plugins give a container, as the OCI specification has it. Their paths are the host's, and trusted as those of whoever may
 * register here; what they say is checked for its form. Source: kubernetes pkg/kubelet/cm/devicemanager/pod_devices.go
 * (deviceRunContainerOptions); containerd pkg/oci (devices of a folder).
 */
import type { Stats } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { StatusError } from '#lib/base';
import { deviceNumbers } from '../runtime/isolation/host-devices.ts';
import type { OciDevice, OciHooks, OciResources } from '../runtime/oci-spec.ts';
import type { BindMount } from '../runtime/spec.ts';
import { CDI_FOLDERS, cdiEdits } from './cdi.ts';
import type { ContainerAllocation } from './protocol.ts';

export interface ContainerDevices {
  readonly environment: ReadonlyMap<string, string>;
  readonly binds: readonly BindMount[];
  readonly devices: readonly OciDevice[];
  /** Of the cgroup. */
  readonly rules: NonNullable<OciResources['devices']>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooks: OciHooks;
  /** Supplementary. */
  readonly groups: readonly number[];
}

export const NO_DEVICES: ContainerDevices = {
  environment: new Map(),
  binds: [],
  devices: [],
  rules: [],
  annotations: {},
  hooks: {},
  groups: [],
};
/** In a folder that is given as a device. */
const NODES_MAX = 512;

export async function containerDevices(
  own: readonly ContainerAllocation[],
  cdiFolders: readonly string[] = CDI_FOLDERS,
): Promise<ContainerDevices> {
  if (own.length === 0) return NO_DEVICES;
  const names = own.flatMap((g) => g.cdi_devices.map((d) => d.name));
  const cdi = names.length === 0 ? undefined : await cdiEdits(names, cdiFolders);
  const given = cdi === undefined ? own : [...own, cdi.allocation];
  const environment = new Map(given.flatMap((g) => Object.entries(g.envs)));
  const annotations = Object.fromEntries(given.flatMap((g) => Object.entries(g.annotations)));
  const binds = given
    .flatMap((g) => g.mounts)
    .map((m) => ({
      source: checkedPath(m.host_path),
      target: checkedPath(m.container_path),
      readOnly: m.read_only,
      propagation: 'rprivate' as const,
    }));
  const devices = new Map<string, OciDevice>();
  const rules: NonNullable<OciResources['devices']> = [];
  for (const d of given.flatMap((g) => g.devices)) {
    const access = d.permissions === '' ? 'rwm' : d.permissions;
    if (!/^[rwm]{1,3}$/.test(access)) throw new StatusError('Invalid', `device permissions "${access}" are invalid`);
    for (const node of await nodesAt(checkedPath(d.host_path), checkedPath(d.container_path))) {
      devices.set(node.path, node);
      rules.push({ allow: true, type: node.type, major: node.major, minor: node.minor, access });
    }
  }
  const { hooks = {}, groups = [] } = cdi ?? {};
  return { environment, binds, devices: [...devices.values()], rules, annotations, hooks, groups };
}

async function nodesAt(host: string, container: string): Promise<OciDevice[]> {
  const found = await stat(host).catch((e: unknown) => {
    throw new StatusError('NotFound', `device ${host} does not exist`, { cause: e });
  });
  if (!found.isDirectory()) return [nodeOf(found, host, container)];
  const names = (await readdir(host)).sort();
  if (names.length > NODES_MAX) throw new StatusError('Invalid', `${host} has more than ${NODES_MAX} entries`);
  const out: OciDevice[] = [];
  for (const name of names) {
    const inside = await stat(join(host, name)).catch(() => undefined);
    if (inside?.isCharacterDevice() === true || inside?.isBlockDevice() === true)
      out.push(nodeOf(inside, join(host, name), join(container, name)));
  }
  return out;
}

function nodeOf(found: Stats, host: string, path: string): OciDevice {
  const isBlock = found.isBlockDevice();
  if (!isBlock && !found.isCharacterDevice()) throw new StatusError('Invalid', `${host} is not a device`);
  const { major, minor } = deviceNumbers(BigInt(found.rdev));
  const { mode, uid, gid } = found;
  return { path, type: isBlock ? 'b' : 'c', major, minor, fileMode: mode & 0o777, uid, gid };
}

function checkedPath(path: string): string {
  if (!path.startsWith('/') || path.includes('\0') || path.split('/').includes('..'))
    throw new StatusError('Invalid', `path "${path}" of a device plugin is not absolute or holds ".."`);
  return path;
}
