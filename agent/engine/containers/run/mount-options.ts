/** A container's mounts as those of the OCI specification. Pure. Source: moby daemon/oci_linux.go (withMounts), sys/mount (MergeTmpfsOptions). */
import type { OciMount } from '../../../runtime/oci-spec.ts';
import { EngineError } from '../../http/contract.ts';
import type { Mount, MountPoint } from '../../types.ts';

const TMPFS_DEFAULTS = ['noexec', 'nosuid', 'nodev'];
const TMPFS_VALUES = ['size', 'mode', 'uid', 'gid', 'nr_inodes', 'nr_blocks', 'mpol'];
/** What a flag undoes. */
const OPPOSITES: Readonly<Record<string, string>> = {
  exec: 'noexec',
  suid: 'nosuid',
  dev: 'nodev',
  rw: 'ro',
  async: 'sync',
  atime: 'noatime',
  diratime: 'nodiratime',
  norelatime: 'relatime',
  nostrictatime: 'strictatime',
};
const FLAGS = new Set([...Object.keys(OPPOSITES), ...Object.values(OPPOSITES), 'defaults']);

/** Below a file nothing is mounted, and crun 1.8 fails with `rro` on one. */
export function bindMount(
  m: MountPoint,
  source: { readonly path: string; readonly isFolder: boolean },
  spec: Mount | undefined,
  canRecursive: boolean,
): OciMount {
  const o = spec?.BindOptions;
  const isRecursive = o?.NonRecursive !== true;
  const isWhole = canRecursive && isRecursive && o?.ReadOnlyNonRecursive !== true;
  const readOnly = isWhole && source.isFolder ? 'rro' : 'ro';
  if (!m.RW && o?.ReadOnlyForceRecursive === true && !isWhole)
    throw new EngineError(500, 'rro is not supported by this host');
  return {
    destination: m.Destination,
    type: 'bind',
    source: source.path,
    options: [isRecursive ? 'rbind' : 'bind', m.Propagation || 'rprivate', m.RW ? 'rw' : readOnly],
  };
}

/** Of `--mount type=tmpfs`. */
export function tmpfsMount(m: MountPoint, spec: Mount | undefined): OciMount {
  const { SizeBytes: size = 0, Mode: mode = 0, Options: others = [] } = spec?.TmpfsOptions ?? {};
  const options = [
    ...(m.RW ? [] : ['ro']),
    ...(mode === 0 ? [] : [`mode=${mode.toString(8)}`]),
    ...(size === 0 ? [] : [`size=${size}`]),
    ...others.map((o) => o.join('=')),
  ];
  return { destination: m.Destination, type: 'tmpfs', source: 'tmpfs', options: tmpfsOptions(options) };
}

/** Of `--tmpfs /run:size=64m,exec`. */
export function plainTmpfs(destination: string, options: string): OciMount {
  const own = options === '' ? [] : options.split(',');
  return { destination, type: 'tmpfs', source: 'tmpfs', options: tmpfsOptions(own) };
}

/** Later ones win. Throws what a start fails with. */
export function tmpfsOptions(own: readonly string[]): string[] {
  let out = [...TMPFS_DEFAULTS];
  for (const option of own) {
    const [key = ''] = option.split('=', 1);
    if (option.includes('=') ? !TMPFS_VALUES.includes(key) : !FLAGS.has(option))
      throw new EngineError(400, `invalid tmpfs option ${JSON.stringify(option)}`);
    const opposite = OPPOSITES[option] ?? Object.entries(OPPOSITES).find(([, no]) => no === option)?.[0];
    out = out.filter((o) => o !== opposite && o !== option && (!option.includes('=') || !o.startsWith(`${key}=`)));
    if (option !== 'defaults') out.push(option);
  }
  return out;
}
