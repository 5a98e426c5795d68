/** Paths below a root that is not the user's to leave. Source: pkg/apis/core/validation validateLocalDescendingPath. */
import { type FieldError, invalid } from '../field-error.ts';

export function localPath(value: string, at: string): FieldError[] {
  const errors: FieldError[] = [];
  if (value.startsWith('/')) errors.push(invalid(at, value, 'must be a relative path'));
  if (value.split('/').includes('..')) errors.push(invalid(at, value, "must not contain '..'"));
  return errors;
}
