/** configMap volumes and projections: `data` and `binaryData` as files (pkg/volume/configmap). Pure. */
import type { ConfigMap, ConfigMapProjection, ConfigMapVolumeSource, DeepReadonly } from '#lib/api';
import { StatusError } from '#lib/base';
import type { Payload } from './payload.ts';
import { selectKeys } from './payload.ts';

export function configMapPayload(
  source: DeepReadonly<ConfigMapVolumeSource | ConfigMapProjection>,
  found: DeepReadonly<ConfigMap> | undefined,
  defaultMode: number,
): Payload {
  const isOptional = source.optional === true;
  if (found === undefined) {
    if (isOptional) return new Map();
    throw new StatusError('NotFound', `configmap "${source.name ?? ''}" not found`);
  }
  const values = new Map<string, Buffer>();
  for (const [key, text] of Object.entries(found.data ?? {})) values.set(key, Buffer.from(text));
  for (const [key, base64] of Object.entries(found.binaryData ?? {})) values.set(key, bytesOf(base64));
  const missing = 'configmap references non-existent config key: ';
  return selectKeys(values, { items: source.items, defaultMode, isOptional, missing });
}

/** The API's `[]byte`: base64 text, or bytes when it came as protobuf. */
export function bytesOf(value: unknown): Buffer {
  if (typeof value === 'string') return Buffer.from(value, 'base64');
  return value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0);
}
