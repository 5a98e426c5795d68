/**
 * CDI devices: a plugin names them, files of the host say what a container with one gets. Files of a later folder count before
 * those of an earlier one; root alone writes there, and what they say is done as root.
 * Source: github.com/cncf-tags/container-device-interface SPEC.md 0.8.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readYaml } from '#lib/api';
import { StatusError } from '#lib/base';
import type { OciHooks } from '../runtime/oci-spec.ts';
import type { ContainerAllocation } from './protocol.ts';

export const CDI_FOLDERS: readonly string[] = ['/etc/cdi', '/var/run/cdi'];

export interface CdiEdits {
  readonly allocation: ContainerAllocation;
  readonly hooks: OciHooks;
  readonly groups: readonly number[];
}

interface Edits {
  readonly env?: readonly string[];
  readonly deviceNodes?: readonly {
    readonly path: string;
    readonly hostPath?: string;
    readonly permissions?: string;
  }[];
  readonly mounts?: readonly {
    readonly hostPath: string;
    readonly containerPath: string;
    readonly options?: readonly string[];
  }[];
  readonly hooks?: readonly {
    readonly hookName: string;
    readonly path: string;
    readonly args?: readonly string[];
    readonly env?: readonly string[];
    readonly timeout?: number;
  }[];
  readonly additionalGids?: readonly number[];
}

interface CdiSpec {
  readonly kind: string;
  readonly devices: readonly { readonly name: string; readonly containerEdits: Edits }[];
  readonly containerEdits?: Edits;
}

const NAME = /^([a-z0-9][\w.-]*\/[a-z0-9][\w.-]*)=([\w.:-]+)$/i;
const FILE_BYTES_MAX = 4 << 20;
const FILES_MAX = 200;
const HOOKS = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'] as const;

/** Of all that are named, each once; throws NotFound in the CRI runtimes' words for those that no file has. */
export async function cdiEdits(names: readonly string[], folders: readonly string[]): Promise<CdiEdits> {
  const specs = await readSpecs(folders);
  const edits: Edits[] = [];
  const wide = new Set<CdiSpec>();
  const missing: string[] = [];
  for (const name of new Set(names)) {
    const [, kind, device] = NAME.exec(name) ?? [];
    const spec = specs.find((s) => s.kind === kind && s.devices.some((d) => d.name === device));
    const found = spec?.devices.find((d) => d.name === device);
    if (spec === undefined || found === undefined) {
      missing.push(name);
      continue;
    }
    if (spec.containerEdits !== undefined && !wide.has(spec)) edits.push(spec.containerEdits);
    wide.add(spec);
    edits.push(found.containerEdits);
  }
  if (missing.length > 0) throw new StatusError('NotFound', `unresolvable CDI devices ${missing.join(', ')}`);
  return merged(edits);
}

function merged(edits: readonly Edits[]): CdiEdits {
  const hooks: OciHooks = {};
  for (const h of edits.flatMap((e) => e.hooks ?? [])) {
    const name = HOOKS.find((x) => x === h.hookName);
    if (name === undefined) throw new StatusError('Invalid', `CDI hook "${h.hookName}" is of no known kind`);
    const { path, args, env, timeout } = h;
    const hook = {
      path,
      ...(args === undefined ? {} : { args: [...args] }),
      ...(env === undefined ? {} : { env: [...env] }),
      ...(timeout === undefined ? {} : { timeout }),
    };
    hooks[name] = [...(hooks[name] ?? []), hook];
  }
  const variable = (text: string): [string, string] => {
    const at = text.indexOf('=');
    return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
  };
  const allocation: ContainerAllocation = {
    envs: Object.fromEntries(edits.flatMap((e) => e.env ?? []).map(variable)),
    devices: edits
      .flatMap((e) => e.deviceNodes ?? [])
      .map((d) => ({ container_path: d.path, host_path: d.hostPath ?? d.path, permissions: d.permissions ?? 'rwm' })),
    mounts: edits
      .flatMap((e) => e.mounts ?? [])
      .map((m) => ({
        container_path: m.containerPath,
        host_path: m.hostPath,
        read_only: m.options?.includes('ro') === true,
      })),
    annotations: {},
    cdi_devices: [],
  };
  return { allocation, hooks, groups: edits.flatMap((e) => e.additionalGids ?? []) };
}

/** What counts first, first. A file that is no CDI specification counts as absent: others' devices must not suffer. */
async function readSpecs(folders: readonly string[]): Promise<readonly CdiSpec[]> {
  const out: CdiSpec[] = [];
  for (const folder of folders.toReversed()) {
    const names = (await readdir(folder).catch(() => [])).filter((n) => /\.(json|yaml|yml)$/.test(n)).sort();
    for (const name of names.slice(0, FILES_MAX)) {
      const spec = await readSpec(join(folder, name)).catch(() => undefined);
      if (spec !== undefined) out.push(spec);
    }
  }
  return out;
}

async function readSpec(path: string): Promise<CdiSpec | undefined> {
  const found = await stat(path);
  if (!found.isFile() || found.size > FILE_BYTES_MAX) return undefined;
  const [document] = await readYaml(await readFile(path, 'utf8'));
  const spec = document?.value as Partial<CdiSpec> | undefined;
  return typeof spec?.kind === 'string' && isEditsList(spec.devices) ? (spec as CdiSpec) : undefined;
}

function isEditsList(devices: unknown): boolean {
  return (
    Array.isArray(devices) &&
    devices.every((d: unknown) => typeof d === 'object' && d !== null && 'name' in d && 'containerEdits' in d)
  );
}
