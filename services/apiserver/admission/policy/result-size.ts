/**
 * Whether a value that an expression gave may become JSON. Values share their parts: `v + v`, forty times, costs an expression
 * nothing and would be a list of a trillion elements.
 */
import { ListValue, MapValue, ObjectValue, type Value } from '#lib/cel';

const PARTS_MAX = 200_000;
/** As much as a body may have. */
const CHARACTERS_MAX = 3 * 1024 * 1024;
const DEPTH_MAX = 1_000;

export function isWithinSize(root: Value): boolean {
  let [parts, characters] = [0, 0];
  const open: { readonly value: Value; readonly depth: number }[] = [{ value: root, depth: 0 }];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { value, depth } = next;
    parts += 1 + (value instanceof ListValue ? value.length : value instanceof MapValue ? value.size : 0);
    if (typeof value === 'string' || value instanceof Uint8Array) characters += value.length;
    if (parts > PARTS_MAX || characters > CHARACTERS_MAX || depth > DEPTH_MAX) return false;
    for (const inner of partsOf(value)) open.push({ value: inner, depth: depth + 1 });
  }
  return true;
}

function partsOf(value: Value): Iterable<Value> {
  if (value instanceof ListValue) return value;
  if (value instanceof MapValue) return [...value.keys()].flatMap((key) => [key, value.find(key) ?? null]);
  if (value instanceof ObjectValue) return [...value.fields()].flatMap((f) => [f, value.value(f) ?? null]);
  return [];
}
