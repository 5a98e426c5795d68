/**
 * The topology of a custom resource for server-side apply, from its structural schema: structs by field, additionalProperties
 * by key, lists by their x-kubernetes-list-type, and what has no schema as JSON is: objects by key, all else a unit.
 * Source: k8s.io/kube-openapi/pkg/schemaconv; kubernetes.io/docs/reference/using-api/server-side-apply/#custom-resources.
 */
import { type FieldShape, type Shape, shapeOfType } from '../patch/shape.ts';
import { META_FIELDS, type Structural } from './schema.ts';

const LEAF: Shape = { k: 'leaf' };

/** Objects of any depth without a schema. A value that is no object is a unit wherever this shape meets it. */
const DEDUCED: Shape = {
  k: 'map',
  get of(): Shape {
    return DEDUCED;
  },
};

/** The shape of whole objects. */
export function shapeOfStructural(schema: Structural): Shape {
  return resourceShape(schema);
}

function resourceShape(schema: Structural): Shape {
  const metadata = shapeOfType('meta/v1.ObjectMeta');
  const fields = structFields(schema);
  return {
    k: 'struct',
    field: (name) => {
      if (!META_FIELDS.has(name)) return fields(name);
      return { shape: name === 'metadata' ? metadata : LEAF, isAlwaysPresent: false };
    },
  };
}

function shapeOf(schema: Structural): Shape {
  if (schema.type === 'array') return listShape(schema);
  if (schema.type === '') return schema.isIntOrString ? LEAF : untyped(schema);
  if (schema.type !== 'object' || schema.mapType === 'atomic') return LEAF;
  if (schema.isEmbeddedResource) return resourceShape(schema);
  if (schema.properties.size > 0) return { k: 'struct', field: structFields(schema) };
  const { additionalProperties: additional } = schema;
  return typeof additional === 'object' ? { k: 'map', of: shapeOf(additional) } : DEDUCED;
}

/** Only x-kubernetes-preserve-unknown-fields may leave the type out. */
function untyped(schema: Structural): Shape {
  if (schema.mapType === 'atomic') return LEAF;
  return schema.properties.size > 0 ? { k: 'struct', field: structFields(schema) } : DEDUCED;
}

function structFields(schema: Structural): (name: string) => FieldShape | undefined {
  const shapes = new Map<string, FieldShape>();
  for (const [name, property] of schema.properties)
    shapes.set(name, { shape: shapeOf(property), isAlwaysPresent: false });
  const unknown = schema.preservesUnknownFields ? { shape: DEDUCED, isAlwaysPresent: false } : undefined;
  return (name) => shapes.get(name) ?? unknown;
}

function listShape(schema: Structural): Shape {
  if (schema.listType === 'set') return { k: 'set' };
  if (schema.listType !== 'map' || schema.items === undefined) return LEAF;
  const { items } = schema;
  const keys = schema.listMapKeys.map((name) => ({ name, default: items.properties.get(name)?.default }));
  return { k: 'list', keys: keys.toSorted((a, b) => (a.name < b.name ? -1 : 1)), of: shapeOf(items) };
}
