/** Default functions by the Go type they belong to; see ../defaults.ts. */
import type { TypeName } from '../type-table.ts';
import type { Visit } from '../visit.ts';

export type DefaultsTable = Readonly<Record<TypeName, Visit>>;

/** The table's key is the promise that values have type T: decoding by the field table made them so. */
export function on<T>(fn: (value: T) => void): Visit {
  return (value) => fn(value as T);
}
