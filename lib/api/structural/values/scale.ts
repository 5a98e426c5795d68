/**
 * What the paths of a scale subresource find: numbers of replicas that fit, and a selector that is a string.
 * Source: k8s.io/apiextensions-apiserver/pkg/registry/customresource/validator.go.
 */
import { type FieldError, invalid } from '../../field-error.ts';
import type { CustomResourceSubresourceScale } from '../../gen/types/apiextensions-v1.ts';
import { getOwn, isObject, type JsonObject } from '../../patch/value.ts';

const INT32_MAX = 2 ** 31 - 1;

type Scale = CustomResourceSubresourceScale | undefined;

/** Of spec and status. */
export function validateScale(scale: Scale, object: JsonObject): FieldError[] {
  if (scale === undefined) return [];
  return [...validateReplicas(scale.specReplicasPath, object), ...validateScaleStatus(scale, object)];
}

export function validateScaleStatus(scale: Scale, object: JsonObject): FieldError[] {
  if (scale === undefined) return [];
  const errors = validateReplicas(scale.statusReplicasPath, object);
  const path = scale.labelSelectorPath;
  if (path === undefined) return errors;
  const found = nestedValue(object, path);
  if (found.error !== undefined) return [...errors, invalid(path, '', found.error)];
  const { value } = found;
  if (value === undefined || typeof value === 'string') return errors;
  return [...errors, invalid(path, '', accessorError(path, value, 'string'))];
}

function validateReplicas(path: string, object: JsonObject): FieldError[] {
  const { value, error } = nestedValue(object, path);
  if (error !== undefined) return [invalid(path, 0, error)];
  if (value === undefined) return [];
  if (typeof value !== 'number' || !Number.isInteger(value))
    return [invalid(path, 0, accessorError(path, value, 'int64'))];
  if (value < 0) return [invalid(path, value, 'should be a non-negative integer')];
  return value > INT32_MAX ? [invalid(path, value, `should be less than or equal to ${INT32_MAX}`)] : [];
}

export interface NestedValue {
  /** undefined: not there. */
  readonly value?: unknown;
  /** A step of the path leads through something that is no object. */
  readonly error?: string;
}

/** The value at a path in dots (`.spec.replicas`): keys of objects only. */
export function nestedValue(object: unknown, path: string): NestedValue {
  const steps = path.replace(/^\./, '').split('.');
  let value: unknown = object;
  for (const [i, step] of steps.entries()) {
    if (value === undefined || value === null) return {};
    if (!isObject(value))
      return { error: accessorError(`.${steps.slice(0, i + 1).join('.')}`, value, 'map[string]interface {}') };
    value = getOwn(value, step);
  }
  return { value };
}

/** Source: k8s.io/apimachinery/pkg/apis/meta/v1/unstructured/helpers.go. */
function accessorError(path: string, value: unknown, wanted: string): string {
  return `${path} accessor error: ${goValue(value)} is of the type ${goType(value)}, expected ${wanted}`;
}

function goType(value: unknown): string {
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return '[]interface {}';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int64' : 'float64';
  if (typeof value === 'boolean') return 'bool';
  return typeof value === 'object' ? 'map[string]interface {}' : typeof value;
}

function goValue(value: unknown): string {
  if (value === null) return '<nil>';
  if (Array.isArray(value)) return `[${value.map(goValue).join(' ')}]`;
  if (!isObject(value)) return String(value);
  const pairs = Object.keys(value)
    .sort()
    .map((key) => `${key}:${goValue(value[key])}`);
  return `map[${pairs.join(' ')}]`;
}
