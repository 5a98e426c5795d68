/**
 * Keeps the status of ResourceQuotas: the limits of the spec, and what is used of them. Admission raises `used`; this
 * counts again when something goes or shrinks, when the limits change, some time after charges, and now and then.
 * Source: pkg/controller/resourcequota/{resource_quota_controller,resource_quota_monitor}.go.
 */
import { amountsOf, type DeepReadonly, isSameAmounts, Kinds, keyOf, keyText, type ResourceQuota } from '#lib/api';
import type { Clock } from '#lib/base';
import type { Controller, Informer, Outcome, Source } from '#lib/controller';
import { changesOf, DONE, delayed, parseKeyText, startController } from '#lib/controller';
import type { Deps } from '../deps.ts';
import { observe, type QuotaKind, quotaKinds } from './observe.ts';
import { plan } from './plan.ts';

const WORKERS = 5;
/** Far longer than admission needs from a charge to its object; a write that takes longer is counted by the next pass. */
const QUIET_MS = 1_000;
/** Many pods that go together are counted once. */
const FREED_DELAY_MS = 100;
/** A charge whose object was never stored, and was not given back, is found then. */
const CHARGED_DELAY_MS = 10_000;
const RESYNC_MS = 300_000;

const NO_SOURCE: Source = {
  synced: () => Promise.resolve(),
  subscribe: () => ({ [Symbol.dispose]: () => undefined }),
};

type Quota = DeepReadonly<ResourceQuota>;

export function startQuotaController(deps: Deps): Controller {
  const quotas = deps.informers.informer(Kinds.resourcequotas);
  const kinds = quotaKinds();
  const quiet = new QuietTimes(deps.clock);
  return startController({
    ...deps,
    name: 'resourcequota',
    workers: WORKERS,
    sources: [
      changesOf(quotas, (previous, next) => (isOtherLimits(previous, next) ? keysOf(previous, next) : [])),
      delayed(
        changesOf(quotas, (_, next) => keysOf(next)),
        CHARGED_DELAY_MS,
      ),
      ...kinds.map((k) => delayed(freed(k, quotas, deps), FREED_DELAY_MS)),
      deps.customKinds.source((kind) => {
        const [counted] = quotaKinds([kind]);
        return counted === undefined ? NO_SOURCE : delayed(freed(counted, quotas, deps), FREED_DELAY_MS);
      }),
    ],
    reconciler: {
      async reconcile(key, c): Promise<Outcome> {
        const seen = await observe(
          deps.client,
          parseKeyText(key),
          [...kinds, ...quotaKinds(deps.customKinds.all())],
          c,
        );
        if (seen === undefined) {
          quiet.forget(key);
          return DONE;
        }
        const quietMs = quiet.ofMs(key, seen.quota);
        const { status, mustLookAgain } = plan({ ...seen, isQuiet: quietMs >= QUIET_MS });
        if (status !== undefined)
          await deps.client.update<ResourceQuota>(Kinds.resourcequotas, { ...seen.quota, status }, c, {
            subresource: 'status',
          });
        if (mustLookAgain) return { afterMs: QUIET_MS };
        // This pass stands for the delayed one that a charge asked for.
        return { afterMs: quietMs < CHARGED_DELAY_MS ? CHARGED_DELAY_MS : RESYNC_MS };
      },
    },
  });
}

/** The quotas of a namespace in which an object went, or came to count for less. */
function freed({ kind, evaluator }: QuotaKind, quotas: Informer<ResourceQuota>, deps: Deps): Source {
  return changesOf(deps.informers.informer(kind), (previous, next) => {
    if (previous === undefined) return [];
    const concerned = quotas.list(previous.metadata.namespace ?? '').filter((q) => isLimiting(q, evaluator.counts));
    if (concerned.length === 0) return [];
    const isFreed = next === undefined || evaluator.mayFree(previous, next, deps.clock.now());
    return isFreed ? concerned.map((q) => keyText(keyOf(q))) : [];
  });
}

function isLimiting(quota: Quota, counts: (name: string) => boolean): boolean {
  return Object.keys(quota.spec?.hard ?? {}).some(counts);
}

function isOtherLimits(previous: Quota | undefined, next: Quota | undefined): boolean {
  if (previous === undefined || next === undefined) return true;
  return !isSameAmounts(amountsOf(previous.spec?.hard), amountsOf(next.spec?.hard));
}

function keysOf(...quotas: readonly (Quota | undefined)[]): string[] {
  return quotas.flatMap((q) => (q === undefined ? [] : [keyText(keyOf(q))]));
}

/** For how long a quota has been seen in one version. One entry for each quota there is. */
class QuietTimes {
  readonly #clock: Clock;
  readonly #seen = new Map<string, { readonly version: string; readonly sinceMs: number }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  ofMs(key: string, quota: Quota): number {
    const version = `${quota.metadata.uid ?? ''} ${quota.metadata.resourceVersion ?? ''}`;
    const nowMs = this.#clock.monotonic();
    const known = this.#seen.get(key);
    if (known?.version === version) return nowMs - known.sinceMs;
    this.#seen.set(key, { version, sinceMs: nowMs });
    return 0;
  }

  forget(key: string): void {
    this.#seen.delete(key);
  }
}
