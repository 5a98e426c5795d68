/** Whether labels satisfy a LabelSelector; an absent or empty selector matches all (as labels.Everything). */
import type { LabelSelector } from '../gen/types/meta-v1.ts';

export function selectorMatches(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const given = labels ?? {};
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (given[key] !== value) return false;
  for (const e of selector.matchExpressions ?? []) {
    const value = Object.hasOwn(given, e.key) ? given[e.key] : undefined;
    const isIn = value !== undefined && (e.values ?? []).includes(value);
    if (e.operator === 'In' && !isIn) return false;
    if (e.operator === 'NotIn' && isIn) return false;
    if (e.operator === 'Exists' && value === undefined) return false;
    if (e.operator === 'DoesNotExist' && value !== undefined) return false;
  }
  return true;
}
