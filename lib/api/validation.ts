import type { FieldError } from './field-error.ts';
import type { KindRef, KubeObject } from './object.ts';

export interface ValidationOptions {
  /** Inclusive range of service node ports. */
  readonly nodePortRange?: { readonly first: number; readonly last: number };
}

export function validateCreate(kind: KindRef, object: KubeObject, options: ValidationOptions = {}): FieldError[] {
  throw new Error(`not yet ${kind.kind} ${object.kind} ${String(options)}`);
}
export function validateUpdate(
  kind: KindRef,
  next: KubeObject,
  previous: KubeObject,
  subresource?: string,
  options: ValidationOptions = {},
): FieldError[] {
  throw new Error(`not yet ${kind.kind} ${next.kind} ${previous.kind} ${subresource ?? ''} ${String(options)}`);
}
