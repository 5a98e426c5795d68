/**
 * AppArmor profiles, which an administrator loads into the kernel. RuntimeDefault is the profile `berth-default` where one is
 * loaded. Source: kubernetes pkg/security/apparmor/{helpers,validate}.go, KEP-24.
 */
import { readFile } from 'node:fs/promises';
import type { AppArmorProfile, DeepReadonly } from '#lib/api';
import { StatusError } from '#lib/base';
import { type ContainerSpec, containersOf, type PodObject } from '../../pods/model.ts';
import type { HostSecurity } from './settings.ts';

const LOADED = '/sys/kernel/security/apparmor/profiles';
const DEFAULT_PROFILE = 'berth-default';

/** Why this node cannot run a pod that names profiles; undefined where it can. */
export function appArmorRefusal(pod: PodObject, host: HostSecurity): string | undefined {
  const named = [
    pod.spec.securityContext?.appArmorProfile,
    ...containersOf(pod).map(({ spec }) => spec.securityContext?.appArmorProfile),
  ].filter((p) => p !== undefined && p.type !== 'Unconfined');
  if (named.length > 0 && !host.appArmor) return 'Cannot enforce AppArmor: AppArmor is not enabled on the host';
  const empty = named.find((p) => p?.type === 'Localhost' && (p.localhostProfile ?? '').trim() === '');
  return empty === undefined ? undefined : 'Cannot enforce AppArmor: invalid empty AppArmor profile name';
}

/** The profile's name for the OCI process; undefined: as the host's own processes. Throws NotFound for one that is not loaded. */
export async function appArmorOf(
  pod: PodObject,
  container: ContainerSpec,
  host: HostSecurity,
): Promise<string | undefined> {
  const wish: DeepReadonly<AppArmorProfile> | undefined =
    container.securityContext?.appArmorProfile ?? pod.spec.securityContext?.appArmorProfile;
  if (!host.appArmor || wish?.type === 'Unconfined') return undefined;
  const loaded = await loadedProfiles();
  if (wish?.type === 'Localhost') {
    const name = wish.localhostProfile ?? '';
    if (!loaded.has(name))
      throw new StatusError('NotFound', `failed to generate apparmor spec opts: apparmor profile not found ${name}`);
    return name;
  }
  return loaded.has(DEFAULT_PROFILE) ? DEFAULT_PROFILE : undefined;
}

/** `name (mode)` a line. */
async function loadedProfiles(): Promise<ReadonlySet<string>> {
  const text = await readFile(LOADED, 'utf8').catch(() => '');
  return new Set(text.split('\n').map((line) => line.replace(/ \([a-z]+\)$/, '')));
}
