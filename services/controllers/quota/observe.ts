/** Counts what a quota limits, in lists that are read after the quota, so that every charge it shows has had its time. */
import {
  type Amounts,
  addAmounts,
  allKinds,
  type DeepReadonly,
  isInScope,
  type KindInfo,
  Kinds,
  type KubeObject,
  maskAmounts,
  type ObjectKey,
  type QuotaEvaluator,
  quantityOf,
  quotaEvaluatorOf,
  type ResourceQuota,
} from '#lib/api';
import { type Ctx, isKind } from '#lib/base';
import type { Client } from '#lib/client';

export interface QuotaKind {
  readonly kind: KindInfo;
  readonly evaluator: QuotaEvaluator;
}

export interface Counted {
  readonly quota: DeepReadonly<ResourceQuota>;
  readonly counted: Amounts;
}

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

/** undefined when the quota is gone. */
export async function observe(
  client: Client,
  key: ObjectKey,
  kinds: readonly QuotaKind[],
  c: Ctx,
): Promise<Counted | undefined> {
  const quota = await find(client, key, c);
  if (quota === undefined) return undefined;
  const names = Object.keys(quota.spec?.hard ?? {});
  const limited = kinds.filter(({ evaluator }) => names.some((n) => evaluator.counts(n)));
  let counted: Amounts = new Map();
  for (const { kind, evaluator } of limited) {
    const own = names.filter((n) => evaluator.counts(n));
    const { items } = await client.list<KubeObject>(kind, { namespace: key.namespace }, c);
    let usage: Amounts = new Map(own.map((n) => [n, ZERO]));
    for (const [i, object] of items.entries()) {
      if (i > 0 && i % OBJECTS_AT_ONCE === 0) await c.clock.sleep(0, c.signal);
      if (isInScope(evaluator, quota, object))
        usage = addAmounts(usage, maskAmounts(evaluator.usage(object, c.clock.now()), own));
    }
    counted = addAmounts(counted, usage);
  }
  return { quota, counted };
}

async function find(client: Client, key: ObjectKey, c: Ctx): Promise<DeepReadonly<ResourceQuota> | undefined> {
  try {
    return await client.get<ResourceQuota>(Kinds.resourcequotas, key, c);
  } catch (e) {
    if (!isKind(e, 'NotFound')) throw e;
    return undefined;
  }
}
