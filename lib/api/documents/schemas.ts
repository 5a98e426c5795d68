/**
 * OpenAPI schemas from the field table: one component per struct, named as the published specification names it, with the
 * extensions that clients act on: group-version-kind (explain), patch strategy and merge key (kubectl apply), list and map
 * types (server-side apply).
 * Source: github.com/kubernetes/kubernetes api/openapi-spec/v3; kubernetes.io/docs/reference/using-api/api-concepts.
 */
import { type FieldInfo, type TypeName, type TypeRef, typeOf } from '../type-table.ts';
import type { Descriptions } from './descriptions/index.ts';

export type Schema = { [key: string]: unknown };

const PREFIXES: readonly (readonly [prefix: string, replacement: string])[] = [
  ['meta/', 'io.k8s.apimachinery.pkg.apis.meta.'],
  ['runtime.', 'io.k8s.apimachinery.pkg.runtime.'],
  ['intstr.', 'io.k8s.apimachinery.pkg.util.intstr.'],
  ['resource.', 'io.k8s.apimachinery.pkg.api.resource.'],
  ['apiextensions/', 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.'],
  ['apiregistration/', 'io.k8s.kube-aggregator.pkg.apis.apiregistration.'],
  ['metrics/', 'io.k8s.metrics.pkg.apis.metrics.'],
];

/** `core/v1.Pod` → `io.k8s.api.core.v1.Pod` */
export function componentName(name: TypeName): string {
  for (const [prefix, replacement] of PREFIXES)
    if (name.startsWith(prefix)) return replacement + name.slice(prefix.length);
  return `io.k8s.api.${name.replace('/', '.')}`;
}

export function refToComponent(name: string): Schema {
  return { $ref: `#/components/schemas/${name}` };
}

export function refTo(name: TypeName): Schema {
  return { $ref: `#/components/schemas/${componentName(name)}` };
}

/** The types with a JSON form of their own; anything not listed may be any JSON value. */
const WELL_KNOWN: Readonly<Record<string, Schema>> = {
  'meta/v1.Time': { type: 'string', format: 'date-time', description: 'A time in RFC 3339, to the second.' },
  'meta/v1.MicroTime': { type: 'string', format: 'date-time', description: 'A time in RFC 3339, to the microsecond.' },
  'meta/v1.Duration': { type: 'string', description: 'A length of time, such as `1h30m` or `10s`.' },
  'meta/v1.FieldsV1': {
    type: 'object',
    description:
      'A set of fields as a tree: `f:<name>` a field, `k:<keys>` an item by its keys, `v:<value>` an item by its value, `i:<index>` one by its place, `.` the thing itself.',
  },
  'runtime.RawExtension': { type: 'object', description: 'An object of any kind.' },
  'runtime.Unknown': { type: 'object', description: 'An object of any kind.' },
  'resource.Quantity': {
    description:
      'A number with a suffix: `m` for a thousandth, `k`, `M`, `G`, `T`, `P`, `E` for powers of 1000, `Ki`, `Mi`, `Gi`, `Ti`, `Pi`, `Ei` for powers of 1024, or an exponent of ten. `500m` of CPU is half a CPU.',
    oneOf: [{ type: 'string' }, { type: 'number' }],
  },
  'intstr.IntOrString': {
    description: 'A whole number, or a text such as a name or a percentage.',
    format: 'int-or-string',
    oneOf: [{ type: 'integer' }, { type: 'string' }],
  },
  'apiextensions/v1.JSON': { description: 'Any JSON value.' },
  'apiextensions/v1.JSONSchemaPropsOrArray': { description: 'A schema, or a list of schemas.' },
  'apiextensions/v1.JSONSchemaPropsOrBool': { description: 'A schema, or true or false.' },
  'apiextensions/v1.JSONSchemaPropsOrStringArray': { description: 'A schema, or a list of texts.' },
};

/** Components of all types reachable from `roots`, by component name, sorted. `gvks`: of the types that are a kind. */
export function componentsOf(
  roots: Iterable<TypeName>,
  { gvks, texts }: { readonly gvks: ReadonlyMap<TypeName, readonly object[]>; readonly texts: Descriptions },
): Record<string, Schema> {
  const found = new Map<string, Schema>();
  const queue = [...roots];
  const seen = new Set<TypeName>(queue);
  const visit = (type: TypeRef): void => {
    if (type.k === 'list' || type.k === 'map') visit(type.of);
    else if ((type.k === 'struct' || type.k === 'wellKnown') && !seen.has(type.name)) {
      seen.add(type.name);
      if (type.k === 'struct') queue.push(type.name);
      else found.set(componentName(type.name), { ...(WELL_KNOWN[type.name] ?? {}) });
    }
  };
  for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
    for (const field of typeOf(name).fields) visit(field.type);
    const kinds = gvks.get(name);
    found.set(componentName(name), {
      ...structSchema(name, texts),
      ...(kinds === undefined ? {} : { 'x-kubernetes-group-version-kind': kinds }),
    });
  }
  return Object.fromEntries([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function structSchema(name: TypeName, texts: Descriptions): Schema {
  const info = typeOf(name);
  const required = info.fields.filter(isRequired).map((f) => f.name);
  const properties: Schema = {};
  for (const field of info.fields.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    properties[field.name] = fieldSchema(field, texts.ofField(name, field.name));
  const description = texts.ofType(name);
  return {
    ...(description === undefined ? {} : { description }),
    type: 'object',
    ...(required.length > 0 ? { required } : {}),
    properties,
    ...(info.structType === undefined ? {} : { 'x-kubernetes-map-type': info.structType }),
  };
}

function isRequired(f: FieldInfo): boolean {
  return f.required || !(f.optional || f.omitempty || f.omitzero);
}

function fieldSchema(f: FieldInfo, description: string | undefined): Schema {
  const value = f.default ?? (f.pointer ? undefined : zeroOf(f));
  const beside: Schema = {
    ...(description === undefined ? {} : { description }),
    ...(value === undefined ? {} : { default: value }),
    ...(f.listType === undefined ? {} : { 'x-kubernetes-list-type': f.listType }),
    ...(f.listMapKeys.length === 0 ? {} : { 'x-kubernetes-list-map-keys': f.listMapKeys }),
    ...(f.patchStrategy.length === 0 ? {} : { 'x-kubernetes-patch-strategy': f.patchStrategy.join(',') }),
    ...(f.mergeKey === undefined ? {} : { 'x-kubernetes-patch-merge-key': f.mergeKey }),
    ...(f.mapType === undefined && f.structType === undefined
      ? {}
      : { 'x-kubernetes-map-type': f.mapType ?? f.structType }),
  };
  const schema = typeSchema(f.type);
  return { ...(Object.keys(beside).length > 0 ? wrapRef(schema) : schema), ...beside };
}

/** The default that the published specification gives: the zero value of what is always written. */
function zeroOf(f: FieldInfo): unknown {
  switch (f.type.k) {
    case 'struct':
      return {};
    case 'string':
      return isRequired(f) && f.type.enum === undefined ? '' : undefined;
    case 'int32':
    case 'int64':
      return isRequired(f) ? 0 : undefined;
    case 'bool':
      return isRequired(f) ? false : undefined;
    default:
      return undefined;
  }
}

/** A `$ref` may have no siblings in OpenAPI 3.0: it is put into an allOf of one. */
function wrapRef(schema: Schema): Schema {
  return '$ref' in schema ? { allOf: [schema] } : schema;
}

function typeSchema(type: TypeRef): Schema {
  switch (type.k) {
    case 'string':
      return type.enum === undefined ? { type: 'string' } : { type: 'string', enum: type.enum };
    case 'bool':
      return { type: 'boolean' };
    case 'int32':
    case 'int64':
    case 'uint32':
    case 'uint64':
      return { type: 'integer', format: type.k.replace('u', '') };
    case 'float64':
      return { type: 'number', format: 'double' };
    case 'bytes':
      return { type: 'string', format: 'byte' };
    case 'any':
      return {};
    case 'list':
      return { type: 'array', items: elementSchema(type.of) };
    case 'map':
      return { type: 'object', additionalProperties: elementSchema(type.of) };
    case 'struct':
    case 'wellKnown':
      return refTo(type.name);
  }
}

function elementSchema(type: TypeRef): Schema {
  const schema = typeSchema(type);
  if (type.k === 'struct') return { ...wrapRef(schema), default: {} };
  return type.k === 'string' && type.enum === undefined ? { ...schema, default: '' } : schema;
}
