/** Objects as the server has them before they are stored: decoded, defaulted, prepared. For tests. */
import { applyDefaults } from '../defaults.ts';
import { errorBody, type FieldError } from '../field-error.ts';
import type { KindRef, KubeObject } from '../object.ts';
import { decodeObject } from '../schema.ts';
import { prepareCreate, prepareUpdate } from '../strategy.ts';
import { validateCreate, validateUpdate } from '../validation.ts';

export function created<T extends KubeObject>(kind: KindRef<T>, value: object): T {
  const { object } = decodeObject(kind, value);
  if (kind.namespaced) object.metadata.namespace ??= 'default';
  object.metadata.uid ??= 'uid-1';
  applyDefaults(kind, object);
  prepareCreate(kind, object);
  return object as T;
}

/** A changed copy, decoded and defaulted as an update body is. */
export function changed<T extends KubeObject>(kind: KindRef<T>, object: T, change: (copy: T) => void): T {
  const copy = structuredClone(object);
  change(copy);
  const next = decodeObject(kind, copy).object;
  applyDefaults(kind, next);
  return next as T;
}

/** `field: text` per error, the long explanations of formats cut off. */
export function texts(errors: readonly FieldError[]): string[] {
  return errors.map(
    (e) =>
      `${e.field}: ${errorBody(e)
        .replace(/ \(e\.g\. .*$/s, '')
        .replace(/\n.*$/s, '')}`,
  );
}

/** What creating it is refused for. */
export function createErrors<T extends KubeObject>(kind: KindRef<T>, value: object): string[] {
  return texts(validateCreate(kind, created(kind, value)));
}

/** What that change of it is refused for, on the main endpoint or a subresource. */
export function updateErrors<T extends KubeObject>(
  kind: KindRef<T>,
  object: T,
  change: (copy: T) => void,
  subresource?: string,
): string[] {
  const next = changed(kind, object, change);
  prepareUpdate(kind, next, object, subresource);
  return texts(validateUpdate(kind, next, object, subresource));
}
