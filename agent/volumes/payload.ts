/**
 * What a file volume shows: relative path -> bytes and mode. Pure. Sources (configmap.ts, secret.ts, downwardapi.ts,
 * projected.ts) make payloads; atomic-writer.ts writes them.
 */
import { createHash } from 'node:crypto';
import { StatusError } from '#lib/base';
import type { VolumeOwner } from './owner.ts';

export interface PayloadFile {
  readonly data: Buffer;
  /** Permission bits, 0..0777. */
  readonly mode: number;
  /** Owner, for service account tokens; undefined = root. */
  readonly uid?: number | undefined;
}

export type Payload = ReadonlyMap<string, PayloadFile>;

export interface KeyItem {
  readonly key: string;
  readonly path: string;
  readonly mode?: number | undefined;
}

/** All keys, or those named by `items`; a key that is missing is an error unless the source is optional. */
export function selectKeys(
  values: ReadonlyMap<string, Buffer>,
  o: {
    items: readonly KeyItem[] | undefined;
    defaultMode: number;
    isOptional: boolean;
    /** `configmap references non-existent config key: ` */
    missing: string;
  },
): Payload {
  const out = new Map<string, PayloadFile>();
  if (o.items === undefined || o.items.length === 0) {
    for (const [key, data] of values) out.set(key, { data, mode: o.defaultMode });
    return out;
  }
  for (const item of o.items) {
    const data = values.get(item.key);
    if (data !== undefined) out.set(checkedPath(item.path), { data, mode: item.mode ?? o.defaultMode });
    else if (!o.isOptional) throw new StatusError('Invalid', `${o.missing}${item.key}`);
  }
  return out;
}

/** Relative, without "..", and not in the writer's own name space. */
export function checkedPath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (path.startsWith('/')) throw new StatusError('Invalid', `invalid path: must be relative path: ${path}`);
  if (parts.length === 0) throw new StatusError('Invalid', 'invalid path: must not be empty');
  if (parts.includes('..')) throw new StatusError('Invalid', `invalid path: must not contain '..': ${path}`);
  if (parts[0]?.startsWith('..')) throw new StatusError('Invalid', `invalid path: must not start with '..': ${path}`);
  return parts.join('/');
}

/** Equal exactly when paths, bytes, modes and owners are. */
export function payloadDigest(payload: Payload, owner: Pick<VolumeOwner, 'uid' | 'gid' | 'isShared'>): string {
  const hash = createHash('sha256');
  for (const path of [...payload.keys()].sort()) {
    const file = payload.get(path);
    if (file === undefined) continue;
    hash.update(JSON.stringify([path, file.mode, file.uid, owner.uid, owner.gid, owner.isShared, file.data.length]));
    hash.update(file.data);
  }
  return hash.digest('hex');
}
