/**
 * The OCI bundle of a container: `<state folder>/.bundles/<id>/config.json`, to which `config.json` in the container's folder
 * leads. Its environment and arguments may hold values of Secrets, so it lies in memory (ADR 22); nobody needs it after a reboot.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { lstat, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder } from '#lib/base';
import type { OciSpec } from './oci-spec.ts';

const NAME = 'config.json';

export interface BundlePlace {
  /** The container's. */
  readonly folder: string;
  readonly stateFolder: string;
  readonly id: string;
}

/** The container's folder is there. */
export async function writeBundle(p: BundlePlace, spec: OciSpec): Promise<void> {
  writeText(p, JSON.stringify(spec));
  await symlink(join(bundleFolder(p), NAME), join(p.folder, NAME));
}

export async function removeBundle(p: Omit<BundlePlace, 'folder'>): Promise<void> {
  await removeFolder(bundleFolder(p));
}

/** A container that an earlier version of the agent started has its bundle on the disk: it is moved. */
export async function hideBundle(p: BundlePlace): Promise<void> {
  const path = join(p.folder, NAME);
  const found = await lstat(path).catch(() => undefined);
  if (found?.isFile() !== true) return;
  writeText(p, await readFile(path, 'utf8'));
  const link = join(p.folder, `${NAME}.link`);
  await rm(link, { force: true });
  await symlink(join(bundleFolder(p), NAME), link);
  await rename(link, path);
}

/** Those of containers whose folder is gone. It is made before the bundle: another agent, that is just ending, may be starting one. */
export async function sweepBundles(stateFolder: string, containers: string): Promise<void> {
  for (const id of await readdir(bundlesFolder(stateFolder)).catch(() => [] as string[])) {
    const folder = await lstat(join(containers, id)).catch(() => undefined);
    if (folder === undefined) await removeBundle({ stateFolder, id });
  }
}

/** In memory: no disk is waited for. */
function writeText(p: BundlePlace, text: string): void {
  mkdirSync(bundleFolder(p), { recursive: true, mode: 0o700 });
  writeFileSync(join(bundleFolder(p), NAME), text, { mode: 0o600 });
}

function bundlesFolder(stateFolder: string): string {
  return join(stateFolder, '.bundles');
}

function bundleFolder({ stateFolder, id }: Omit<BundlePlace, 'folder'>): string {
  return join(bundlesFolder(stateFolder), id);
}
