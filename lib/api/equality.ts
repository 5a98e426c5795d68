/**
 * Equality of API values as Kubernetes compares them: absent, null, an empty list and an empty map are the same; the order of
 * map keys does not matter, that of lists does. Source: k8s.io/apimachinery/pkg/api/equality Semantic.DeepEqual.
 * Quantities and times are expected in canonical form, as decodeObject leaves them.
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

/** Nothing, [], or {}. A pointer to an empty struct counts as empty too: the difference never shows in an update check. */
function isEmpty(v: unknown): boolean {
  if (isNothing(v)) return true;
  if (Array.isArray(v)) return v.length === 0;
  return typeof v === 'object' && v !== null && Object.keys(v).length === 0;
}
