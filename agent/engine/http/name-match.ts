/**
 * The `name` and `id` filters: regular expressions in Docker (moby filters.Match), with which clients write `^web$` or `app_.*`.
 * Only these are understood here, `^`, `$` and `.*`, because an expression of a client must not keep the event loop busy.
 */
import type { Filters } from './filters.ts';

/** No such filter, or one of its values fits. */
export function isNamed(filters: Filters, key: string, text: string): boolean {
  return !filters.has(key) || filters.get(key).some((pattern) => matchesPattern(pattern, text));
}

export function matchesPattern(pattern: string, text: string): boolean {
  if (pattern === text) return true;
  const isStart = pattern.startsWith('^');
  const isEnd = pattern.endsWith('$') && !pattern.endsWith('\\$');
  const inner = pattern.slice(isStart ? 1 : 0, isEnd ? -1 : undefined);
  const pieces = inner.split('.*').map((p) => p.replace(/\\(.)/g, '$1'));
  const last = pieces[pieces.length - 1] ?? '';
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    const found = text.indexOf(piece, at);
    if (found < 0 || (i === 0 && isStart && found !== 0)) return false;
    at = found + piece.length;
  }
  if (!isEnd) return true;
  const from = text.length - last.length;
  if (pieces.length === 1) return isStart ? text === last : text.endsWith(last);
  return text.endsWith(last) && from >= at - last.length;
}
