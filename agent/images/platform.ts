/** Platforms as people write them. Source: containerd platforms, `parse` and `normalize`. Pure. */
import { StatusError } from '#lib/base';
import type { Platform } from '#lib/oci';

const ALIASES: Readonly<Record<string, string>> = {
  x86_64: 'amd64',
  'x86-64': 'amd64',
  aarch64: 'arm64',
  armhf: 'arm',
};
const PART = /^[a-z0-9_.-]{1,40}$/;

/** `linux/amd64`, `amd64`, `linux/arm64/v8`. Throws Invalid. */
export function parsePlatform(text: string): Platform {
  const parts = text.trim().toLowerCase().split('/');
  const [os = '', written = '', variant] = parts.length === 1 ? ['linux', ...parts] : parts;
  if (parts.length > 3 || ![os, written, variant ?? 'v'].every((p) => PART.test(p)))
    throw new StatusError('Invalid', `platform "${text}" is not OS/ARCHITECTURE[/VARIANT], as in linux/arm64`);
  const architecture = ALIASES[written] ?? written;
  if (os !== 'linux') throw new StatusError('Invalid', `platform ${text}: images for linux alone are made here`);
  const isUsual = variant === undefined || (architecture === 'arm64' && variant === 'v8');
  return { os, architecture, ...(isUsual ? {} : { variant }) };
}

/** Of the same system and architecture. */
export function isSamePlatform(a: Platform, b: Platform): boolean {
  return a.os === b.os && a.architecture === b.architecture;
}

/** Whether images of the platform run here without emulation; false for what is no platform. */
export function isPlatform(text: string, own: Platform): boolean {
  const parts = text.toLowerCase().split('/');
  const [os, architecture] = parts.length === 1 ? ['linux', parts[0]] : parts;
  return os === own.os && (ALIASES[architecture ?? ''] ?? architecture) === own.architecture;
}

export function platformText({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join('/');
}
