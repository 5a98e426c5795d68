/**
 * Pod templates: equality without the hash label, and the hash itself: FNV-1a 32 of the canonical JSON of template and
 * collision count, written in the alphabet of generated names. Pure.
 * Source: kubernetes pkg/controller/deployment/util EqualIgnoreHash, pkg/controller ComputeHash, apimachinery SafeEncodeString.
 */
import type { DeepReadonly, PodTemplateSpec } from '#lib/api';

export const HASH_LABEL = 'pod-template-hash';
const ALPHABET = 'bcdfghjklmnpqrstvwxz2456789';

export function templateHash(template: DeepReadonly<PodTemplateSpec>, collisionCount: number | undefined): string {
  const text = `${canonical(withoutHash(template))}${collisionCount ? `#${collisionCount}` : ''}`;
  const digits = String(fnv1a32(text));
  return [...digits].map((d) => ALPHABET[d.charCodeAt(0) % ALPHABET.length]).join('');
}

export function isSameTemplate(
  a: DeepReadonly<PodTemplateSpec> | undefined,
  b: DeepReadonly<PodTemplateSpec> | undefined,
): boolean {
  return canonical(withoutHash(a ?? {})) === canonical(withoutHash(b ?? {}));
}

function withoutHash(template: DeepReadonly<PodTemplateSpec>): unknown {
  const { [HASH_LABEL]: _, ...labels } = template.metadata?.labels ?? {};
  return { ...template, metadata: { ...template.metadata, labels } };
}

/** JSON with sorted keys, in which absent, null and empty are the same, as they are for Kubernetes' encoders. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const parts: string[] = [];
  for (const [k, v] of Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
    if (!isEmpty(v)) parts.push(`${JSON.stringify(k)}:${canonical(v)}`);
  return `{${parts.join(',')}}`;
}

/** An empty object is kept: it says something where it chooses a member of a union (`emptyDir: {}`). */
function isEmpty(v: unknown): boolean {
  return v === undefined || v === null || v === '' || (Array.isArray(v) && v.length === 0);
}

export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}
