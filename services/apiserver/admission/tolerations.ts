/** Tolerations as sets. Pure. Source: pkg/util/tolerations/tolerations.go. */
import { type DeepReadonly, semanticEqual, type Toleration } from '#lib/api';

type Read = DeepReadonly<Toleration>;

/** All of both, without those that another one covers. Of equal ones the first stays. */
export function mergeTolerations(first: readonly Read[], second: readonly Read[]): Toleration[] {
  const all = [...first, ...second];
  const merged: Toleration[] = [];
  for (const [i, t] of all.entries()) {
    const isCovered =
      merged.some((m) => covers(m, t)) ||
      all.slice(i + 1).some((later) => !semanticEqual(t, later) && covers(later, t));
    if (!isCovered) merged.push({ ...t });
  }
  return merged;
}

/** Whether `wide` tolerates all that `t` does. */
export function covers(wide: Read, t: Read): boolean {
  if (semanticEqual(wide, t)) return true;
  const isAnyKey = !wide.key && wide.operator === 'Exists';
  if (!isAnyKey && (wide.key ?? '') !== (t.key ?? '')) return false;
  if (wide.effect && wide.effect !== t.effect) return false;
  if (wide.effect === 'NoExecute' && wide.tolerationSeconds !== undefined) {
    if (t.tolerationSeconds === undefined || t.tolerationSeconds > wide.tolerationSeconds) return false;
  }
  if (wide.operator === 'Exists') return true;
  const isEqual = (wide.operator ?? '') === '' || wide.operator === 'Equal';
  return isEqual && t.operator === 'Equal' && (t.value ?? '') === (wide.value ?? '');
}
