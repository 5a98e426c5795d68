/** Decoders of the well-known types for schema.ts; forms and zero values: wellKnown in data/kubernetes-types.json. */
import { durationText } from '#lib/base';
import type { TypeName } from './type-table.ts';
import { canonicalMicroTime, canonicalQuantity, canonicalTime, parseGoDuration } from './well-known.ts';

export interface WellKnownTools {
  /** Throws the decode error for a value of the wrong JSON type. */
  fail(value: unknown, goName: string, state: unknown): never;
  nested(name: TypeName): (value: unknown, state: unknown) => unknown;
}

const ZEROS: Readonly<Record<TypeName, unknown>> = {
  'meta/v1.Duration': '0s',
  'resource.Quantity': '0',
  'intstr.IntOrString': 0,
  'apiextensions/v1.JSONSchemaPropsOrBool': false,
};

/** JSON of the zero value; null for times and raw JSON. */
export function wellKnownZero(name: TypeName): unknown {
  return ZEROS[name] ?? null;
}

export function decodeWellKnown(name: TypeName, t: WellKnownTools): (value: unknown, state: unknown) => unknown {
  switch (name) {
    case 'meta/v1.Time':
      return (v, s) => (typeof v === 'string' ? canonicalTime(v) : t.fail(v, 'string', s));
    case 'meta/v1.MicroTime':
      return (v, s) => (typeof v === 'string' ? canonicalMicroTime(v) : t.fail(v, 'string', s));
    case 'meta/v1.Duration':
      return (v, s) => (typeof v === 'string' ? durationText(parseGoDuration(v)) : t.fail(v, 'string', s));
    case 'resource.Quantity':
      return (v, s) =>
        typeof v === 'string' || typeof v === 'number' ? canonicalQuantity(String(v)) : t.fail(v, 'string', s);
    case 'intstr.IntOrString':
      return (v, s) => {
        if (typeof v === 'string') return v;
        if (typeof v !== 'number' || !Number.isInteger(v) || v < -(2 ** 31) || v > 2 ** 31 - 1) t.fail(v, 'int32', s);
        return v;
      };
    case 'apiextensions/v1.JSONSchemaPropsOrArray':
      return schemaOrList(t, (v, s, schema) => v.map((item) => schema(item, s)));
    case 'apiextensions/v1.JSONSchemaPropsOrStringArray':
      return schemaOrList(t, (v, s) => v.map((item) => (typeof item === 'string' ? item : t.fail(item, 'string', s))));
    case 'apiextensions/v1.JSONSchemaPropsOrBool': {
      const schema = lazy(() => t.nested('apiextensions/v1.JSONSchemaProps'));
      return (v, s) => (typeof v === 'boolean' ? v : schema()(v, s));
    }
    default:
      return (v) => structuredClone(v);
  }
}

type Nested = (value: unknown, state: unknown) => unknown;

function schemaOrList(
  t: WellKnownTools,
  list: (v: unknown[], s: unknown, schema: Nested) => unknown,
): (value: unknown, state: unknown) => unknown {
  const schema = lazy(() => t.nested('apiextensions/v1.JSONSchemaProps'));
  return (v, s) => (Array.isArray(v) ? list(v, s, schema()) : schema()(v, s));
}

/** Schemas contain schemas: building the inner decoder waits for the first value. */
function lazy<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
