/**
 * JSON Merge Patch (RFC 7386): maps merge, null deletes, everything else replaces. The input is never changed; parts
 * that the patch does not touch are shared with it.
 * Source: RFC 7386 §2.
 */
import { StatusError } from '#lib/base';
import { getOwn, isObject, type JsonObject, setOwn } from './value.ts';

/** The patched value. Throws BadRequest if the patch is not an object. */
export function applyMergePatch(object: unknown, patch: unknown): unknown {
  if (!isObject(patch)) throw new StatusError('BadRequest', 'a merge patch must be a JSON object');
  return merge(object, patch);
}

function merge(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const result: JsonObject = isObject(target) ? { ...target } : {};
  for (const key of Object.keys(patch)) {
    if (patch[key] === null) delete result[key];
    else setOwn(result, key, merge(getOwn(result, key), patch[key]));
  }
  return result;
}
