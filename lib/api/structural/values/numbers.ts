/** Checks of numbers. Source: k8s.io/kube-openapi/pkg/validation/validate/{validator,values}.go. */
import type { Structural } from '../schema.ts';
import type { Failure } from './result.ts';

const INT32 = 2 ** 31;
const INT64 = 2 ** 63;
/** Rounded up, the least number that does not fit. */
const FLOAT32_MAX = 3.4028235677973366e38;
/** Relative error that counts as none: 0.3 is a multiple of 0.1. */
const EPSILON = 1e-9;

/** True of what may be an integer: 1.0 is, 2^60 is. */
export function isIntegral(value: number): boolean {
  return Number.isInteger(value);
}

export function validateNumber(s: Structural, value: number, path: string): Failure[] {
  const { multipleOf, maximum, exclusiveMaximum, minimum, exclusiveMinimum } = s.limits;
  const found: Failure[] = [];
  const say = (detail: string): void => {
    found.push({ type: 'Invalid', path, value, detail });
  };
  const range = rangeOf(s, value);
  if (range !== undefined)
    found.push({
      type: 'Invalid',
      path: undefined,
      value: '',
      detail: `Checked value must be of type ${range} in ${path}`,
    });
  if (multipleOf !== undefined) {
    if (multipleOf <= 0) say(`factor MultipleOf declared for ${path} must be positive: ${goNumber(multipleOf)}`);
    else if (!isMultiple(value, multipleOf)) say(`${path} in body should be a multiple of ${goNumber(multipleOf)}`);
  }
  if (maximum !== undefined && (exclusiveMaximum ? value >= maximum : value > maximum))
    say(`${path} in body should be less than ${exclusiveMaximum ? '' : 'or equal to '}${goNumber(maximum)}`);
  if (minimum !== undefined && (exclusiveMinimum ? value <= minimum : value < minimum))
    say(`${path} in body should be greater than ${exclusiveMinimum ? '' : 'or equal to '}${goNumber(minimum)}`);
  return found;
}

/** The type and format that cannot hold the value, in words; only where the type is one. */
function rangeOf(s: Structural, value: number): string | undefined {
  if (s.isIntOrString) return undefined;
  if (s.type === 'integer') {
    const format = s.format === 'int32' || s.format === 'int64' ? s.format : '';
    const limit = format === 'int32' ? INT32 : INT64;
    if (Number.isInteger(value) && value >= -limit && value < limit) return undefined;
    return format === '' ? 'integer (default format)' : `integer with format ${format}`;
  }
  const isTooLarge = s.type === 'number' && s.format === 'float' && Math.abs(value) >= FLOAT32_MAX;
  return isTooLarge ? 'number with format float' : undefined;
}

function isMultiple(value: number, factor: number): boolean {
  if (Number.isInteger(value) && Number.isInteger(factor)) return value % factor === 0;
  const quotient = factor < 1 ? (1 / factor) * value : value / factor;
  const whole = Math.round(quotient);
  return quotient === whole || Math.abs(quotient - whole) / (Math.abs(quotient) + Math.abs(whole)) < EPSILON;
}

/** A number as Go's %v prints it: exponents have two digits and begin below 1e-4. */
export function goNumber(value: number): string {
  const text = value !== 0 && Math.abs(value) < 1e-4 ? value.toExponential() : String(value);
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}
