/**
 * Validation of a value by its schema, with the messages of Kubernetes' OpenAPI validator, and ratcheting: on update, what is
 * wrong with a part that did not change is forgiven.
 *
 * Invariants: pure; the time is bounded by schema size times value size; user patterns run only in the engine that compiled
 * them; a path is that of the value (`spec.list[0].name`).
 * Source: k8s.io/kube-openapi/pkg/validation/validate; KEP-4008 (ratcheting); apiextensions-apiserver
 * pkg/apiserver/validation/ratcheting.go.
 */
import { type FieldError, goQuote, notSupported, tooLong, tooMany } from '../../field-error.ts';
import { equalJson, getOwn, isObject, type JsonObject } from '../../patch/value.ts';
import { PatternSteps, PatternStepsExceeded } from '../pattern.ts';
import type { Structural } from '../schema.ts';
import { type Correlated, correlatedField, correlatedItems, isUnchanged } from './correlation.ts';
import { formatOf } from './formats.ts';
import { validateJunctors } from './junctors.ts';
import { isIntegral, validateNumber } from './numbers.ts';
import { type Failure, fieldErrorOf, Result } from './result.ts';

/** [] = valid. `base`: path of the value itself, '' for an object. */
export function validateValue(schema: Structural, value: unknown, base: string): FieldError[] {
  return errorsOf((steps) => validateNode(schema, value, { path: '', old: undefined, steps }), base);
}

/** As validateValue, but failures of parts that equal their counterpart in `previous` are forgiven. */
export function validateChangedValue(
  schema: Structural,
  values: { readonly next: unknown; readonly previous: unknown },
  base: string,
): FieldError[] {
  const old = { value: values.previous };
  return errorsOf((steps) => validatePart(schema, values.next, { path: '', old, steps }), base);
}

function errorsOf(validate: (steps: PatternSteps) => Result, base: string): FieldError[] {
  try {
    return validate(new PatternSteps()).failures.map((f) => fieldErrorOf(f, base));
  } catch (e) {
    if (!(e instanceof PatternStepsExceeded)) throw e;
    const detail = 'matching the patterns of the schema takes too long';
    return [fieldErrorOf({ type: 'Invalid', path: undefined, value: '', detail }, base)];
  }
}

interface Place {
  readonly path: string;
  /** What the value was before the update; undefined: nothing that can be told to be the same thing. */
  readonly old: Correlated | undefined;
  readonly steps: PatternSteps;
}

function validatePart(s: Structural, value: unknown, at: Place): Result {
  const result = validateNode(s, value, at);
  if (result.isValid || at.old === undefined) return result;
  return isUnchanged(s, value, at.old.value) ? result.forgiven() : result;
}

function validateNode(s: Structural, value: unknown, at: Place): Result {
  const result = new Result();
  const run = (failures: readonly Failure[], passed: number): void => {
    result.add(...failures);
    result.matches += passed;
  };
  const wrongType = validateType(s, value, at.path);
  const isTyped = typesOf(s).length > 0 || effectiveFormat(s) !== '';
  if (isTyped) run(wrongType, wrongType.length === 0 ? 2 : 1);
  if (value === null) {
    run(validateEnum(s, value, at.path), 0);
    return result;
  }
  result.merge(validateJunctors(s, at.path, (inner) => validateNode(inner, value, { ...at, old: undefined })));
  result.matches += 1;
  if (typeof value === 'string') run(validateString(s, value, at), effectiveFormat(s) === '' ? 1 : 2);
  if (typeof value === 'number') run(validateNumber(s, value, at.path), 2);
  if (Array.isArray(value)) validateList(s, value, at, result);
  run(validateEnum(s, value, at.path), 1);
  if (isObject(value)) validateObject(s, value, at, result);
  result.matches += 1;
  return result;
}

/** The types that a schema admits, as messages list them; [] = any. */
function typesOf(s: Structural): string[] {
  if (s.isIntOrString) return ['integer', 'string'];
  return s.type === '' ? [] : [s.type];
}

/** A format counts only where it is one of the type's. */
function effectiveFormat(s: Structural): string {
  if (s.isIntOrString || s.type === '' || s.type === 'string') return formatOf(s.format) === undefined ? '' : s.format;
  if (s.type === 'integer') return s.format === 'int32' || s.format === 'int64' ? s.format : '';
  return s.type === 'number' && (s.format === 'float' || s.format === 'double') ? s.format : '';
}

function validateType(s: Structural, value: unknown, path: string): Failure[] {
  const types = typesOf(s);
  if (value === null) return types.length === 0 || s.nullable ? [] : [typeFailure(path, types.join(','), 'null')];
  const actual = jsonTypeOf(value);
  const isFit = types.includes(actual) || (actual === 'integer' && types.includes('number'));
  if (isFit) return [];
  const format = effectiveFormat(s);
  if (actual === 'string' || actual === 'array' || format === '')
    return types.length === 0 ? [] : [typeFailure(path, types.join(','), actual)];
  // Kubernetes says the format here, and the format that Go would give the value.
  const given = actual === 'integer' ? 'int64' : actual === 'number' ? 'float64' : '';
  return [typeFailure(path, format, given)];
}

function jsonTypeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return isIntegral(value) ? 'integer' : 'number';
  return typeof value === 'object' ? 'object' : typeof value;
}

function typeFailure(path: string, wanted: string, given: string): Failure {
  const detail = `${path} in body must be of type ${wanted}: ${goQuote(given)}`;
  return { type: 'TypeInvalid', path, value: given, detail };
}

function validateEnum(s: Structural, value: unknown, path: string): Failure[] {
  if (s.enum.length === 0 || (value !== null && s.enum.some((v) => equalJson(v, value)))) return [];
  const values = s.enum.map((v) => (typeof v === 'string' ? v : JSON.stringify(v)));
  const { detail } = notSupported('', value, values);
  return [{ type: 'NotSupported', path, value, detail }];
}

function validateString(s: Structural, value: string, at: Place): Failure[] {
  const { path } = at;
  const found = validateText(s, value, at);
  const format = effectiveFormat(s);
  if (format !== '' && formatOf(format)?.(value) === false)
    return [...found, { ...typeFailure(path, format, value), value }];
  return found;
}

/** The first that is wrong of length and pattern. */
function validateText(s: Structural, value: string, { path, steps }: Place): Failure[] {
  const { maxLength, minLength } = s.limits;
  const invalid = (detail: string): Failure[] => [{ type: 'Invalid', path, value, detail }];
  if (maxLength !== undefined && isLonger(value, maxLength))
    return [{ type: 'TooLong', path, detail: tooLong('', maxLength).detail }];
  if (minLength !== undefined && minLength > 0 && !isLonger(value, minLength - 1))
    return invalid(`${path} in body should be at least ${minLength} chars long`);
  if (s.pattern !== undefined && !s.pattern.regex.test(value, steps))
    return invalid(`${path} in body should match '${s.pattern.text}'`);
  return [];
}

/** More than `max` code points. */
function isLonger(text: string, max: number): boolean {
  if (text.length <= max) return false;
  let count = 0;
  for (const _ of text) if (++count > max) return true;
  return false;
}

function validateList(s: Structural, list: readonly unknown[], at: Place, result: Result): void {
  const { items } = s;
  if (items !== undefined) {
    const old = at.old === undefined ? undefined : correlatedItems(s, at.old.value);
    for (const [i, item] of list.entries())
      result.merge(validatePart(items, item, { ...at, path: `${at.path}[${i}]`, old: old?.(item) }));
  }
  const { minItems, maxItems } = s.limits;
  const { path } = at;
  if (minItems !== undefined && list.length < minItems) {
    const detail = `${path} in body should have at least ${minItems} items`;
    result.add({ type: 'Invalid', path, value: list.length, detail });
  }
  if (maxItems !== undefined && list.length > maxItems) result.add({ ...tooMany('', list.length, maxItems), path });
  result.matches += 2;
}

function validateObject(s: Structural, value: JsonObject, at: Place, result: Result): void {
  const { minProperties, maxProperties } = s.limits;
  const { path } = at;
  const size = Object.keys(value).length;
  if (minProperties !== undefined && size < minProperties) {
    const detail = `${path} in body should have at least ${minProperties} properties`;
    result.add({ type: 'Invalid', path, value: size, detail });
  }
  if (maxProperties !== undefined && size > maxProperties) result.add({ ...tooMany('', size, maxProperties), path });
  validateAdditional(s, value, at, result);
  for (const [name, property] of s.properties) {
    if (!Object.hasOwn(value, name)) continue;
    const inner = path === '' ? name : `${path}.${name}`;
    // Both objects have been converted to one version: a change of these two would not be seen.
    const isTypeMeta = path === '' && (name === 'kind' || name === 'apiVersion');
    const old = isTypeMeta ? undefined : correlatedField(at.old, name);
    result.merge(validatePart(property, getOwn(value, name), { ...at, path: inner, old }));
  }
  for (const name of s.required)
    if (!Object.hasOwn(value, name)) result.add({ type: 'Required', path: `${path}.${name}`, detail: '' });
  result.matches += 1;
}

function validateAdditional(s: Structural, value: JsonObject, at: Place, result: Result): void {
  const { additionalProperties: additional } = s;
  if (additional === undefined || additional === true) return;
  for (const key of Object.keys(value)) {
    if (s.properties.has(key)) continue;
    const path = `${at.path}.${key}`;
    if (additional === false)
      result.add({ type: 'Invalid', path: at.path, value: key, detail: `${path} in body is a forbidden property` });
    else result.merge(validatePart(additional, getOwn(value, key), { ...at, path, old: correlatedField(at.old, key) }));
  }
}
