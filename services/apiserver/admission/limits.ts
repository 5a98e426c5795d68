/** How far amounts are outside the items of a LimitRange, in LimitRanger's words. Pure. Source: plugin/pkg/admission/limitranger/admission.go. */
import {
  type Amounts,
  amountsOf,
  compareQuantity,
  type DeepReadonly,
  formatQuantity,
  type LimitRangeItem,
  type PersistentVolumeClaim,
  type Pod,
  parseQuantity,
  podLimits,
  podRequests,
  quantityToNumber,
} from '#lib/api';

type Item = DeepReadonly<LimitRangeItem>;

interface Subject {
  readonly requests: Amounts;
  readonly limits: Amounts;
}

const BARE = { usesStatus: false, hasOverhead: false };

export function podViolations(items: readonly Item[], pod: DeepReadonly<Pod>): string[] {
  return items.flatMap((item) => {
    if (item.type === 'Pod')
      return violations(item, { requests: podRequests(pod, BARE), limits: podLimits(pod, BARE) });
    if (item.type !== 'Container') return [];
    return [...(pod.spec.containers ?? []), ...(pod.spec.initContainers ?? [])].flatMap((c) =>
      violations(item, { requests: amountsOf(c.resources?.requests), limits: amountsOf(c.resources?.limits) }),
    );
  });
}

/** Claims have requests only, and are bounded by them. */
export function claimViolations(items: readonly Item[], claim: DeepReadonly<PersistentVolumeClaim>): string[] {
  const requests = amountsOf(claim.spec?.resources?.requests);
  return items.flatMap((item) => {
    if (item.type !== 'PersistentVolumeClaim') return [];
    return [
      ...bounds(item.min).map(([name, min]) => belowMinimum(item, name, min, { requests, limits: new Map() })),
      ...bounds(item.max).map(([name, max]) => requestAboveMaximum(item, name, max, requests)),
    ].filter((t) => t !== undefined);
  });
}

function violations(item: Item, subject: Subject): string[] {
  return [
    ...bounds(item.min).map(([name, min]) => belowMinimum(item, name, min, subject)),
    ...bounds(item.max).map(([name, max]) => aboveMaximum(item, name, max, subject)),
    ...bounds(item.maxLimitRequestRatio).map(([name, ratio]) => aboveRatio(item, name, ratio, subject)),
  ].filter((t) => t !== undefined);
}

/** In the order of names. */
function bounds(list: Readonly<Record<string, string>> | undefined): [string, string][] {
  return Object.entries(list ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
}

function belowMinimum(item: Item, name: string, min: string, s: Subject): string | undefined {
  const head = `minimum ${name} usage per ${item.type} is ${min}`;
  const request = s.requests.get(name);
  const limit = s.limits.get(name);
  const bound = parseQuantity(min);
  if (request === undefined) return `${head}.  No request is specified`;
  if (compareQuantity(request, bound) < 0) return `${head}, but request is ${formatQuantity(request)}`;
  if (limit !== undefined && compareQuantity(limit, bound) < 0) return `${head}, but limit is ${formatQuantity(limit)}`;
  return undefined;
}

function aboveMaximum(item: Item, name: string, max: string, s: Subject): string | undefined {
  const head = `maximum ${name} usage per ${item.type} is ${max}`;
  const limit = s.limits.get(name);
  if (limit === undefined) return `${head}.  No limit is specified`;
  if (compareQuantity(limit, parseQuantity(max)) > 0) return `${head}, but limit is ${formatQuantity(limit)}`;
  return s.requests.has(name) ? requestAboveMaximum(item, name, max, s.requests) : undefined;
}

function requestAboveMaximum(item: Item, name: string, max: string, requests: Amounts): string | undefined {
  const head = `maximum ${name} usage per ${item.type} is ${max}`;
  const request = requests.get(name);
  if (request === undefined) return `${head}.  No request is specified`;
  if (compareQuantity(request, parseQuantity(max)) > 0) return `${head}, but request is ${formatQuantity(request)}`;
  return undefined;
}

function aboveRatio(item: Item, name: string, maxText: string, s: Subject): string | undefined {
  const head = `${name} max limit to request ratio per ${item.type} is ${maxText}`;
  const request = s.requests.get(name);
  const limit = s.limits.get(name);
  if (request === undefined || request.nano === 0n) return `${head}, but no request is specified or request is 0`;
  if (limit === undefined || limit.nano === 0n) return `${head}, but no limit is specified or limit is 0`;
  const ratio = quantityToNumber(limit) / quantityToNumber(request);
  if (ratio <= quantityToNumber(parseQuantity(maxText))) return undefined;
  return `${head}, but provided ratio is ${ratio.toFixed(6)}`;
}
