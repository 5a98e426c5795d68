/**
 * Makes a container: all is checked first; then its record, its volumes, its root. What a crash or a failure leaves half-made has
 * a record that says "to be removed". Source: moby daemon/create.go, create_unix.go, volumes.go.
 */
import { stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { posix } from 'node:path';
import type { Ctx } from '#lib/base';
import type { Image } from '../../../images/images.ts';
import type { ContainerId } from '../../../runtime/runtime.ts';
import { badParameter, type EngineError, notFound } from '../../http/contract.ts';
import type { ContainerRecord, EngineHost, EngineImages, EngineNetworks, EngineVolumes } from '../../parts.ts';
import { logSettings } from '../../streams/log-options.ts';
import type { ContainerConfig, HostConfig, ImageDocument, MountPoint } from '../../types.ts';
import { ANONYMOUS_LABEL } from '../../volumes/record.ts';
import type { StoredContainer } from '../life/ports.ts';
import type { CreateBody } from './decode.ts';
import { endpointsOf, filledHostConfig, mergedConfig, programOf } from './defaults.ts';
import { anonymousMount, inherited, volumesFromOf, type WantedMount, wantedMounts } from './mounts.ts';
import { validate } from './validate.ts';
import type { MachineFacts } from './validate-resources.ts';

export interface CreatePorts {
  readonly host: Pick<EngineHost, 'clock' | 'random' | 'runtime'>;
  readonly images: EngineImages;
  readonly volumes: EngineVolumes;
  readonly networks: EngineNetworks;
  readonly machine: MachineFacts;
  /** Throws 404. */
  find(text: string): { readonly record: ContainerRecord };
  /** `name` '' = any. Throws 400, 409. */
  reserve(name: string, id: ContainerId): string;
  release(name: string, id: ContainerId): void;
  save(s: StoredContainer): Promise<void>;
  root(r: ContainerRecord, image: Image, c: Ctx): Promise<string>;
  /** Undoes what was made. */
  discard(r: ContainerRecord, c: Ctx): Promise<void>;
}

export interface Created {
  readonly stored: StoredContainer;
  readonly warnings: readonly string[];
}

/** Throws EngineError; then nothing is left. `version`: of the API. */
export async function createContainer(
  p: CreatePorts,
  body: CreateBody,
  o: { readonly name: string; readonly version: number; readonly platform?: string },
  c: Ctx,
): Promise<Created> {
  const idOf = (text: string): string | undefined => {
    try {
      return p.find(text).record.id;
    } catch {
      return undefined; // told at the start
    }
  };
  const cgroupVersion = p.machine.cgroupVersion;
  const hostConfig = filledHostConfig(body.hostConfig, { cgroupVersion, version: o.version, containerId: idOf });
  const warnings = validate(body.config, hostConfig, p.machine);
  logSettings(hostConfig.LogConfig);
  checkRuntime(p, hostConfig);
  await checkBinds(hostConfig);
  if (body.config.Image === '') throw badParameter('config cannot be empty in order to create a container');
  const { image, document } = await p.images.find(body.config.Image, c);
  checkPlatform(o.platform ?? '', body.config.Image, document);
  const merged = mergedConfig(body.config, document.config);
  const nameOf = (text: string): string => {
    try {
      return p.networks.resolve(text).name;
    } catch {
      return text; // told at the start
    }
  };
  const endpoints = endpointsOf(body, hostConfig.NetworkMode, nameOf);
  const id = p.host.random.hex(32) as ContainerId;
  const config = { ...merged, Hostname: hostnameOf(merged, hostConfig, id) };
  const mounts = mountsOf(p, config, hostConfig);
  const name = p.reserve(o.name, id);
  const record: ContainerRecord = {
    ...{ id, name, createdAtMs: p.host.clock.now(), imageId: document.id, ...programOf(config), config },
    hostConfig: { ...hostConfig, NetworkMode: Object.keys(endpoints)[0] ?? hostConfig.NetworkMode },
    ...{ endpoints, mounts: [], restartCount: 0, isStoppedByUser: false, error: '' },
  };
  let latest = record;
  const save = async (s: StoredContainer): Promise<void> => {
    latest = s.record;
    await p.save(s);
  };
  try {
    return { stored: await make({ ...p, save }, record, { ...mounts, image }, c), warnings };
  } catch (e) {
    await p.discard(latest, c).finally(() => p.release(name, id));
    throw e;
  }
}

interface Parts {
  readonly wanted: readonly WantedMount[];
  readonly inherited: readonly MountPoint[];
  readonly image: Image;
}

async function make(p: CreatePorts, record: ContainerRecord, parts: Parts, c: Ctx): Promise<StoredContainer> {
  const hasVolumes = parts.wanted.some((w) => w.type === 'volume');
  if (!hasVolumes) {
    const plain = parts.wanted.map((w) => mountPointOf(w));
    const stored = { record: { ...record, mounts: [...parts.inherited, ...plain] }, hasRun: false };
    await p.save(stored);
    await p.root(stored.record, parts.image, c);
    return stored;
  }
  /* Who makes an anonymous volume has its name on disk before. */
  const named = parts.wanted.map((w) => ({ w, name: w.source || p.host.random.hex(32) }));
  const names = named.flatMap(({ w, name }) => (w.type === 'volume' ? [{ ...mountPointOf(w), Name: name }] : []));
  await p.save({ record: { ...record, mounts: names }, hasRun: false, removal: { volumes: true } });
  const rootfs = await p.root(record, parts.image, c);
  const mounts: MountPoint[] = [...parts.inherited];
  for (const { w, name } of named)
    mounts.push(w.type === 'volume' ? await volumeMount(p, { w, name }, rootfs, c) : mountPointOf(w));
  const stored = { record: { ...record, mounts }, hasRun: false };
  await p.save(stored);
  return stored;
}

async function volumeMount(
  p: CreatePorts,
  { w, name }: { readonly w: WantedMount; readonly name: string },
  rootfs: string,
  c: Ctx,
): Promise<MountPoint> {
  const { driver, options } = w;
  const labels = w.source === '' ? { ...w.labels, [ANONYMOUS_LABEL]: '' } : w.labels;
  const volume = await p.volumes.create({ name, driver, labels, options }, c);
  if (w.isCopied) await p.volumes.copyUp(volume.name, { rootfs, path: w.target }, c);
  return { ...mountPointOf(w), Name: volume.name, Source: volume.mountpoint, Driver: volume.driver };
}

function mountPointOf(w: WantedMount): MountPoint {
  return {
    Type: w.type,
    Source: w.source,
    Destination: w.target,
    Mode: w.mode || (w.type === 'volume' ? 'z' : ''),
    RW: !w.readOnly,
    Propagation: w.propagation,
  };
}

/** Of other containers, then those that are named, then what the image says is a volume. */
function mountsOf(p: CreatePorts, config: ContainerConfig, h: HostConfig): Omit<Parts, 'image'> {
  const wanted = [...wantedMounts(h)];
  const taken = new Set([
    ...wanted.map((w) => w.target),
    ...Object.keys(h.Tmpfs ?? {}).map((t) => posix.resolve('/', t)),
  ]);
  const from: MountPoint[] = [];
  for (const text of h.VolumesFrom ?? []) {
    const { container, mode } = volumesFromOf(text);
    for (const m of p.find(container).record.mounts) {
      if (taken.has(m.Destination)) continue;
      taken.add(m.Destination);
      from.push(inherited(m, mode));
    }
  }
  for (const path of Object.keys(config.Volumes ?? {})) {
    const w = anonymousMount(path, h.VolumeDriver || undefined);
    if (!taken.has(w.target)) wanted.push(w);
    taken.add(w.target);
  }
  return { wanted, inherited: from };
}

function hostnameOf(config: ContainerConfig, h: HostConfig, id: string): string {
  if (config.Hostname !== '') return config.Hostname;
  if (h.NetworkMode.startsWith('container:')) return '';
  return h.NetworkMode === 'host' || h.UTSMode === 'host' ? hostname() : id.slice(0, 12);
}

function checkRuntime(p: CreatePorts, { Runtime: name = 'runc' }: HostConfig): void {
  const known = [
    'runc',
    'io.containerd.runc.v2',
    ...p.host.runtime.handlers.map((h) => h.name).filter((n) => n !== ''),
  ];
  if (!known.includes(name)) throw badParameter(`unknown or invalid runtime name: ${name}`);
}

/** Who hears 404 pulls the image of the platform. Source: moby daemon/images/image.go. */
function checkPlatform(wish: string, name: string, d: ImageDocument): void {
  if (wish === '') return;
  const [os = '', architecture = '', variant = ''] = wish.toLowerCase().split('/');
  const isFit =
    os === d.os &&
    (architecture === '' || architecture === d.architecture) &&
    (variant === '' || d.variant === '' || variant === d.variant);
  if (isFit) return;
  const own = [d.os, d.architecture, d.variant].filter((t) => t !== '').join('/');
  throw notFound(
    `image with reference ${name} was found but its platform (${own}) does not match the specified platform (${wish})`,
  );
}

/** Of Mounts; `-v` makes what is missing. */
async function checkBinds(h: HostConfig): Promise<void> {
  for (const w of wantedMounts(h)) {
    if (w.type !== 'bind' || w.makesSource) continue;
    if ((await stat(w.source).catch(() => undefined)) === undefined)
      throw badParameter(`invalid mount config for type "bind": bind source path does not exist: ${w.source}`);
  }
}

/** A body of nothing. */
export function noBody(): EngineError {
  return badParameter('config cannot be empty in order to create a container');
}
