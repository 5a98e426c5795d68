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
  return [`${prefix.text}"resourceVersion":"${cached.revision}",`, cached.bytes.subarray(prefix.bytes)];
}

/**
 * The objects as the items of a list: JSON with commas between. `withType`: each says its kind and apiVersion; without, as
 * Kubernetes encodes items of built-in kinds.
 */
export function listItems(items: readonly Cached[], o: { readonly withType: boolean }): Buffer {
  let size = 0;
  const prefixes = items.map((cached) => {
    const prefix = typePrefix(cached.object);
    size += prefix.bytes * 2 + REVISION_CHARS_MAX + cached.bytes.length;
    return prefix;
  });
  const out = Buffer.allocUnsafe(size);
  let at = 0;
  for (const [i, cached] of items.entries()) {
    const prefix = prefixes[i] ?? typePrefix(cached.object);
    const head = o.withType ? prefix.text : ITEM_PREFIX;
    at += out.write(`${i === 0 ? '' : ','}${head}"resourceVersion":"${cached.revision}",`, at);
    at += cached.bytes.copy(out, at, prefix.bytes);
  }
  return out.subarray(0, at);
}

const ITEM_PREFIX = '{"metadata":{';
/** `,"resourceVersion":"18446744073709551615",` and more. */
const REVISION_CHARS_MAX = 64;

interface TypePrefix {
  readonly text: string;
  readonly bytes: number;
}

/** Of the kind that was asked for last: lists and bursts are of one. */
let lastPrefix: TypePrefix & { readonly kind: string; readonly apiVersion: string } = {
  kind: '',
  apiVersion: '',
  text: '',
  bytes: 0,
};

function typePrefix({ kind, apiVersion }: DeepReadonly<KubeObject>): TypePrefix {
  if (lastPrefix.kind === kind && lastPrefix.apiVersion === apiVersion && lastPrefix.bytes > 0) return lastPrefix;
  const text = `{"kind":${JSON.stringify(kind)},"apiVersion":${JSON.stringify(apiVersion)},"metadata":{`;
  lastPrefix = { kind, apiVersion, text, bytes: Buffer.byteLength(text) };
  return lastPrefix;
}

/** Recursive Object.freeze, for tests: a mutation of a cached object throws. */
export function deepFreeze(value: unknown): void {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
}
