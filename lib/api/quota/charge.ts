/**
 * What a change asks of a quota, and whether the quota has it. Pure: who writes the quota compares its revision.
 * Source: k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go CheckRequest.
 */
import type { ResourceQuota, ResourceQuotaStatus } from '../gen/types/core-v1.ts';
import type { DeepReadonly } from '../object.ts';
import { compareQuantity } from '../quantity.ts';
import {
  type Amounts,
  addAmounts,
  amountsOf,
  amountsText,
  maskAmounts,
  resourceListOf,
  subtractToZero,
  withoutZeros,
} from '../resource-amounts.ts';
import { isInScope, type QuotaChange, type QuotaEvaluator, type QuotaObject } from './evaluator.ts';

type Quota = DeepReadonly<ResourceQuota>;

export type Refused = { readonly refused: string };

/** More of what a quota limits, or nothing; refused when the object does not say what it must, or usage is not known yet. */
export function chargeFor(
  quota: Quota,
  evaluator: QuotaEvaluator,
  change: QuotaChange,
  nowMs: number,
): { readonly amounts: Amounts } | Refused {
  const nothing = { amounts: new Map() };
  if (!isAbout(quota, evaluator, change.object)) return nothing;
  const limited = Object.keys(quota.status?.hard ?? {}).filter((name) => evaluator.counts(name));
  const missing = evaluator.missing(limited, change.object);
  const { name } = quota.metadata;
  if (missing !== undefined) return { refused: `failed quota: ${name}: ${missing}` };
  const used = quota.status?.used ?? {};
  if (limited.some((r) => !Object.hasOwn(used, r)))
    return { refused: `status unknown for quota: ${name}, resources: ${[...limited].sort().join(',')}` };
  const usage = evaluator.usage(change.object, nowMs);
  const negative = [...usage].filter(([, q]) => q.nano < 0n).map(([r]) => r);
  if (negative.length > 0) return { refused: `quota usage is negative for resource(s): ${negative.sort().join(',')}` };
  const { previous } = change;
  const isCharged = change.operation === 'UPDATE' && previous !== undefined && isAbout(quota, evaluator, previous);
  return { amounts: withoutZeros(isCharged ? subtractToZero(usage, evaluator.usage(previous, nowMs)) : usage) };
}

/** `status` with the amounts in it; refused when they do not fit. What the quota does not limit is left out. */
export function charged(
  quota: Quota,
  amounts: Amounts,
  o: { readonly isEnforced: boolean },
): { readonly status: ResourceQuotaStatus; readonly amounts: Amounts } | Refused {
  const hard = amountsOf(quota.status?.hard);
  const used = amountsOf(quota.status?.used);
  const asked = maskAmounts(amounts, hard.keys());
  const after = addAmounts(used, asked);
  const exceeded = [...asked.keys()].filter((name) => {
    const [limit, wanted] = [hard.get(name), after.get(name)];
    return limit !== undefined && wanted !== undefined && compareQuantity(wanted, limit) > 0;
  });
  if (o.isEnforced && exceeded.length > 0) {
    const text = (a: Amounts): string => amountsText(maskAmounts(a, exceeded));
    const { name } = quota.metadata;
    return {
      refused: `exceeded quota: ${name}, requested: ${text(asked)}, used: ${text(used)}, limited: ${text(hard)}`,
    };
  }
  return { status: { ...quota.status, hard: resourceListOf(hard), used: resourceListOf(after) }, amounts: asked };
}

/** `status` without the amounts, never below zero. */
export function givenBack(quota: Quota, amounts: Amounts): ResourceQuotaStatus {
  const used = amountsOf(quota.status?.used);
  const after = maskAmounts(subtractToZero(used, amounts), used.keys());
  return { ...quota.status, hard: { ...quota.status?.hard }, used: resourceListOf(after) };
}

function isAbout(quota: Quota, evaluator: QuotaEvaluator, object: QuotaObject): boolean {
  const isLimited = Object.keys(quota.status?.hard ?? {}).some((name) => evaluator.counts(name));
  return isLimited && isInScope(evaluator, quota, object);
}
