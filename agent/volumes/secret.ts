/** secret volumes and projections (pkg/volume/secret): only ever written to the node's tmpfs. Pure. */
import type { DeepReadonly, Secret, SecretProjection, SecretVolumeSource } from '#lib/api';
import { StatusError } from '#lib/base';
import { bytesOf } from './configmap.ts';
import type { Payload } from './payload.ts';
import { selectKeys } from './payload.ts';

/** The volume names its secret `secretName`, the projection `name`. */
export function secretNameOf(source: DeepReadonly<SecretVolumeSource | SecretProjection>): string {
  return ('secretName' in source ? source.secretName : 'name' in source ? source.name : undefined) ?? '';
}

export function secretPayload(
  source: DeepReadonly<SecretVolumeSource | SecretProjection>,
  found: DeepReadonly<Secret> | undefined,
  defaultMode: number,
): Payload {
  const isOptional = source.optional === true;
  if (found === undefined) {
    if (isOptional) return new Map();
    throw new StatusError('NotFound', `secret "${secretNameOf(source)}" not found`);
  }
  const values = new Map<string, Buffer>();
  for (const [key, base64] of Object.entries(found.data ?? {})) values.set(key, bytesOf(base64));
  return selectKeys(values, {
    items: source.items,
    defaultMode,
    isOptional,
    missing: 'references non-existent secret key: ',
  });
}
