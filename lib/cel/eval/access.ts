/** Fields, keys and indices (cel-go interpreter/attributes.go), with the optional forms `a.?b` and `a[?b]`. */
import { numeric } from '../values/equality.ts';
import { typeNameOf } from '../values/type-name.ts';
import {
  CelError,
  isFailure,
  ListValue,
  MapValue,
  NONE,
  ObjectValue,
  OptionalValue,
  type Result,
  Uint,
  type Value,
} from '../values/value.ts';

export const NO_OVERLOAD = new CelError('no such overload');

/** Undefined when there is no such field. */
function lookUp(operand: Value, field: string): Result | undefined {
  if (operand instanceof ObjectValue) return operand.get(field);
  if (operand instanceof MapValue) return operand.find(field);
  return NO_OVERLOAD;
}

export function selectField(operand: Value, field: string): Result {
  if (operand instanceof OptionalValue) return optionalField(operand, field);
  const found = lookUp(operand, field);
  return found === undefined ? new CelError(`no such key: ${field}`) : found;
}

export function hasField(operand: Value, field: string): Result {
  if (operand instanceof OptionalValue) return operand.value === undefined ? false : hasField(operand.value, field);
  const found = lookUp(operand, field);
  if (found === NO_OVERLOAD) return found;
  return found !== undefined;
}

export function optionalField(operand: Value, field: string): Result {
  return optionally(operand, (v) => lookUp(v, field));
}

export function optionalIndex(operand: Value, index: Value): Result {
  return optionally(operand, (v) => indexed(v, index));
}

function optionally(operand: Value, find: (v: Value) => Result | undefined): Result {
  const value = operand instanceof OptionalValue ? operand.value : operand;
  if (value === undefined) return NONE;
  const found = find(value);
  if (found === undefined) return NONE;
  return isFailure(found) || found instanceof OptionalValue ? found : new OptionalValue(found);
}

export function index(operand: Value, key: Value): Result {
  if (operand instanceof OptionalValue) return optionalIndex(operand, key);
  const found = indexed(operand, key);
  if (found !== undefined) return found;
  const text = describeKey(key);
  return new CelError(operand instanceof ListValue ? `index out of bounds: ${text}` : `no such key: ${text}`);
}

function indexed(operand: Value, key: Value): Result | undefined {
  if (operand instanceof MapValue) return operand.find(key);
  if (operand instanceof ObjectValue) return typeof key === 'string' ? operand.get(key) : NO_OVERLOAD;
  if (!(operand instanceof ListValue)) return NO_OVERLOAD;
  const n = numeric(key);
  if (n === undefined || (typeof n === 'number' && !Number.isInteger(n)))
    return new CelError(`unsupported index type '${typeNameOf(key)}' in list`);
  return n >= 0 && n < operand.length ? operand.at(Number(n)) : undefined;
}

export function describeKey(key: Value): string {
  return key instanceof Uint ? String(key.value) : String(key);
}
