/** Counts what a quota limits, in lists that are read after the quota: every charge that is quiet has its object in them. */
import {
  type Amounts,
  addAmounts,
  allKinds,
  type DeepReadonly,
  isInScope,
  type KindInfo,
  type KubeObject,
  maskAmounts,
  type QuotaEvaluator,
  quantityOf,
  quotaEvaluatorOf,
  type ResourceQuota,
} from '#lib/api';
import type { Ctx } from '#lib/base';
import type { Client } from '#lib/client';

export interface QuotaKind {
  readonly kind: KindInfo;
  readonly evaluator: QuotaEvaluator;
}

type Quota = DeepReadonly<ResourceQuota>;

/** Objects counted before others get the event loop. */
const OBJECTS_AT_ONCE = 250;
const ZERO = quantityOf(0n);

/** Every kind that quotas count and that can be watched; versions of one resource once. */
export function quotaKinds(kinds: readonly KindInfo[] = allKinds()): readonly QuotaKind[] {
  const seen = new Set<string>();
  return kinds.flatMap((kind) => {
    const id = `${kind.group}/${kind.resource}`;
    const evaluator = quotaEvaluatorOf(kind);
    const isUsable = ['list', 'watch', 'delete'].every((v) => kind.verbs.includes(v));
    if (evaluator === undefined || !isUsable || seen.has(id)) return [];
    seen.add(id);
    return [{ kind, evaluator }];
  });
}

export async function observe(client: Client, quota: Quota, kinds: readonly QuotaKind[], c: Ctx): Promise<Amounts> {
  const names = Object.keys(quota.spec?.hard ?? {});
  const limited = kinds.filter(({ evaluator }) => names.some((n) => evaluator.counts(n)));
  let counted: Amounts = new Map();
  for (const { kind, evaluator } of limited) {
    const own = names.filter((n) => evaluator.counts(n));
    const { items } = await client.list<KubeObject>(kind, { namespace: quota.metadata.namespace ?? '' }, c);
    let usage: Amounts = new Map(own.map((n) => [n, ZERO]));
    for (const [i, object] of items.entries()) {
      if (i > 0 && i % OBJECTS_AT_ONCE === 0) await c.clock.sleep(0, c.signal);
      if (isInScope(evaluator, quota, object))
        usage = addAmounts(usage, maskAmounts(evaluator.usage(object, c.clock.now()), own));
    }
    counted = addAmounts(counted, usage);
  }
  return counted;
}
