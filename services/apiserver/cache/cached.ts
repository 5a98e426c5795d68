/**
 * One stored object: its bytes as stored beside its decoded form (design.md 0.8, encode once).
 *
 * Stored bytes are JSON without resourceVersion that always begins with
 * `{"kind":K,"apiVersion":V,"metadata":{`: the resourceVersion (known only after the write) is spliced in behind that
 * prefix when the bytes are sent, and a list item is the same bytes with a shorter prefix.
 *
 * Invariant: `object` equals `bytes` decoded, plus metadata.resourceVersion = `revision`. Nobody changes either.
 */
import type { DeepReadonly, KindInfo, KubeObject, ObjectKey } from '#lib/api';
import { StatusError } from '#lib/base';
import { objectKey, parseObjectKey, type Revision } from '#lib/store';

export interface Cached {
  /** The store's key. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly object: DeepReadonly<KubeObject>;
  readonly bytes: Buffer;
  readonly revision: Revision;
}

export function storeKey(kind: KindInfo, key: ObjectKey): string {
  return objectKey(kind, key);
}

/** `object`'s resourceVersion, if any, is left out. */
export function encodeStored(object: KubeObject): Buffer {
  const { kind, apiVersion, metadata, ...rest } = object;
  const { resourceVersion: _, ...stored } = metadata;
  return Buffer.from(JSON.stringify({ kind, apiVersion, metadata: stored, ...rest }), 'utf8');
}

/** Throws Internal when the bytes are not an object: the store is damaged. The error holds none of them: it may be a Secret. */
export function decodeStored(key: string, bytes: Buffer, revision: Revision): Cached {
  let object: KubeObject;
  try {
    object = JSON.parse(bytes.toString('utf8')) as KubeObject;
  } catch {
    // No cause: JSON.parse quotes what it could not read.
    throw new StatusError('Internal', `${key} is stored damaged: ${bytes.byteLength} bytes that are no JSON`);
  }
  return cachedOf(key, object, bytes, revision);
}

/** Takes `object` over and sets its resourceVersion. `bytes` must be `encodeStored(object)`. */
export function cachedOf(key: string, object: KubeObject, bytes: Buffer, revision: Revision): Cached {
  const resourceVersion = revision.toString();
  if (object.metadata.resourceVersion !== resourceVersion) object.metadata.resourceVersion = resourceVersion;
  const parsed = parseObjectKey(key);
  return {
    key,
    namespace: parsed?.namespace ?? '',
    name: parsed?.name ?? object.metadata.name,
    object: object as DeepReadonly<KubeObject>,
    bytes,
    revision,
  };
}

/** The same content as of another revision: what a DELETED event carries. */
export function atRevision(cached: Cached, revision: Revision): Cached {
  const object = {
    ...cached.object,
    metadata: { ...cached.object.metadata, resourceVersion: revision.toString() },
  };
  return { ...cached, object, revision };
}

/** The whole object as JSON, resourceVersion included: two parts to be written one after the other. */
export function jsonParts(cached: Cached): readonly [string, Buffer] {
  const prefix = typePrefix(cached.object);
  return [`${prefix}"resourceVersion":"${cached.revision}",`, cached.bytes.subarray(Buffer.byteLength(prefix))];
}

/** As an item of a list: without kind and apiVersion, as Kubernetes encodes items of built-in kinds. */
export function itemParts(cached: Cached): readonly [string, Buffer] {
  const prefixBytes = Buffer.byteLength(typePrefix(cached.object));
  return [`{"metadata":{"resourceVersion":"${cached.revision}",`, cached.bytes.subarray(prefixBytes)];
}

function typePrefix(o: DeepReadonly<KubeObject>): string {
  return `{"kind":${JSON.stringify(o.kind)},"apiVersion":${JSON.stringify(o.apiVersion)},"metadata":{`;
}

/** Recursive Object.freeze, for tests: a mutation of a cached object throws. */
export function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
}
