/** Which capabilities a container has by CapAdd, CapDrop and Privileged. Pure. Source: moby daemon/pkg/oci/caps/utils.go (TweakCapabilities). */
import { ALL_CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../runtime/spec.ts';
import type { HostConfig } from '../../types.ts';

export const CAPABILITIES: ReadonlySet<string> = new Set(ALL_CAPABILITIES);

/** With its prefix; `ALL` is itself. */
export function capabilityName(name: string): string {
  const upper = name.toUpperCase();
  return upper === 'ALL' || upper === 'CAP_ALL' ? 'ALL' : upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}

/** `held`: what this process has, and so could give; one that is asked for by name stays, and the runtime refuses it. */
export function capabilitiesOf(h: HostConfig, held: readonly string[]): string[] {
  const add = (h.CapAdd ?? []).map(capabilityName);
  const drop = (h.CapDrop ?? []).map(capabilityName);
  const all = ALL_CAPABILITIES.filter((c) => held.includes(c));
  if (h.Privileged === true) return [...all].sort();
  const isKept = (c: string): boolean => !drop.includes(c);
  if (add.includes('ALL')) return all.filter(isKept).sort();
  const base = drop.includes('ALL') ? [] : DEFAULT_CAPABILITIES.filter(isKept);
  return [...new Set<string>([...base, ...add])].sort();
}
