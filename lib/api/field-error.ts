/**
 * Field errors and the 422 answer, in Kubernetes' words, so that kubectl and client libraries show what users know.
 * Source: k8s.io/apimachinery/pkg/util/validation/field/errors.go, pkg/api/errors/errors.go NewInvalid.
 */
import { StatusError } from '#lib/base';
import type { KindRef } from './object.ts';

export type FieldErrorType =
  | 'Required'
  | 'Invalid'
  | 'NotSupported'
  | 'Duplicate'
  | 'Forbidden'
  | 'TooLong'
  | 'TooMany'
  | 'NotFound'
  | 'TypeInvalid';

export interface FieldError {
  readonly type: FieldErrorType;
  /** Path as Kubernetes writes it: `spec.containers[0].image`, `metadata.labels`, `data[key]`. */
  readonly field: string;
  /** The bad value, as API JSON. */
  readonly value?: unknown;
  /** The value is not shown (Go's field.OmitValueType). */
  readonly omitsValue?: true;
  readonly detail: string;
}

const TYPES: Readonly<Record<FieldErrorType, { text: string; cause: string; showsValue: boolean }>> = {
  Required: { text: 'Required value', cause: 'FieldValueRequired', showsValue: false },
  Invalid: { text: 'Invalid value', cause: 'FieldValueInvalid', showsValue: true },
  NotSupported: { text: 'Unsupported value', cause: 'FieldValueNotSupported', showsValue: true },
  Duplicate: { text: 'Duplicate value', cause: 'FieldValueDuplicate', showsValue: true },
  Forbidden: { text: 'Forbidden', cause: 'FieldValueForbidden', showsValue: false },
  TooLong: { text: 'Too long', cause: 'FieldValueTooLong', showsValue: false },
  TooMany: { text: 'Too many', cause: 'FieldValueTooMany', showsValue: true },
  NotFound: { text: 'Not found', cause: 'FieldValueNotFound', showsValue: true },
  TypeInvalid: { text: 'Invalid value', cause: 'FieldValueTypeInvalid', showsValue: true },
};

/** The error without its field: `Invalid value: "x": must be ...`. */
export function errorBody(e: FieldError): string {
  const t = TYPES[e.type];
  const head = t.showsValue && e.omitsValue !== true ? `${t.text}: ${valueText(e.value)}` : t.text;
  return e.detail === '' ? head : `${head}: ${e.detail}`;
}

/** `Deployment.apps "x" is invalid: spec.replicas: Invalid value: ...`; several errors as `[a, b]`; reason Invalid, one cause per error. */
export function invalidError(
  kind: Pick<KindRef, 'group' | 'kind'>,
  name: string,
  errors: readonly FieldError[],
): StatusError {
  const texts = [...new Set(errors.map((e) => `${e.field}: ${errorBody(e)}`))];
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const head = `${qualified} ${goQuote(name)} is invalid`;
  const tail = texts.length === 0 ? '' : texts.length === 1 ? `: ${texts[0]}` : `: [${texts.join(', ')}]`;
  return new StatusError('Invalid', head + tail, {
    details: {
      name,
      group: kind.group,
      kind: kind.kind,
      causes: errors.map((e) => ({ reason: TYPES[e.type].cause, message: errorBody(e), field: e.field })),
    },
  });
}

function valueText(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (typeof value === 'string') return goQuote(value);
  if (typeof value === 'object') return JSON.stringify(value);
  return String(value);
}

/** Go's %q. JSON differs only in the escapes of control characters, quotes of <, >, & are the same here. */
export function goQuote(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters %q escapes
  return `"${text.replace(/["\\\u0000-\u001f\u007f]/g, escapeCharacter)}"`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  '\\': '\\\\',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\v': '\\v',
};

function escapeCharacter(c: string): string {
  return ESCAPES[c] ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

export function required(field: string, detail = ''): FieldError {
  return { type: 'Required', field, detail };
}
export function invalid(field: string, value: unknown, detail: string): FieldError {
  return { type: 'Invalid', field, value, detail };
}
/** Invalid, without showing the value. */
export function omitted(field: string, detail: string): FieldError {
  return { type: 'Invalid', field, omitsValue: true, detail };
}
export function forbidden(field: string, detail: string): FieldError {
  return { type: 'Forbidden', field, detail };
}
export function duplicate(field: string, value: unknown): FieldError {
  return { type: 'Duplicate', field, value, detail: '' };
}
export function notFound(field: string, value: unknown): FieldError {
  return { type: 'NotFound', field, value, detail: '' };
}
/** `supported` in the order to show; Kubernetes sorts most, not all, of its lists. */
export function notSupported(field: string, value: unknown, supported: readonly string[]): FieldError {
  const list = supported.map((v) => goQuote(v));
  return { type: 'NotSupported', field, value, detail: `supported values: ${list.join(', ')}` };
}
export function tooLong(field: string, maxBytes: number): FieldError {
  return { type: 'TooLong', field, detail: `may not be more than ${maxBytes} ${maxBytes === 1 ? 'byte' : 'bytes'}` };
}
export function tooMany(field: string, actual: number, max: number): FieldError {
  return { type: 'TooMany', field, value: actual, detail: `must have at most ${max} ${max === 1 ? 'item' : 'items'}` };
}
