/** `POST /containers/prune`. Pure. Source: moby daemon/prune.go. */
import { parseGoDuration } from '#lib/base';
import { badParameter } from '../http/contract.ts';
import type { Filters } from '../http/filters.ts';

export const PRUNE_FILTERS = ['label', 'label!', 'until'];

/** Containers made later stay; undefined = none do. Throws 400. */
export function untilMs(filters: Filters, nowMs: number): number | undefined {
  const values = filters.get('until');
  if (values.length === 0) return undefined;
  if (values.length > 1) throw badParameter('more than one until filter specified');
  const [text = ''] = values;
  const ago = parseGoDuration(text);
  if (ago !== undefined && !/^\d+$/.test(text)) return nowMs - ago;
  const at = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isNaN(at)) throw badParameter(`invalid until filter: ${text}`);
  return at;
}
