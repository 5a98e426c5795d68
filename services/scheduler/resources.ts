/**
 * Amounts of resources as numbers: cpu in thousandths, everything else in units. Pure.
 *
 * A pod's request is the larger of what runs at the same time: all containers with their sidecars, or any one init container
 * with the sidecars started before it; plus overhead. Source: kubernetes component-helpers resource.PodRequests.
 */
import type { DeepReadonly, Pod } from '#lib/api';
import { milliValue, quantityToNumber, tryParseQuantity } from '#lib/api';

export type Amounts = ReadonlyMap<string, number>;

type ResourceList = Readonly<Record<string, string>> | undefined;

/** What a container without requests counts for in scores (not in filters). */
export const SCORED_CPU_MILLI = 100;
export const SCORED_MEMORY_BYTES = 200 * 1024 * 1024;

export function amountsOf(list: ResourceList): Amounts {
  const out = new Map<string, number>();
  for (const [name, text] of Object.entries(list ?? {})) {
    const q = tryParseQuantity(text);
    if (q) out.set(name, name === 'cpu' ? Number(milliValue(q)) : quantityToNumber(q));
  }
  return out;
}

export function podRequests(pod: DeepReadonly<Pod>): Amounts {
  const { spec } = pod;
  const running = new Map<string, number>();
  for (const c of spec.containers) add(running, amountsOf(c.resources?.requests));
  const sidecars = new Map<string, number>();
  const starting = new Map<string, number>();
  for (const c of spec.initContainers ?? []) {
    const own = amountsOf(c.resources?.requests);
    if (c.restartPolicy === 'Always') add(sidecars, own);
    const moment = new Map(sidecars);
    if (c.restartPolicy !== 'Always') add(moment, own);
    raise(starting, moment);
  }
  add(running, sidecars);
  raise(running, starting);
  for (const [name, amount] of amountsOf(spec.resources?.requests)) running.set(name, amount);
  add(running, amountsOf(spec.overhead));
  return running;
}

export function add(into: Map<string, number>, amounts: Amounts, sign: 1 | -1 = 1): void {
  for (const [name, amount] of amounts) into.set(name, (into.get(name) ?? 0) + sign * amount);
}

function raise(into: Map<string, number>, amounts: Amounts): void {
  for (const [name, amount] of amounts) into.set(name, Math.max(into.get(name) ?? 0, amount));
}
