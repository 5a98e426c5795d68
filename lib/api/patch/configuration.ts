/**
 * An apply configuration laid over an object, without owners: as mutating admission policies do it. What would be replaced as a
 * whole (atomic lists, maps, structs) is refused, since those who write such policies mean to add to it.
 * Source: k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch/smd.go.
 */
import type { KubeObject } from '../object.ts';
import { type KindInfo, kindInfo, schemaOf } from '../registry.ts';
import { shapeOfKind } from './apply.ts';
import { itemElement, type Shape, shapeOfType } from './shape.ts';
import { mergeTyped } from './typed.ts';
import { isObject } from './value.ts';

/** `merged` is not decoded: values may be of other types than the kind's. */
export function mergeConfiguration(
  kind: KindInfo,
  live: KubeObject,
  configuration: unknown,
): { readonly merged: unknown } | { readonly error: string } {
  const shape = shapeOf(kind, live);
  if (shape === undefined) return { error: `no schema for ${live.apiVersion}, Kind=${live.kind}` };
  const faults: Faults = { undeclared: [], atomic: [], keyless: [] };
  inspect(shape, configuration, '', faults);
  const wrong = [...faults.undeclared.map((at) => `${at}: field not declared in schema`), ...faults.keyless];
  if (wrong.length > 0) return { error: `failed to convert patch object to typed object: ${wrong.join(', ')}` };
  if (faults.atomic.length > 0)
    return {
      error: `invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: ${faults.atomic.join(', ')}`,
    };
  return { merged: mergeTyped(shape, live, configuration) };
}

/** `live` may be the body of a subresource: a Scale, a TokenRequest. */
function shapeOf(kind: KindInfo, live: KubeObject): Shape | undefined {
  if (live.kind === kind.kind) return shapeOfKind(kindInfo(kind));
  const type = schemaOf(live.apiVersion, live.kind);
  return type === undefined ? undefined : shapeOfType(type);
}

interface Faults {
  readonly undeclared: string[];
  readonly atomic: string[];
  readonly keyless: string[];
}

/** The depth is that of an expression's literals, which parsing bounds. */
function inspect(shape: Shape, value: unknown, path: string, faults: Faults): void {
  if (Array.isArray(value)) {
    if (shape.k === 'leaf') faults.atomic.push(path);
    if (shape.k !== 'list') return;
    for (const [i, item] of value.entries()) {
      if (isObject(item) && itemElement(shape, item) === undefined)
        faults.keyless.push(`${path}: element ${i}: associative list with keys has an element that omits a key field`);
      inspect(shape.of, item, `${path}[${i}]`, faults);
    }
    return;
  }
  if (!isObject(value)) return;
  if (shape.k === 'leaf') faults.atomic.push(path);
  for (const [key, inner] of Object.entries(value)) {
    const at = `${path}.${key}`;
    if (shape.k === 'map') inspect(shape.of, inner, at, faults);
    if (shape.k !== 'struct') continue;
    const field = shape.field(key);
    if (field === undefined) faults.undeclared.push(at);
    else inspect(field.shape, inner, at, faults);
  }
}
