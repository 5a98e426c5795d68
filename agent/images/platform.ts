/** Whether an image of a platform runs here: there is no emulation. Source: containerd platforms. Pure. */
import type { Platform } from '#lib/oci';

const ALIASES: Readonly<Record<string, string>> = { x86_64: 'amd64', 'x86-64': 'amd64', aarch64: 'arm64' };

/** `linux/amd64`, `amd64`, `linux/arm64/v8`. */
export function isPlatform(text: string, own: Platform): boolean {
  const parts = text.toLowerCase().split('/');
  const [os, architecture] = parts.length === 1 ? ['linux', parts[0]] : parts;
  return os === own.os && (ALIASES[architecture ?? ''] ?? architecture) === own.architecture;
}
