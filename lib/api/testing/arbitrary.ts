/** Arbitrary JSON of any struct type of the field table, for property tests: values that decode without error. */
import fc from 'fast-check';
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from '../type-table.ts';

type Json = Record<string, unknown>;

/** Nesting below `depth` is left out, so that recursive types end. */
export function arbitraryObject(name: TypeName, depth = 6): fc.Arbitrary<Json> {
  const fields: Record<string, fc.Arbitrary<unknown>> = {};
  for (const f of typeOf(name).fields) {
    const value = arbitraryField(f, depth);
    if (value !== undefined && f.name !== 'apiVersion' && f.name !== 'kind')
      fields[f.name] = fc.option(value, { nil: undefined, freq: depth > 4 ? 3 : 1 });
  }
  return fc.record(fields);
}

function arbitraryField(f: FieldInfo, depth: number): fc.Arbitrary<unknown> | undefined {
  return arbitraryOf(f.type, depth - 1);
}

function arbitraryOf(t: TypeRef, depth: number): fc.Arbitrary<unknown> | undefined {
  switch (t.k) {
    case 'string':
      return fc.constantFrom('', 'a', 'Bb', 'ü', '__proto__');
    case 'bool':
      return fc.boolean();
    case 'int32':
      return fc.oneof(fc.constant(0), fc.integer());
    case 'int64':
      return fc.oneof(fc.constant(0), fc.maxSafeInteger());
    case 'uint32':
    case 'uint64':
      return fc.nat();
    case 'float64':
      return fc.constantFrom(0, 1.5, -2.25);
    case 'bytes':
      return fc.constantFrom('', 'AA==', 'aGVsbG8=');
    case 'any':
      return undefined;
    case 'list': {
      const item = arbitraryOf(t.of, depth);
      return item === undefined ? undefined : fc.array(item, { maxLength: 2 });
    }
    case 'map': {
      const item = arbitraryOf(t.of, depth);
      return item === undefined ? undefined : fc.dictionary(fc.constantFrom('k', 'a.b/c', 'Z'), item, { maxKeys: 2 });
    }
    case 'struct':
      return depth <= 0 ? undefined : fc.constant(null).chain(() => arbitraryObject(t.name, depth));
    case 'wellKnown':
      return WELL_KNOWN[t.name];
  }
}

const WELL_KNOWN: Readonly<Record<TypeName, fc.Arbitrary<unknown>>> = {
  'meta/v1.Time': fc.constantFrom('2024-01-02T03:04:05Z', '1970-01-01T00:00:00Z'),
  'meta/v1.MicroTime': fc.constantFrom('2024-01-02T03:04:05.000001Z', '2024-01-02T03:04:05.100000Z'),
  'meta/v1.Duration': fc.constantFrom('0s', '1h2m3.5s', '100ms'),
  'meta/v1.FieldsV1': fc.constant({ 'f:spec': { '.': {} } }),
  'runtime.RawExtension': fc.constantFrom({ a: [1, 'x'] }, { apiVersion: 'v1' }),
  'resource.Quantity': fc.constantFrom('0', '500m', '1Gi', '1500', '3e6'),
  'intstr.IntOrString': fc.constantFrom(0, 8080, '25%', ''),
  'apiextensions/v1.JSON': fc.constantFrom('x', 1, { a: null }),
  'apiextensions/v1.JSONSchemaPropsOrBool': fc.boolean(),
  'apiextensions/v1.JSONSchemaPropsOrStringArray': fc.constant(['a']),
};

/** The same, with null for one value at any depth: lists that must be there are kept so. */
export function arbitraryObjectWithNull(name: TypeName): fc.Arbitrary<Json> {
  return fc.tuple(arbitraryObject(name), fc.nat({ max: 200 })).map(([object, at]) => {
    const places: (() => void)[] = [];
    const collect = (value: object): void => {
      for (const [key, inner] of Object.entries(value)) {
        places.push(() => Object.assign(value, { [key]: null }));
        if (typeof inner === 'object' && inner !== null) collect(inner);
      }
    };
    const copy = structuredClone(object);
    collect(copy);
    places[at % Math.max(1, places.length)]?.();
    return copy;
  });
}
