/** Debian's own kernel, as apt verifies it, unpacked beside the system's: nothing of it is installed. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export interface GuestKernel {
  readonly version: string;
  readonly image: string;
  /** Holds `<version>/`, with what depmod writes. */
  readonly modules: string;
}

/** Downloads it once; later calls find it in the cache. */
export function debianKernel(): GuestKernel {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'berth/guest');
  mkdirSync(cache, { recursive: true });
  const name = packageName();
  const folder = join(cache, name);
  if (!existsSync(folder)) unpack(cache, name, folder);
  const modules = join(folder, 'lib/modules');
  const version = readdirSync(modules)[0];
  if (version === undefined) throw new Error(`${modules} is empty: remove ${folder} and try again`);
  return { version, image: join(folder, `boot/vmlinuz-${version}`), modules };
}

/** What the package linux-image-amd64 stands for today. */
function packageName(): string {
  const shown = execFileSync('apt-cache', ['depends', 'linux-image-amd64'], { encoding: 'utf8' });
  const name = /Depends: (linux-image-\S+)/.exec(shown)?.[1];
  if (name === undefined) throw new Error('apt knows no linux-image-amd64: apt-get update');
  return name;
}

function unpack(cache: string, name: string, folder: string): void {
  const work = mkdtempSync(join(cache, '.new-'));
  try {
    execFileSync('apt-get', ['download', '-qq', name], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] });
    const file = readdirSync(work).find((f) => f.endsWith('.deb'));
    if (file === undefined) throw new Error(`apt-get downloaded no ${name}`);
    const root = join(work, 'root');
    execFileSync('dpkg-deb', ['-x', join(work, file), root]);
    const version = readdirSync(join(root, 'lib/modules'))[0] ?? '';
    execFileSync('busybox', ['depmod', '-b', root, version], { stdio: ['ignore', 'ignore', 'inherit'] });
    rmSync(join(root, 'usr'), { recursive: true, force: true });
    renameSync(root, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
