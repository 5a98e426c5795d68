/**
 * What OpenAPI documents say of one version of a custom resource: a component (v3) or definition (v2) of the kind and of its
 * list. v2 has no junctors, no nullable and no open structs, so there they are left out or loosened: kubectl would else refuse
 * good objects.
 * Source: k8s.io/apiextensions-apiserver/pkg/controller/openapi/{builder/builder,v2/conversion}.go.
 */
import type { CustomResourceDefinition, JSONSchemaProps } from '../gen/types/apiextensions-v1.ts';
import { getOwn, isObject, type JsonObject, setOwn } from '../patch/value.ts';
import { isIntOrStringPair } from './invariants.ts';
import type { Structural } from './schema.ts';

export interface CustomKind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly listKind: string;
  readonly plural: string;
  /** JSON paths of selectableFields. */
  readonly selectable: readonly string[];
}

/** undefined: the definition has no such version. `spec.names` is defaulted. */
export function customKindOf(crd: CustomResourceDefinition, version: string): CustomKind | undefined {
  const { group, names, versions } = crd.spec;
  const found = versions.find((v) => v.name === version);
  if (found === undefined) return undefined;
  return {
    group,
    version,
    kind: names.kind,
    listKind: names.listKind ?? `${names.kind}List`,
    plural: names.plural,
    selectable: (found.selectableFields ?? []).map((f) => f.jsonPath),
  };
}

/** `Widget` of `example.com/v1` is `com.example.v1.Widget`. */
export function customComponentName(group: string, version: string, kind: string): string {
  return `${group.split('.').reverse().join('.')}.${version}.${kind}`;
}

type Version = 'v2' | 'v3';
const PREFIXES: Readonly<Record<Version, string>> = { v2: '#/definitions/', v3: '#/components/schemas/' };
const OBJECT_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta';
const LIST_META = 'io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta';

/** The kind and its list, by component name. `schema` undefined: nothing is known of the kind but that it is an object. */
export function customComponents(kind: CustomKind, schema: Structural | undefined, version: Version): JsonObject {
  const name = customComponentName(kind.group, kind.version, kind.kind);
  return {
    [name]: { ...kindSchema(schema, version), ...extensions(kind, kind.kind), ...selectable(kind, version) },
    [customComponentName(kind.group, kind.version, kind.listKind)]: {
      description: `${kind.listKind} is a list of ${kind.kind}`,
      type: 'object',
      required: ['items'],
      properties: {
        apiVersion: { type: 'string' },
        items: {
          description: `List of ${kind.plural}.`,
          type: 'array',
          items: reference(name, version),
        },
        kind: { type: 'string' },
        metadata: reference(LIST_META, version),
      },
      ...extensions(kind, kind.listKind),
      ...selectable(kind, version),
    },
  };
}

function extensions(kind: CustomKind, name: string): JsonObject {
  return { 'x-kubernetes-group-version-kind': [{ group: kind.group, version: kind.version, kind: name }] };
}

function selectable(kind: CustomKind, version: Version): JsonObject {
  if (version === 'v2' || kind.selectable.length === 0) return {};
  const fields = kind.selectable.map((path) => ({ fieldPath: path.replace(/^\./, '') }));
  return { 'x-kubernetes-selectable-fields': fields };
}

function reference(name: string, version: Version): JsonObject {
  return { $ref: PREFIXES[version] + name };
}

function kindSchema(schema: Structural | undefined, version: Version): JsonObject {
  if (schema === undefined || (version === 'v2' && schema.preservesUnknownFields)) return { type: 'object' };
  const published = publish(schema, version);
  return { ...published, properties: { ...propertiesOf(published), ...metaProperties(version) } };
}

function propertiesOf(schema: JsonObject): JsonObject {
  const properties = getOwn(schema, 'properties');
  return isObject(properties) ? properties : {};
}

function metaProperties(version: Version): JsonObject {
  return {
    apiVersion: { type: 'string' },
    kind: { type: 'string' },
    metadata: reference(OBJECT_META, version),
  };
}

/** Keywords whose values are not schemas, in the order that documents show them. */
const PLAIN = [
  'description',
  'title',
  'type',
  'format',
  'nullable',
  'default',
  'example',
  'externalDocs',
  'enum',
  'maximum',
  'exclusiveMaximum',
  'minimum',
  'exclusiveMinimum',
  'multipleOf',
  'maxLength',
  'minLength',
  'pattern',
  'maxItems',
  'minItems',
  'uniqueItems',
  'maxProperties',
  'minProperties',
  'required',
  'x-kubernetes-preserve-unknown-fields',
  'x-kubernetes-embedded-resource',
  'x-kubernetes-int-or-string',
  'x-kubernetes-list-type',
  'x-kubernetes-list-map-keys',
  'x-kubernetes-map-type',
  'x-kubernetes-validations',
] as const satisfies readonly (keyof JSONSchemaProps)[];

function publish(s: Structural, version: Version): JsonObject {
  const out: JsonObject = {};
  for (const name of PLAIN) if (s.source[name] !== undefined) out[name] = s.source[name];
  if (version === 'v2') return publishV2(s, out);
  publishParts(s, out, version);
  publishJunctors(s, out);
  return s.isEmbeddedResource ? asEmbedded(out, version) : out;
}

function publishParts(s: Structural, out: JsonObject, version: Version): void {
  if (s.items !== undefined) out['items'] = publish(s.items, version);
  if (s.properties.size > 0) {
    const properties: JsonObject = {};
    for (const [name, property] of s.properties) setOwn(properties, name, publish(property, version));
    out['properties'] = properties;
  }
  const { additionalProperties: additional } = s;
  if (additional !== undefined)
    out['additionalProperties'] = typeof additional === 'boolean' ? additional : publish(additional, version);
}

const INT_OR_STRING = [{ type: 'integer' }, { type: 'string' }];

/** x-kubernetes-int-or-string is spelled out for readers that do not know it. */
function publishJunctors(s: Structural, out: JsonObject): void {
  const lists = { allOf: s.allOf, anyOf: s.anyOf, oneOf: s.oneOf };
  for (const [name, list] of Object.entries(lists))
    if (list.length > 0) out[name] = list.map((inner) => publish(inner, 'v3'));
  if (s.not !== undefined) out['not'] = publish(s.not, 'v3');
  const isSpelled = isIntOrStringPair(s.anyOf) || isIntOrStringPair(s.allOf[0]?.anyOf ?? []);
  if (!s.isIntOrString || isSpelled) return;
  if (s.anyOf.length === 0) out['anyOf'] = INT_OR_STRING;
  else out['allOf'] = [{ anyOf: INT_OR_STRING }, ...s.allOf.map((inner) => publish(inner, 'v3'))];
}

function publishV2(s: Structural, out: JsonObject): JsonObject {
  delete out['nullable'];
  const isOpen = s.nullable || s.preservesUnknownFields;
  publishParts({ ...s, ...(isOpen ? { items: undefined, properties: new Map() } : {}) }, out, 'v2');
  // kubectl cannot read a type without the parts that it expects of it.
  if (s.nullable || (s.preservesUnknownFields && (s.type === 'object' || s.type === 'array'))) delete out['type'];
  const required = s.required.filter((name) => isOpen || s.properties.get(name)?.nullable !== true);
  const isNullableMap = typeof s.additionalProperties === 'object' && s.additionalProperties.nullable;
  if (required.length === 0 || isNullableMap) delete out['required'];
  else out['required'] = required;
  return s.isEmbeddedResource && !s.preservesUnknownFields ? asEmbedded(out, 'v2') : out;
}

function asEmbedded(out: JsonObject, version: Version): JsonObject {
  const given = Array.isArray(out['required']) ? out['required'] : [];
  return {
    ...out,
    properties: { ...propertiesOf(out), ...metaProperties(version) },
    required: [...given, ...['kind', 'apiVersion'].filter((name) => !given.includes(name))],
  };
}
