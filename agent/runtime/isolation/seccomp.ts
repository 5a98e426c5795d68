/**
 * Which system calls a container may make: RuntimeDefault, nothing denied (Unconfined, and whoever is privileged), or a profile
 * of this node's folder, in the form of the OCI specification's linux.seccomp. The container's own wish comes before the pod's.
 * Source: kubernetes pkg/kubelet/kuberuntime/helpers.go (getSeccompProfile); opencontainers/runtime-spec config-linux.md.
 */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import type { DeepReadonly, SeccompProfile } from '#lib/api';
import { messageOf, StatusError } from '#lib/base';
import type { OciSeccomp, OciSpec } from '../oci-spec.ts';
import { compileSeccomp } from './seccomp-bpf.ts';
import { runtimeDefaultSeccomp, SECCOMP_CAPABILITIES } from './seccomp-default.ts';
import { parseSeccompProfile } from './seccomp-profile.ts';
import type { IsolationSettings } from './settings.ts';

const PROFILE_BYTES_MAX = 1 << 20;
const DEFAULTS_MAX = 64;
const defaults = new Map<string, OciSeccomp>();
/** Filters ready made, for profiles of our own making. */
const filters = new WeakMap<OciSeccomp, string>();

export interface SeccompRequest {
  readonly profile: DeepReadonly<SeccompProfile> | undefined;
  readonly isPrivileged: boolean;
  /** The container's bounding set. */
  readonly capabilities: readonly string[];
}

/** undefined: no filter. Throws Invalid or NotFound for a profile that is not to be had. */
export async function seccompOf(r: SeccompRequest, s: IsolationSettings): Promise<OciSeccomp | undefined> {
  if (r.isPrivileged) return undefined;
  const type = r.profile?.type ?? (s.seccompDefault ? 'RuntimeDefault' : 'Unconfined');
  if (type === 'RuntimeDefault') return runtimeDefault(r.capabilities, s.host.architecture);
  if (type === 'Localhost') return localhost(r.profile?.localhostProfile ?? '', s.seccompFolder);
  if (type !== 'Unconfined') throw new StatusError('Invalid', `unknown seccomp profile type "${type}"`);
  return undefined;
}

/** What `run.oci.seccomp_bpf_data` of crun takes; undefined for a profile that libseccomp has to compile. */
export function readyFilter(profile: OciSeccomp): string | undefined {
  return filters.get(profile);
}

/** The bundle for crun, which is given the filter ready made where there is one. */
export function withReadyFilter(spec: OciSpec): OciSpec {
  const { seccomp, ...linux } = spec.linux;
  const filter = seccomp === undefined ? undefined : readyFilter(seccomp);
  if (filter === undefined) return spec;
  return { ...spec, linux, annotations: { ...spec.annotations, [READY_FILTER]: filter } };
}

const READY_FILTER = 'run.oci.seccomp_bpf_data';

/** In whichever form. */
export function wantsFilter(spec: OciSpec): boolean {
  return spec.linux.seccomp !== undefined || spec.annotations?.[READY_FILTER] !== undefined;
}

/** RuntimeDefault, made once for each set of capabilities that makes a difference. */
export function runtimeDefault(capabilities: readonly string[], architecture: string): OciSeccomp {
  const held = SECCOMP_CAPABILITIES.filter((c) => capabilities.includes(c));
  const key = [architecture, ...held].join();
  const known = defaults.get(key);
  if (known !== undefined) return known;
  const profile = runtimeDefaultSeccomp(held, architecture);
  if (profile.architectures !== undefined) filters.set(profile, compileSeccomp(profile).toString('base64'));
  if (defaults.size >= DEFAULTS_MAX) defaults.clear();
  defaults.set(key, profile);
  return profile;
}

async function localhost(name: string, folder: string): Promise<OciSeccomp> {
  if (name === '')
    throw new StatusError('Invalid', 'localhostProfile must be set if seccompProfile type is Localhost.');
  if (name.startsWith('/') || normalize(name).startsWith('..'))
    throw new StatusError('Invalid', `localhostProfile ${JSON.stringify(name)} must be a path below the node's folder`);
  const path = join(folder, name);
  const what = `failed to generate seccomp spec opts: failed to load seccomp profile "${path}"`;
  try {
    return parseSeccompProfile(await readText(path));
  } catch (e) {
    throw new StatusError('Invalid', `${what}: ${messageOf(e)}`, { cause: e });
  }
}

async function readText(path: string): Promise<string> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const { size } = await file.stat();
  if (size > PROFILE_BYTES_MAX) throw new StatusError('Invalid', `longer than ${PROFILE_BYTES_MAX} bytes`);
  const buffer = Buffer.alloc(size);
  const { bytesRead } = await file.read(buffer, 0, size, 0);
  return buffer.toString('utf8', 0, bytesRead);
}
