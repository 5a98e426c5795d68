/**
 * A quota's status from what was counted. Pure.
 *
 * Admission charges a quota before it stores the object, so a count may be short of objects that are about to be stored:
 * `used` is lowered only while the quota has been quiet, that is, when no charge can still be on its way. More is always
 * believed. Source: pkg/controller/resourcequota/resource_quota_controller.go syncResourceQuota (which lacks that rule).
 */
import {
  type Amounts,
  amountsOf,
  compareQuantity,
  type DeepReadonly,
  isSameAmounts,
  type Quantity,
  type ResourceQuota,
  type ResourceQuotaStatus,
  resourceListOf,
} from '#lib/api';

export interface Observed {
  readonly quota: DeepReadonly<ResourceQuota>;
  /** By the names of spec.hard that some kind counts for; counted after `quota` was read. */
  readonly counted: Amounts;
  readonly isQuiet: boolean;
}

export interface Plan {
  /** undefined: it is right as it is. */
  readonly status: ResourceQuotaStatus | undefined;
  /** Something is to be lowered, but not yet. */
  readonly mustLookAgain: boolean;
}

export function plan({ quota, counted, isQuiet }: Observed): Plan {
  const hard = amountsOf(quota.spec?.hard);
  const before = amountsOf(quota.status?.used);
  const used = new Map<string, Quantity>();
  let mustLookAgain = false;
  for (const name of hard.keys()) {
    const [now, then] = [counted.get(name), before.get(name)];
    if (now === undefined) {
      // No kind of this name is known: what was said of it stays.
      if (then !== undefined) used.set(name, then);
    } else if (then !== undefined && !isQuiet && compareQuantity(now, then) < 0) {
      used.set(name, then);
      mustLookAgain = true;
    } else used.set(name, now);
  }
  const { status } = quota;
  const isRight =
    status?.hard !== undefined &&
    status.used !== undefined &&
    isSameAmounts(amountsOf(status.hard), hard) &&
    isSameAmounts(before, used);
  return { status: isRight ? undefined : { hard: resourceListOf(hard), used: resourceListOf(used) }, mustLookAgain };
}
