/**
 * Equality of API values in canonical form (as decodeObject leaves them), as Kubernetes compares them: absent, null and an
 * empty list are the same; the order of map keys does not matter, that of lists does. `{}` differs from absent: in canonical
 * form it is a set but empty struct (`podSelector: {}`), an empty map has been dropped.
 * Source: k8s.io/apimachinery/pkg/api/equality Semantic.DeepEqual.
 */
export function semanticEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (isNothing(a) || isNothing(b)) return isEmpty(a) && isEmpty(b);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) {
    if (!Array.isArray(a) || !Array.isArray(b) || a.length !== b.length) return false;
    return a.every((item, i) => semanticEqual(item, b[i]));
  }
  const left = a as Record<string, unknown>;
  const right = b as Record<string, unknown>;
  for (const key of Object.keys(left)) if (!semanticEqual(left[key], ownValue(right, key))) return false;
  for (const key of Object.keys(right)) if (!Object.hasOwn(left, key) && !isEmpty(right[key])) return false;
  return true;
}

function ownValue(o: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(o, key) ? o[key] : undefined;
}

function isNothing(v: unknown): boolean {
  return v === undefined || v === null;
}

function isEmpty(v: unknown): boolean {
  return isNothing(v) || (Array.isArray(v) && v.length === 0);
}
