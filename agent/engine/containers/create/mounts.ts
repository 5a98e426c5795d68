/**
 * What a container wants mounted, out of Binds, Mounts, Tmpfs, VolumesFrom and the image's VOLUMEs, each target once. Pure.
 * Source: moby volume/mounts/linux_parser.go, daemon/volumes.go (registerMountPoints), whose words these are.
 */
import { posix } from 'node:path';
import { badParameter } from '../../http/contract.ts';
import type { HostConfig, Mount, MountPoint } from '../../types.ts';

export interface WantedMount {
  readonly type: 'bind' | 'volume' | 'tmpfs' | 'image';
  readonly target: string;
  /** A path of the host, a volume's name ('' = anonymous), an image. */
  readonly source: string;
  readonly readOnly: boolean;
  readonly mode: string;
  readonly propagation: string;
  readonly isCopied: boolean;
  /** A folder is made where a bind's source is missing. */
  readonly makesSource: boolean;
  readonly driver: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly options: Readonly<Record<string, string>>;
}

const PROPAGATIONS = ['private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared'];
const MODE_GROUPS: readonly (readonly string[])[] = [
  ['rw', 'ro'],
  ['z', 'Z'],
  PROPAGATIONS,
  ['nocopy'],
  ['consistent', 'cached', 'delegated'],
];
const DEFAULT_PROPAGATION = 'rprivate';

/** Throws 400, also for two of one target. Without VolumesFrom and the image's. */
export function wantedMounts(h: HostConfig): readonly WantedMount[] {
  const out = new Map<string, WantedMount>();
  const add = (m: WantedMount): void => {
    if (out.has(m.target)) throw badParameter(`Duplicate mount point: ${m.target}`);
    out.set(m.target, m);
  };
  for (const text of h.Binds ?? []) add(bindOf(text, h.VolumeDriver ?? ''));
  for (const m of h.Mounts ?? []) add(mountOf(m));
  for (const target of Object.keys(h.Tmpfs ?? {}))
    if (out.has(targetOf(target, (why) => badParameter(`invalid tmpfs mount: ${why}`))))
      throw badParameter(`Duplicate mount point: ${target}`);
  return [...out.values()];
}

export function checkMounts(h: HostConfig): void {
  wantedMounts(h);
  for (const text of h.VolumesFrom ?? []) volumesFromOf(text);
}

/** `CONTAINER[:ro|rw|z|Z]`. Throws 400. */
export function volumesFromOf(text: string): { readonly container: string; readonly mode: string } {
  if (text === '') throw badParameter('volumes-from specification cannot be an empty string');
  const at = text.indexOf(':');
  const mode = at < 0 ? 'rw' : text.slice(at + 1);
  const isPlain = isMode(mode) && !mode.split(',').some((o) => PROPAGATIONS.includes(o) || o === 'nocopy');
  if (!isPlain) throw badParameter(`invalid mode: ${mode}`);
  return { container: at < 0 ? text : text.slice(0, at), mode };
}

/** A mount of another container, as `--volumes-from` takes it over. */
export function inherited(m: MountPoint, mode: string): MountPoint {
  return { ...m, RW: m.RW && !mode.split(',').includes('ro'), Mode: mode, Propagation: '' };
}

/** An anonymous volume of the image or of `-v /path`. */
export function anonymousMount(target: string, driver: string | undefined): WantedMount {
  const what = `invalid volume specification: '${target}'`;
  return { ...PLAIN, type: 'volume', target: targetOf(target, (why) => badParameter(`${what}: ${why}`)), driver };
}

/** What hostConfig.Mounts says of the mount at a target, if it is one of these. */
export function mountSpecOf(h: HostConfig, target: string): Mount | undefined {
  return (h.Mounts ?? []).find((m) => posix.resolve('/', m.Target) === target);
}

const PLAIN = {
  source: '',
  readOnly: false,
  mode: '',
  propagation: '',
  isCopied: true,
  makesSource: false,
  driver: undefined,
  labels: {},
  options: {},
} as const;

function bindOf(raw: string, volumeDriver: string): WantedMount {
  const parts = raw.split(':');
  const invalid = (why = ''): Error => badParameter(`invalid volume specification: '${raw}'${why}`);
  const [first = '', second, mode = ''] = parts;
  const driver = volumeDriver === '' ? undefined : volumeDriver;
  if (first === '' || parts.length > 3) throw invalid();
  if (second === undefined) return anonymousMount(first, driver);
  if (parts.length === 2 && isMode(second)) throw invalid();
  if (!isMode(mode)) throw badParameter(`invalid mode: ${mode}`);
  const target = targetOf(second, (why) => invalid(`: invalid mount config for type "bind": ${why}`));
  const options = mode.split(',');
  const isBind = first.startsWith('/');
  return {
    ...PLAIN,
    type: isBind ? 'bind' : 'volume',
    target,
    source: isBind ? posix.normalize(first).replace(/(?<=.)\/$/, '') : first,
    readOnly: options.includes('ro'),
    mode,
    propagation: options.find((o) => PROPAGATIONS.includes(o)) ?? (isBind ? DEFAULT_PROPAGATION : ''),
    isCopied: !options.includes('nocopy'),
    makesSource: isBind,
    driver: isBind ? undefined : driver,
  };
}

function isMode(mode: string): boolean {
  if (mode === '') return true;
  const options = mode.split(',');
  return (
    options.every((o) => MODE_GROUPS.some((g) => g.includes(o))) &&
    MODE_GROUPS.every((g) => options.filter((o) => g.includes(o)).length <= 1)
  );
}

function mountOf(m: Mount): WantedMount {
  const invalid = (why: string): Error => badParameter(`invalid mount config for type "${m.Type}": ${why}`);
  if (m.Target === '') throw invalid('field Target must not be empty');
  const target = targetOf(m.Target, invalid);
  const source = m.Source ?? '';
  const own = { bind: 'BindOptions', volume: 'VolumeOptions', tmpfs: 'TmpfsOptions', image: 'ImageOptions' }[m.Type];
  for (const field of ['BindOptions', 'VolumeOptions', 'TmpfsOptions', 'ImageOptions'] as const)
    if (field !== own && m[field] !== undefined) throw invalid(`field ${field} must not be specified`);
  const common = { ...PLAIN, type: m.Type, target, source, readOnly: m.ReadOnly === true };
  switch (m.Type) {
    case 'bind': {
      const propagation = m.BindOptions?.Propagation ?? '';
      if (source === '') throw invalid('field Source must not be empty');
      if (!source.startsWith('/')) throw invalid(`invalid mount path: '${source}' mount path must be absolute`);
      if (propagation !== '' && !PROPAGATIONS.includes(propagation))
        throw invalid(`invalid propagation mode: ${propagation}`);
      const makesSource = m.BindOptions?.CreateMountpoint === true;
      return { ...common, propagation: propagation || DEFAULT_PROPAGATION, makesSource };
    }
    case 'volume': {
      const { NoCopy, Labels = {}, Subpath = '', DriverConfig } = m.VolumeOptions ?? {};
      if (Subpath !== '' && source === '') throw invalid('must not set Subpath when using anonymous volumes');
      checkSubpath(Subpath, invalid);
      if (m.ReadOnly === true && source === '')
        throw invalid('must not set ReadOnly mode when using anonymous volumes');
      return {
        ...common,
        isCopied: NoCopy !== true && Subpath === '',
        driver: DriverConfig?.Name === '' ? undefined : DriverConfig?.Name,
        labels: Labels,
        options: DriverConfig?.Options ?? {},
      };
    }
    case 'tmpfs':
      if (source !== '') throw invalid('field Source must not be specified');
      for (const o of m.TmpfsOptions?.Options ?? [])
        if (o[0] !== 'exec' && o[0] !== 'noexec') throw invalid(`invalid option: ${o[0] ?? ''}`);
      return common;
    case 'image':
      if (source === '') throw invalid('field Source must not be empty');
      checkSubpath(m.ImageOptions?.Subpath ?? '', invalid);
      return { ...common, readOnly: true };
  }
}

function checkSubpath(path: string, invalid: (why: string) => Error): void {
  if (path.startsWith('/') || path.split('/').includes('..'))
    throw invalid('subpath must be a relative path within the volume');
}

function targetOf(path: string, invalid: (why: string) => Error): string {
  if (!path.startsWith('/')) throw invalid(`invalid mount path: '${path}' mount path must be absolute`);
  const target = posix.resolve('/', path);
  if (target === '/') throw invalid("invalid specification: destination can't be '/'");
  return target;
}
