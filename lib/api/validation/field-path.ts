/** Small tools of all validators: paths, and checks that turn messages into field errors. */

import { semanticEqual } from '../equality.ts';
import { type FieldError, forbidden, invalid, notSupported, required } from '../field-error.ts';
import type { Check } from './names.ts';

/** Collects the errors of one object, in the order found. */
export class Errors {
  readonly list: FieldError[] = [];

  add(...errors: FieldError[]): void {
    this.list.push(...errors);
  }

  /** One Invalid per message. */
  check(field: string, value: string, check: Check): void {
    for (const message of check(value)) this.add(invalid(field, value, message));
  }

  /** Required when empty, else checked. */
  checkRequired(field: string, value: string | undefined, check: Check): void {
    if (!value) this.add(required(field));
    else this.check(field, value, check);
  }

  oneOf(field: string, value: string | undefined, values: readonly string[]): void {
    if (value !== undefined && !values.includes(value)) this.add(notSupported(field, value, values));
  }

  requiredOneOf(field: string, value: string | undefined, values: readonly string[]): void {
    if (!value) this.add(required(field));
    else this.oneOf(field, value, values);
  }

  notNegative(field: string, value: number | undefined): void {
    if (value !== undefined && value < 0) this.add(invalid(field, value, NOT_NEGATIVE));
  }

  immutable(field: string, next: unknown, previous: unknown): void {
    if (!semanticEqual(next, previous)) this.add(invalid(field, next, IMMUTABLE));
  }

  forbid(field: string, isGiven: boolean, detail: string): void {
    if (isGiven) this.add(forbidden(field, detail));
  }
}

export const NOT_NEGATIVE = 'must be greater than or equal to 0';
export const IMMUTABLE = 'field is immutable';

/** Calls `each` for every item with the item's path. */
export function eachItem<T>(
  list: readonly T[] | undefined | null,
  path: string,
  each: (item: T, path: string, index: number) => void,
): void {
  for (const [i, item] of (list ?? []).entries()) each(item, `${path}[${i}]`, i);
}

/** The own entry of that key: what users name `constructor` is no property of every object. */
export function entryOf<T>(map: Readonly<Record<string, T>> | undefined, key: string): T | undefined {
  return map !== undefined && Object.hasOwn(map, key) ? map[key] : undefined;
}

/** Go writes some pointers that are nil as null: for these, null is the same as absent. */
export function isGiven<T>(value: T): value is NonNullable<T> {
  return value !== undefined && value !== null;
}
